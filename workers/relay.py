"""Sends what is due in the outbox to the workers, and again what came to nothing."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial
from typing import Final

from core import tasks
from core.settings import Settings
from db import outbox, pg
from workers import broker, loop

BATCH_MAX: Final = 500
# What waits, waits in PostgreSQL: when the workers fall behind, Redis does not fill up, and rows
# that were sent before are not sent again and again.
QUEUED_MAX: Final = 2_000
POLL_S: Final = 0.1
SWEEP_MS: Final = 5_000

KNOWN: Final = sorted(route.actor for route in tasks.TASKS.values())


class Relay:
    """One relay; any number may run at a time."""

    def __init__(self, pool: pg.Pool, sender: broker.Broker) -> None:
        self._pool = pool
        self._sender = sender
        self._sweep_at_ms = 0

    async def step(self, now_ms: int) -> int:
        """Send what is due, sweep now and then; returns how many were sent."""
        room = QUEUED_MAX - await asyncio.to_thread(self._sender.queued)
        if room <= 0:
            return 0
        if now_ms >= self._sweep_at_ms:
            self._sweep_at_ms = now_ms + SWEEP_MS
            await self._sweep(now_ms)
        async with self._pool.acquire() as db, db.transaction():
            tickets = await outbox.claim(db, now_ms, KNOWN, min(room, BATCH_MAX))
            if tickets:
                await asyncio.to_thread(self._sender.send, tickets)
        return len(tickets)

    async def _sweep(self, now_ms: int) -> None:
        async with self._pool.acquire() as db:
            await outbox.sweep(db, now_ms)


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Relay until `stop`."""
    await loop.repeat("relay", partial(session, settings), stop, idle_s=POLL_S)


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a relay with its own connections."""
    sender = broker.for_sending(settings)
    try:
        async with pg.open_pool(settings) as pool:
            yield Relay(pool, sender).step
    finally:
        sender.client.close()
