"""Loops that outlast their servers: PostgreSQL or Redis may go away and come back."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import asyncpg
import redis as redis_py

from core import errors
from db import pg

log: Final = logging.getLogger("stampgate.workers")

DELAY_FIRST_S: Final = 0.1
DELAY_MAX_S: Final = 5.0
# What says that a server is away or restarting.
AWAY: Final = (
    *pg.CONNECTION_ERRORS,
    redis_py.RedisError,
    errors.Unavailable,
    errors.OutcomeUnknown,
)
# Before the first migration a table may be missing. Anything else ends the process.
NOT_NOW: Final = (*AWAY, asyncpg.PostgresError)

# Does a part of the work at a time, given in ms; returns how much there was to do.
Step = Callable[[int], Awaitable[int]]
Session = Callable[[], AbstractAsyncContextManager[Step]]


def now_ms() -> int:
    """The wall clock, Unix time."""
    return time.time_ns() // 1_000_000


async def repeat(name: str, session: Session, stop: asyncio.Event, *, idle_s: float) -> None:
    """Step until `stop`, and `idle_s` after a step that had nothing to do.

    When a server is away the session is closed, and opened again with growing delays. The log has
    one line when that begins and one when it ends.
    """
    delay_s, is_away = DELAY_FIRST_S, False
    while not stop.is_set():
        try:
            async for found in _steps(session, stop):
                if is_away:
                    log.info("%s: back to work", name)
                delay_s, is_away = DELAY_FIRST_S, False
                if not found:
                    await pause(stop, idle_s)
        except NOT_NOW as error:
            if not is_away:
                log.warning("%s: waiting for a server: %s", name, type(error).__name__)
            is_away = True
            await pause(stop, delay_s)
            delay_s = min(2 * delay_s, DELAY_MAX_S)


async def pause(stop: asyncio.Event, delay_s: float) -> None:
    """Wait for `delay_s`, or until `stop`."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(delay_s):
            await stop.wait()


async def _steps(session: Session, stop: asyncio.Event) -> AsyncIterator[int]:
    async with session() as step:
        while not stop.is_set():
            yield await step(now_ms())
