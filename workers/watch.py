"""Looks after what cannot wait for a job: expired holds, reached caps, and how much is waiting."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from core import tasks
from core.settings import Settings
from db import (
    caps,
    clicks,
    dead_letters,
    expiry,
    keys,
    outbox,
    pg,
    points,
    quarantine,
    reconcile,
    redis,
)
from web import metrics
from workers import loop

log: Final = logging.getLogger("stampgate.watch")

GAUGES_MS: Final = 5_000
# One partition at a time.
COMPARE_MS: Final = 60_000

#: An actor's queue.
QUEUES: Final = {route.actor: route.queue for route in tasks.TASKS.values()}


class Watch:
    """One watcher; any number may watch at a time."""

    def __init__(self, settings: Settings, pool: pg.Pool, connection: redis.Connection) -> None:
        """Needs a running loop."""
        self._pool = pool
        self._redis = connection
        self._points = points.Points(connection, settings)
        self._gauges_at_ms = 0
        self._compare_at_ms = 0
        self._mismatches: Counter[int] = Counter()

    async def step(self, now_ms: int) -> int:
        """Close expired holds, tell of reached caps, compare balances, set gauges; how many holds
        and caps."""
        if now_ms >= self._gauges_at_ms:
            self._gauges_at_ms = now_ms + GAUGES_MS
            await self._set_gauges()
        if now_ms >= self._compare_at_ms:
            self._compare_at_ms = now_ms + COMPARE_MS
            await self._compare(now_ms // COMPARE_MS % keys.AWARD_PARTITIONS)
        told = await self._tell_of_caps()
        return told + await expiry.expire_due(self._points, self._redis, now_ms)

    async def _compare(self, number: int) -> None:
        """Compare the balances of a partition in Redis with those in PostgreSQL."""
        async with self._pool.acquire() as db:
            found = await reconcile.compare(db, self._redis, number)
        if found is None:
            return
        for mismatch in found:
            log.error("partition %d: Redis and PostgreSQL differ: %s", number, mismatch)
        self._mismatches[number] = len(found)
        metrics.balance_mismatches.labels("redis").set(self._mismatches.total())

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
            missing = await clicks.missing(db)
        _set_depths(depths)
        for actor in {*QUEUES, *letters}:
            metrics.dead_letters.labels(actor).set(letters.get(actor, 0))
        for kind, count in aside.items():
            metrics.quarantine_depth.labels(kind).set(count)
        metrics.lost_sequence_numbers.labels("click").set(missing)


def _set_depths(depths: list[outbox.Depth]) -> None:
    rows: Counter[str] = Counter()
    oldest_s: dict[str, float] = {}
    for depth in depths:
        queue = QUEUES.get(depth.task, "unknown")
        rows[queue] += depth.rows
        oldest_s[queue] = max(oldest_s.get(queue, 0.0), depth.oldest_s)
    for queue in {*QUEUES.values(), *rows}:
        metrics.outbox_depth.labels(queue).set(rows[queue])
        metrics.outbox_oldest_seconds.labels(queue).set(oldest_s.get(queue, 0.0))


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a watcher with its own connections."""
    connection = await redis.Connection.open(settings.redis_url)
    try:
        async with pg.open_pool(settings) as pool:
            yield Watch(settings, pool, connection).step
    finally:
        await connection.close()
