"""Payouts by providers: when one is told to pay, and what follows from what it says."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal, NamedTuple

from core import withdrawals
from core.keyring import KeyRing
from core.providers.payouts.protocol import Event, News
from db import sealing
from db import withdrawals as stored
from db.pg import Db
from db.withdrawals import Act, Withdrawal

Outcome = Literal["applied", "nothing_new", "odd", "not_ours"]

BODY: Final = "payout_event.body"

# A call that came before adds nothing.
ADD: Final = """
INSERT INTO payout_event (provider, event_id, outcome, body, received_at)
VALUES ($1, $2, 'not_ours', $3, $4)
    ON CONFLICT (provider, event_id) DO NOTHING
RETURNING event_id
"""
NOTE: Final = """
UPDATE payout_event SET program_id = $3, withdrawal_id = $4, state = $5, outcome = $6
 WHERE provider = $1 AND event_id = $2
"""
# Whatever became of its task: a payout that nobody looks after is looked up once more.
RESUME: Final = """
INSERT INTO outbox (task, payload)
SELECT 'pay_withdrawal', jsonb_build_object('withdrawal_id', w.id) FROM withdrawal w
 WHERE w.state IN ('approved', 'paying') AND w.provider IS NOT NULL AND w.updated_at < $1
   AND NOT EXISTS (SELECT FROM outbox o WHERE o.task = 'pay_withdrawal'
                      AND o.payload ->> 'withdrawal_id' = w.id)
"""


class Heard(NamedTuple):
    """What a call came to, and of which program it was; of none when it is not about ours."""

    outcome: Outcome
    program_id: str | None = None


async def begin(db: Db, ring: KeyRing, before: Withdrawal, at: dt.datetime) -> Withdrawal:
    """Write down that the provider of a locked withdrawal is told to pay, before it is."""
    return await stored.take(db, ring, before, "send", Act(by=_name(before.provider), at=at))


async def hear(
    db: Db, ring: KeyRing, before: Withdrawal, provider: str, news: News, at: dt.datetime
) -> tuple[Outcome, Withdrawal]:
    """Take the step of a locked withdrawal that follows from its provider's word, if any."""
    if before.provider != provider or before.id != news.id:
        return "not_ours", before
    if withdrawals.differs(before.money, news.amount_minor, news.currency):
        return "odd", await _doubt(db, ring, before, news, at)
    if withdrawals.is_odd(before.state, news.state):
        return "odd", before
    step = withdrawals.follows(before.state, news.state)
    if step is None:
        if before.state == "paying" and news.reference and not before.provider_reference:
            return "applied", await stored.refer(db, before, news.reference, at)
        return "nothing_new", before
    act = Act(
        by=_name(provider),
        at=at,
        reason=(news.reason or None) if step == "fail" else None,
        # A bank without a reference of its own is asked by the provider's.
        utr=(news.utr or news.reference) if step == "settle" else None,
        reference=news.reference or None,
    )
    return "applied", await stored.take(db, ring, before, step, act)


async def _doubt(
    db: Db, ring: KeyRing, before: Withdrawal, news: News, at: dt.datetime
) -> Withdrawal:
    """Have an operator look at a payout whose provider speaks of other money than it was told."""
    if before.state != "paying":
        return before
    said = f"{news.amount_minor} {news.currency or ''}".strip()
    act = Act(
        by=_name(before.provider),
        at=at,
        reason=f"The provider says {news.state} of another amount, in minor units: {said}.",
        reference=news.reference or None,
    )
    return await stored.take(db, ring, before, "doubt", act)


async def called(
    db: Db, ring: KeyRing, provider: str, event: Event, body: bytes, at: dt.datetime
) -> Heard | None:
    """Keep a verified call of a provider and do what follows, in the caller's transaction; None
    when it came before."""
    row_id = f"{provider}:{event.id}"
    sealed = sealing.seal(ring, body.decode(), BODY, row_id)
    if await db.fetchval(ADD, provider, event.id, sealed, at) is None:
        return None
    if event.news is None:
        return Heard("not_ours")
    withdrawal_id = event.news.id
    program_id = await stored.find_program(db, withdrawal_id)
    if program_id is None:
        return Heard("not_ours")
    before = await stored.lock(db, ring, program_id, withdrawal_id)
    outcome, _ = await hear(db, ring, before, provider, event.news, at)
    await db.execute(NOTE, provider, event.id, program_id, withdrawal_id, event.news.state, outcome)
    return Heard(outcome, program_id)


async def resume(db: Db, quiet_since: dt.datetime) -> None:
    """Have payouts looked up of which nothing was heard since, and for which no task waits."""
    await db.execute(RESUME, quiet_since)


def _name(provider: str | None) -> str:
    return f"payouts:{provider}"
