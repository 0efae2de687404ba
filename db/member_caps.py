"""What members have had of offers before, in the periods of the offers' caps: read by one statement
for a batch of conversions, and counted on while these are valued one after the other.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from core import conversions
from core.conversions import Conversion
from core.offers import NOTHING, MemberCap, Used, period_start
from db.pg import Db

# Earlier conversions count, and of this batch those that are counted on. By the members' index,
# whatever the planner makes of the table: while much comes in it takes that for small, and a
# program's conversions for few.
USED: Final = """
SELECT wanted.id, had.amount_minor, had.count
  FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[])
       AS wanted (id, member_id, offer_id, start_at)
 CROSS JOIN LATERAL (
       SELECT sum(booked_cashback_minor)::bigint AS amount_minor, count(*) AS count
         FROM conversion
        WHERE (program_id = $1) IS TRUE AND member_id = wanted.member_id
          AND offer_id = wanted.offer_id AND id < wanted.id AND id <> ALL($6::text[])
          AND first_seen_at >= wanted.start_at AND state NOT IN ('rejected', 'reversed')
          AND booked_cashback_minor > 0) AS had
 WHERE had.count > 0
"""


class Counted:
    """What counts towards the caps of a batch. `starts` say when the periods of those of its
    conversions began that have a cap, `before` what was had in these; both by id.
    """

    def __init__(self, starts: Mapping[str, dt.datetime], before: Mapping[str, Used]) -> None:
        self._starts = starts
        self._before = before
        self._now: defaultdict[tuple[str | None, str | None], list[Conversion]] = defaultdict(list)

    def used(self, one: Conversion) -> Used:
        """What the member has had of the offer before this conversion."""
        start = self._starts.get(one.id)
        if start is None:
            return NOTHING
        before = self._before.get(one.id, NOTHING)
        now = [
            other.booked_cashback_minor
            for other in self._now[one.member_id, one.offer_id]
            if other.first_seen_at >= start
        ]
        return Used(before.amount_minor + sum(now), before.count + len(now))

    def add(self, one: Conversion) -> None:
        """Let a valued conversion count for those after it."""
        if one.state not in conversions.FINAL and one.booked_cashback_minor > 0:
            self._now[one.member_id, one.offer_id].append(one)


async def read(
    db: Db,
    program_id: str,
    found: Sequence[Conversion],
    caps: Mapping[str, MemberCap],
    time_zone: str,
) -> Counted:
    """What was had before this batch; `caps` are those of its conversions, by their ids."""
    starts = {
        one.id: _start(one, caps[one.id], time_zone)
        for one in found
        if one.id in caps and one.member_id is not None
    }
    if not starts:
        return Counted({}, {})
    wanted = [
        (one.id, one.member_id, one.offer_id, starts[one.id]) for one in found if one.id in starts
    ]
    columns = map(list, zip(*wanted, strict=True))
    rows = await db.fetch(USED, program_id, *columns, [one.id for one in found])
    before = {row["id"]: Used(row["amount_minor"], row["count"]) for row in rows}
    return Counted(starts, before)


def _start(one: Conversion, cap: MemberCap, time_zone: str) -> dt.datetime:
    """When the period of its cap began."""
    at_ms = (one.first_seen_at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    return period_start(cap.period, at_ms, time_zone) or conversions.EPOCH
