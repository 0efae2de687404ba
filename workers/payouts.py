"""Has providers pay withdrawals that were approved.

That a provider is told to pay is written down before it is told. Whatever is found in that state
was under way before: it is looked up by our id, and asked for again, under the same id, only when
the provider has never heard of it.
"""

from __future__ import annotations

import datetime as dt
import logging
from typing import Final

from core.keyring import KeyRing
from core.providers.payouts.protocol import News, NotFound, Paying, Payout, PayoutProvider
from core.providers.protocols import Deferred, Unknown
from core.settings import Settings
from core.tasks import PayWithdrawal
from db import members, outbox, payouts, withdrawals
from db.pg import Db
from db.withdrawals import Withdrawal
from web import metrics
from workers import loop
from workers.broker import Tools

log: Final = logging.getLogger("stampgate.payouts")

LOOK_AGAIN_S_MIN: Final = 30.0
LOOK_AGAIN_S_MAX: Final = 3_600.0
#: Of what waits, a look comes after this part of the time that it has waited.
PATIENCE: Final = 4
#: A provider that is not set up may be after a restart.
UNKNOWN_PROVIDER_S: Final = 300.0
#: After so long without news or a task a payout is looked up by the schedule.
QUIET: Final = dt.timedelta(hours=2)


async def pay(tools: Tools, row_id: int, task: PayWithdrawal) -> None:
    """Make one attempt, write down what is known then, and look again later if that is not all."""
    async with tools.pool.acquire() as db, db.transaction():
        before = await _locked(db, tools.ring, task.withdrawal_id)
        if before is None or before.provider is None or _has_ended(before):
            await outbox.done(db, row_id)
            return
        provider = tools.payouts.get(before.provider)
        if provider is None:
            log.error("%s waits: there is no provider %s", before.id, before.provider)
            await _again(db, row_id, task, UNKNOWN_PROVIDER_S)
            return
        is_new = before.state == "approved"
        # While the member is banned nobody is told to pay; the schedule comes back to it.
        if is_new and await members.banned(db, before.program_id, {before.member_id}):
            await outbox.done(db, row_id)
            return
        if is_new:
            before = await payouts.begin(db, tools.ring, before, _now())
    answer = await attempt(tools, provider, before, is_new=is_new)
    async with tools.pool.acquire() as db, db.transaction():
        await _write_down(db, tools.ring, row_id, task, answer)


async def attempt(
    tools: Tools, provider: PayoutProvider, withdrawal: Withdrawal, *, is_new: bool
) -> Paying:
    """What the provider says, which is asked to pay only what it does not know."""
    payout = _payout(withdrawal)
    if not is_new:
        found = await provider.look_up(tools.send, payout)
        if not isinstance(found, NotFound):
            return _seen(provider.slug, found)
    return _seen(provider.slug, await provider.pay(tools.send, payout))


async def sweep(_settings: Settings, db: Db, now_ms: int) -> None:
    """Have payouts looked up that nobody looks after."""
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    await payouts.resume(db, now - QUIET)


async def _write_down(
    db: Db, ring: KeyRing, row_id: int, task: PayWithdrawal, answer: Paying
) -> None:
    after = await _locked(db, ring, task.withdrawal_id)
    assert after is not None
    if isinstance(answer, News):
        assert after.provider is not None
        outcome, after = await payouts.hear(db, ring, after, after.provider, answer, _now())
        if outcome == "odd":
            log.error("%s is %s, and its provider says %s", after.id, after.state, answer.state)
    if _has_ended(after):
        await outbox.done(db, row_id)
        return
    waited_s = (_now() - after.updated_at).total_seconds()
    wait_s = min(max(waited_s / PATIENCE, LOOK_AGAIN_S_MIN), LOOK_AGAIN_S_MAX)
    if isinstance(answer, Deferred):
        wait_s = max(wait_s, answer.retry_after_s)
    await _again(db, row_id, task, wait_s)


async def _locked(db: Db, ring: KeyRing, withdrawal_id: str) -> Withdrawal | None:
    program_id = await withdrawals.find_program(db, withdrawal_id)
    if program_id is None:
        return None
    return await withdrawals.lock(db, ring, program_id, withdrawal_id)


async def _again(db: Db, row_id: int, task: PayWithdrawal, wait_s: float) -> None:
    """A new row in place of this one: rows that are started often are taken for hopeless."""
    await outbox.done(db, row_id)
    await outbox.add(db, task, due_at_ms=loop.now_ms() + int(wait_s * 1000))


def _payout(withdrawal: Withdrawal) -> Payout:
    assert withdrawal.destination is not None
    return Payout(
        id=withdrawal.id,
        amount_minor=withdrawal.amount_minor,
        currency=withdrawal.currency,
        destination=withdrawal.destination,
        reference=withdrawal.provider_reference,
        at_s=loop.now_ms() // 1000,
    )


def _seen(slug: str, answer: Paying) -> Paying:
    outcome = answer.state if isinstance(answer, News) else type(answer).__name__.lower()
    metrics.payouts.labels(slug, outcome).inc()
    if isinstance(answer, Unknown | Deferred):
        log.warning("%s", answer.reason)
    return answer


def _has_ended(withdrawal: Withdrawal) -> bool:
    return withdrawal.state not in {"approved", "paying"}


def _now() -> dt.datetime:
    return dt.datetime.fromtimestamp(loop.now_ms() / 1000, dt.UTC)
