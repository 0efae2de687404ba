"""What members have had of offers, in the periods of the offers' caps: read for a batch of
conversions by as many statements as for one, and counted on while these are valued one after the
other.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Final

from core import claims, conversions
from core.claims import Claim
from core.conversions import Conversion
from core.offers import NOTHING, MemberCap, Used, period_of
from db import claims as stored_claims
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
# Whoever values the same member's purchases under a cap, at whatever network, waits here. All
# members of the batch at once and in their order: those that later hold them have them already.
LOCK: Final = """
SELECT id FROM member WHERE program_id = $1 AND id = ANY($2::text[]) ORDER BY id
   FOR NO KEY UPDATE
"""


class Counted:
    """What counts towards the caps of a batch. `periods` are those of its conversions that have a
    cap, `before` what was had in these, both by id; `given` the claims whose credit stands.
    """

    def __init__(
        self,
        periods: Mapping[str, Period],
        before: Mapping[str, Used],
        given: Sequence[Claim] = (),
    ) -> None:
        self._periods = periods
        self._before = before
        self._given: defaultdict[tuple[str | None, str | None], list[Claim]] = defaultdict(list)
        for claim in given:
            self._given[claim.member_id, claim.offer_id].append(claim)
        self._now: defaultdict[tuple[str | None, str | None], list[Conversion]] = defaultdict(list)

    def used(self, one: Conversion) -> Used:
        """What the member has had of the offer beside this conversion."""
        period = self._periods.get(one.id)
        if period is None:
            return NOTHING
        before, now = self._before.get(one.id, NOTHING), self._now[one.member_id, one.offer_id]
        amounts = [
            other.booked_cashback_minor
            for other in now
            if _counts(other) and period[0] <= other.first_seen_at < period[1]
        ]
        # A credit ends with the conversion that answers its claim.
        amounts += [
            claim.credit_minor or 0
            for claim in self._given[one.member_id, one.offer_id]
            if period[0] <= claim.opened_at < period[1]
            and not any(claims.is_answer(claim, each) for each in (one, *now))
        ]
        return Used(before.amount_minor + sum(amounts), before.count + len(amounts))

    def add(self, one: Conversion) -> None:
        """Let a valued conversion count for those after it."""
        self._now[one.member_id, one.offer_id].append(one)


async def read(
    db: Db,
    program_id: str,
    found: Sequence[Conversion],
    caps: Mapping[str, MemberCap],
    time_zone: str,
    batch: Sequence[Conversion],
) -> Counted:
    """What was had before this batch, of which `found` are valued; `caps` are theirs, by their ids.
    Holds the members of the batch."""
    periods = {
        one.id: _period(one, caps[one.id], time_zone)
        for one in found
        if one.id in caps and one.member_id is not None
    }
    if not periods:
        return Counted({}, {})
    member_ids = sorted({one.member_id for one in batch if one.member_id is not None})
    await db.fetch(LOCK, program_id, member_ids)
    wanted = [
        (one.id, one.member_id, one.offer_id, *periods[one.id])
        for one in found
        if one.id in periods
    ]
    columns = map(list, zip(*wanted, strict=True))
    rows = await db.fetch(USED, program_id, *columns, [one.id for one in batch])
    before = {row["id"]: Used(row["amount_minor"], row["count"]) for row in rows}
    return Counted(periods, before, await stored_claims.given(db, program_id, member_ids))


def _counts(one: Conversion) -> bool:
    return one.state not in conversions.FINAL and one.booked_cashback_minor > 0


def _period(one: Conversion, cap: MemberCap, time_zone: str) -> Period:
    """The period of its cap."""
    at_ms = (one.first_seen_at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    return period_of(cap.period, at_ms, time_zone) or EVER
