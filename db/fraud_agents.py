"""How many clicks of one user agent came to one link just before a conversion's click."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import Final

from core import clickid, conversions
from core.conversions import Conversion
from db.pg import Db

#: Of a link's clicks within a window no more than the latest so many are looked at.
CLICKS_MAX: Final = 1_000

# By the ids, which begin with the time: so a link with many clicks costs those of the window.
BURSTS: Final = """
SELECT own.click_id, asked.window_s, count(*) AS clicks
  FROM unnest($2::date[], $3::text[], $4::integer[], $5::text[])
       AS asked (day, click_id, window_s, start)
  JOIN click own ON own.day = asked.day AND own.click_id = asked.click_id
 CROSS JOIN LATERAL (
       SELECT user_agent FROM click
        WHERE program_id = $1 AND link_id = own.link_id AND day BETWEEN own.day - 1 AND own.day
          AND click_id >= asked.start AND click_id <= own.click_id
        ORDER BY click_id DESC LIMIT $6) AS near
 WHERE own.program_id = $1 AND near.user_agent = own.user_agent
 GROUP BY own.click_id, asked.window_s
"""


async def count(
    db: Db, program_id: str, found: Sequence[Conversion], windows: Sequence[int]
) -> defaultdict[str, dict[int, int]]:
    """How many clicks of its user agent each click is on its link, by click and window in seconds;
    those whose user agent is not known are not there."""
    known: defaultdict[str, dict[int, int]] = defaultdict(dict)
    names = {one.own_click_id for one in found}
    clicks = [clickid.decode(name) for name in sorted(filter(None, names))]
    asked = [
        (
            conversions.moment(one.ms).date(),
            one.text,
            window_s,
            clickid.first(one.key_id, one.ms - window_s * 1000),
        )
        for one in clicks
        for window_s in windows
    ]
    if asked:
        columns = [list(column) for column in zip(*asked, strict=True)]
        for row in await db.fetch(BURSTS, program_id, *columns, CLICKS_MAX):
            known[row["click_id"]][row["window_s"]] = row["clicks"]
    return known
