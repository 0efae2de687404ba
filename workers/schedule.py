"""Does what is to be done from time to time, and watches what waits.

A job is due at whole multiples of its interval. Its run is a row that commits with its work, so
among any number of schedulers each run is made once, and a run cut short is made again. After a
downtime the latest run is made up for; the earlier ones have nothing left to do.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Final, NamedTuple

from core import tasks
from core.settings import Settings
from db import (
    caps,
    dead_letters,
    expiry,
    idempotency,
    ledger,
    outbox,
    pg,
    points,
    quarantine,
    redis,
    retention,
)
from db import schedule as runs
from db.pg import Db
from web import metrics
from workers import loop

log: Final = logging.getLogger("stampgate.schedule")

HOUR_S: Final = 3_600
DAY_MS: Final = 86_400_000
TICK_S: Final = 1.0
GAUGES_MS: Final = 5_000
# A job that failed is tried again after this time.
RETRY_MS: Final = 30_000

CLICK_DAYS_AHEAD: Final = 14
SALT_DAYS: Final = 2
DELIVERY_DAYS: Final = 30
RUN_DAYS: Final = 7

#: An actor's queue.
QUEUES: Final = {route.actor: route.queue for route in tasks.TASKS.values()}

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


async def forget(settings: Settings, db: Db, now_ms: int) -> None:
    """Forget address salts, old answers, old deliveries and old runs."""
    await retention.delete_salts(db, day(now_ms) - dt.timedelta(days=SALT_DAYS - 1))
    await idempotency.delete_old(db, settings.idempotency_ttl_s)
    await retention.delete_deliveries(db, now_ms - DELIVERY_DAYS * DAY_MS)
    await runs.delete_old(db, now_ms - RUN_DAYS * DAY_MS)


async def check_ledger(_settings: Settings, db: Db, _now_ms: int) -> None:
    """Check the ledger's invariants; what is wrong goes to the log and the metrics."""
    problems = await ledger.check(db)
    for problem in problems:
        log.error("ledger: %s", problem)
    metrics.balance_mismatches.labels("ledger").set(len(problems))


JOBS: Final = (
    Job("keep_click_partitions", HOUR_S, keep_partitions),
    Job("forget", HOUR_S, forget),
    Job("check_ledger", HOUR_S, check_ledger),
)


class Schedule:
    """One scheduler; any number may run at a time."""

    def __init__(
        self,
        settings: Settings,
        pool: pg.Pool,
        connection: redis.Connection,
        jobs: tuple[Job, ...] = JOBS,
    ) -> None:
        self._settings = settings
        self._pool = pool
        self._redis = connection
        self._points = points.Points(connection, settings)
        self._jobs = jobs
        self._next_ms = dict.fromkeys((job.name for job in jobs), 0)
        self._gauges_at_ms = 0

    async def step(self, now_ms: int) -> int:
        """Make the runs that are due, close holds, tell of caps, set gauges; what was done."""
        made = 0
        for job in self._jobs:
            if now_ms >= self._next_ms[job.name]:
                made += await self._run(job, now_ms)
        made += await expiry.expire_due(self._points, self._redis, now_ms)
        made += await self._tell_of_caps()
        if now_ms >= self._gauges_at_ms:
            self._gauges_at_ms = now_ms + GAUGES_MS
            await self._set_gauges()
        return made

    async def _run(self, job: Job, now_ms: int) -> bool:
        due_ms = now_ms - now_ms % (job.every_s * 1000)
        try:
            async with self._pool.acquire() as db, db.transaction():
                is_ours = await runs.claim(db, job.name, due_ms)
                if is_ours:
                    await job.action(self._settings, db, now_ms)
                    await runs.finish(db, job.name, due_ms)
        except pg.CONNECTION_ERRORS:
            raise
        except Exception:
            # One job's fault is not to keep the others from running.
            log.exception("%s failed", job.name)
            self._next_ms[job.name] = now_ms + RETRY_MS
            return False
        # Somebody else's run may yet be cut short: look again.
        wait_ms = job.every_s * 1000 - now_ms % (job.every_s * 1000)
        self._next_ms[job.name] = now_ms + (wait_ms if is_ours else min(wait_ms, RETRY_MS))
        return is_ours

    async def _tell_of_caps(self) -> int:
        announced = await caps.read(self._redis)
        if announced:
            async with self._pool.acquire() as db, db.transaction():
                await caps.queue(db, announced)
            await caps.forget(self._redis, announced)
        return len(announced)

    async def _set_gauges(self) -> None:
        async with self._pool.acquire() as db:
            depths = await outbox.depths(db)
            letters = await dead_letters.counts(db)
            aside = await quarantine.counts(db)
        rows, oldest_s = Counter[str](), Counter[str]()
        for depth in depths:
            queue = QUEUES.get(depth.task, "unknown")
            rows[queue] += depth.rows
            oldest_s[queue] = max(oldest_s[queue], int(depth.oldest_s))
        for queue in {*QUEUES.values(), *rows}:
            metrics.outbox_depth.labels(queue).set(rows[queue])
            metrics.outbox_oldest_seconds.labels(queue).set(oldest_s[queue])
        for actor in {*QUEUES, *letters}:
            metrics.dead_letters.labels(actor).set(letters.get(actor, 0))
        for kind, count in aside.items():
            metrics.quarantine_depth.labels(kind).set(count)


def day(now_ms: int) -> dt.date:
    """The UTC day at `now_ms`."""
    return dt.datetime.fromtimestamp(now_ms / 1000, dt.UTC).date()


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Schedule until `stop`."""
    await loop.repeat("schedule", partial(session, settings), stop, idle_s=TICK_S)


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a scheduler with its own connections."""
    connection = await redis.Connection.open(settings.redis_url)
    try:
        async with pg.open_pool(settings) as pool:
            yield Schedule(settings, pool, connection).step
    finally:
        await connection.close()
