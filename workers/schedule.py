"""Does what is to be done from time to time.

A job is due at whole multiples of its interval. Its run is a row that commits with its work, so
among any number of schedulers each run is made once, and a run cut short is made again. After a
downtime the latest run is made up for; the earlier ones have nothing left to do.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from core.settings import Settings
from db import (
    api_keys,
    audit_chain,
    codes,
    fraud_sources,
    idempotency,
    ledger,
    mfa,
    money,
    pg,
    postbacks,
    registrations,
    retention,
    revocations,
    sessions,
)
from db import schedule as runs
from db.pg import Db
from web import metrics
from workers import conversions, loop, payouts, privacy, reseal, seal, sync, watch

log: Final = logging.getLogger("stampgate.schedule")

MINUTE_S: Final = 60
HOUR_S: Final = 3_600
DAY_S: Final = 86_400
DAY_MS: Final = 1000 * DAY_S
TICK_S: Final = 1.0
# How often in its interval a run is tried that fails.
RETRIES: Final = 20

CLICK_DAYS_AHEAD: Final = 14
AUDIT_MONTHS_AHEAD: Final = 2
SALT_DAYS: Final = 2
DELIVERY_DAYS: Final = 30
SESSION_DAYS: Final = 30
NOTIFICATION_DAYS: Final = 30
KEY_USAGE_DAYS: Final = 400
RUN_DAYS: Final = 7
# For questions about a withdrawal that was not paid.
UNPAID_DAYS: Final = 30

Action = Callable[[Settings, Db, int], Awaitable[None]]


class Job(NamedTuple):
    """What to do every so often: `action` gets the settings, its transaction and the time."""

    name: str
    every_s: int
    action: Action


async def keep_partitions(settings: Settings, db: Db, now_ms: int) -> None:
    """Make click partitions ahead of time, drop those past retention."""
    await retention.keep_click_partitions(
        db, day(now_ms), ahead_days=CLICK_DAYS_AHEAD, retention_days=settings.click_retention_days
    )


async def keep_audit_partitions(settings: Settings, db: Db, now_ms: int) -> None:
    """Make partitions of the audit log ahead of time, cut off what is past retention."""
    await audit_chain.keep_partitions(
        db,
        seal.read_ring(Path(settings.keyring_file)),
        day(now_ms),
        months_ahead=AUDIT_MONTHS_AHEAD,
        retention_days=settings.audit_retention_days,
    )


async def forget(settings: Settings, db: Db, now_ms: int) -> None:
    """Forget what was kept for a while: salts, answers, sessions, uses, messages, runs."""
    await retention.delete_salts(db, day(now_ms) - dt.timedelta(days=SALT_DAYS - 1))
    await idempotency.delete_old(db, settings.idempotency_ttl_s)
    await sessions.delete_old(db, SESSION_DAYS * DAY_S)
    await revocations.delete_old(db)
    await codes.delete_old(db, now_ms)
    await mfa.delete_old(db, now_ms)
    await registrations.delete_old(db)
    await api_keys.delete_old_usage(db, day(now_ms) - dt.timedelta(days=KEY_USAGE_DAYS))
    await retention.delete_deliveries(db, now_ms - DELIVERY_DAYS * DAY_MS)
    await retention.delete_notifications(db, now_ms - NOTIFICATION_DAYS * DAY_MS)
    await retention.delete_payout_events(db, now_ms - DELIVERY_DAYS * DAY_MS)
    await forget_payments(settings, db, now_ms)
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    await postbacks.delete_old(db, now - dt.timedelta(days=settings.postback_retention_days))
    await runs.delete_old(db, now_ms - RUN_DAYS * DAY_MS)


async def forget_payments(settings: Settings, db: Db, now_ms: int) -> None:
    """Forget where money went, and to whom, when nobody needs to know any more."""
    now = dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC)
    paid_before = now - dt.timedelta(days=settings.payment_retention_days)
    await retention.forget_destinations(db, now - dt.timedelta(days=UNPAID_DAYS), paid_before)
    await retention.forget_documents(db, paid_before)


async def compare_sources(_settings: Settings, db: Db, now_ms: int) -> None:
    """Count anew how networks and links compare, for the fraud rules that ask."""
    await fraud_sources.count(db, dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC))


async def check_ledger(_settings: Settings, db: Db, _now_ms: int) -> None:
    """Check the ledgers' invariants; what is wrong goes to the log and the metrics."""
    problems = await ledger.check(db) + await money.check(db)
    for problem in problems:
        log.error("ledger: %s", problem)
    metrics.balance_mismatches.labels("ledger").set(len(problems))


JOBS: Final = (
    Job("keep_click_partitions", HOUR_S, keep_partitions),
    Job("keep_audit_partitions", HOUR_S, keep_audit_partitions),
    Job("forget", HOUR_S, forget),
    Job("privacy", HOUR_S, privacy.sweep),
    Job("payouts", HOUR_S, payouts.sweep),
    Job("compare_sources", HOUR_S, compare_sources),
    Job("check_ledger", HOUR_S, check_ledger),
    Job("sync_networks", MINUTE_S, sync.schedule),
)


class Schedule:
    """One scheduler; any number may run at a time."""

    def __init__(self, settings: Settings, pool: pg.Pool, jobs: Sequence[Job] = JOBS) -> None:
        self._settings = settings
        self._pool = pool
        self._jobs = jobs
        self._next_ms = dict.fromkeys((job.name for job in jobs), 0)

    async def step(self, now_ms: int) -> int:
        """Make the runs that are due; returns how many."""
        made = 0
        for job in self._jobs:
            if now_ms >= self._next_ms[job.name]:
                made += await self._run(job, now_ms)
        return made

    async def _run(self, job: Job, now_ms: int) -> bool:
        every_ms = job.every_s * 1000
        due_ms = now_ms - now_ms % every_ms
        # Until then this run is looked at again: it may have failed, here or elsewhere.
        self._next_ms[job.name] = now_ms + every_ms // RETRIES
        async with self._pool.acquire() as db:
            try:
                async with db.transaction():
                    is_ours = await runs.claim(db, job.name, due_ms)
                    if is_ours:
                        await job.action(self._settings, db, now_ms)
                        await runs.finish(db, job.name, due_ms)
                        self._next_ms[job.name] = due_ms + every_ms
                    return is_ours
            except TimeoutError:
                # A statement took too long: not the server's fault, unlike other OSErrors.
                log.error("%s took too long", job.name)  # noqa: TRY400 - no more is known
            except pg.CONNECTION_ERRORS:
                raise
            except Exception:
                # One job's fault is not to keep the others from running.
                log.exception("%s failed", job.name)
            return False


def day(now_ms: int) -> dt.date:
    """The UTC day at `now_ms`."""
    return dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC).date()


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Schedule, watch, seal, reseal and match until `stop`."""
    loops = (
        ("schedule", session, TICK_S),
        ("watch", watch.session, TICK_S),
        ("seal", seal.session, TICK_S),
        ("reseal", reseal.session, TICK_S),
        ("conversions", conversions.session, conversions.IDLE_S),
    )
    async with asyncio.TaskGroup() as group:
        for name, opened, idle_s in loops:
            group.create_task(loop.repeat(name, partial(opened, settings), stop, idle_s=idle_s))


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a scheduler with its own connections."""
    async with pg.open_pool(settings) as pool:
        yield Schedule(settings, pool).step
