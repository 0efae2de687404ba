"""What members have had of offers, in the periods of the offers' caps: read by one statement
for a batch of conversions, and counted on while these are valued one after the other.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from core import conversions
from core.conversions import Conversion
from core.offers import NOTHING, MemberCap, Used, period_of
from db.pg import Db

Period = tuple[dt.datetime, dt.datetime]
EVER: Final[Period] = (conversions.EPOCH, dt.datetime(9999, 1, 1, tzinfo=dt.UTC))

# All of the period count that are booked, also those that were reported later: what waited for its
# click, or was released, gets what they have left. Of this batch those count that are counted on.
# By the members' index, whatever the planner makes of the table: while much comes in it takes that
# for small, and a program's conversions for few.
USED: Final = """
SELECT wanted.id, had.amount_minor, had.count
  FROM unnest($2::text[], $3::text[], $4::text[], $5::timestamptz[], $6::timestamptz[])
       AS wanted (id, member_id, offer_id, begins_at, ends_at)
 CROSS JOIN LATERAL (
       SELECT sum(booked_cashback_minor)::bigint AS amount_minor, count(*) AS count
         FROM conversion
        WHERE (program_id = $1) IS TRUE AND member_id = wanted.member_id
          AND offer_id = wanted.offer_id AND id <> ALL($7::text[])
          AND first_seen_at >= wanted.begins_at AND first_seen_at < wanted.ends_at
          AND state NOT IN ('rejected', 'reversed') AND booked_cashback_minor > 0) AS had
 WHERE had.count > 0
"""


class Counted:
    """What counts towards the caps of a batch. `periods` are those of its conversions that have a
    cap, `before` what was had in these; both by id.
    """

    def __init__(self, periods: Mapping[str, Period], before: Mapping[str, Used]) -> None:
        self._periods = periods
        self._before = before
        self._now: defaultdict[tuple[str | None, str | None], list[Conversion]] = defaultdict(list)

    def used(self, one: Conversion) -> Used:
        """What the member has had of the offer beside this conversion."""
        period = self._periods.get(one.id)
        if period is None:
            return NOTHING
        before = self._before.get(one.id, NOTHING)
        now = [
            other.booked_cashback_minor
            for other in self._now[one.member_id, one.offer_id]
            if period[0] <= other.first_seen_at < period[1]
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
    periods = {
        one.id: _period(one, caps[one.id], time_zone)
        for one in found
        if one.id in caps and one.member_id is not None
    }
    if not periods:
        return Counted({}, {})
    wanted = [
        (one.id, one.member_id, one.offer_id, *periods[one.id])
        for one in found
        if one.id in periods
    ]
    columns = map(list, zip(*wanted, strict=True))
    rows = await db.fetch(USED, program_id, *columns, [one.id for one in found])
    before = {row["id"]: Used(row["amount_minor"], row["count"]) for row in rows}
    return Counted(periods, before)


def _period(one: Conversion, cap: MemberCap, time_zone: str) -> Period:
    """The period of its cap."""
    at_ms = (one.first_seen_at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    return period_of(cap.period, at_ms, time_zone) or EVER
