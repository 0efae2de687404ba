"""Offers as this process remembers them, so that PostgreSQL is not asked by everybody.

A stream in Redis tells it four times a second whose offers have changed. What was read is good for
some seconds at most, in case an announcement was lost, and for one while Redis is away. With
PostgreSQL away what is remembered stays good.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Final

from core import errors
from db import catalogue, pg, redis, streams
from db.offers import Offer

log: Final = logging.getLogger(__name__)

POLL_S: Final = 0.25
#: How long what was read is good: with Redis, and without it.
FRESH_S: Final = 5.0
FRESH_ALONE_S: Final = 1.0
LISTS_MAX: Final = 2_000
ACQUIRE_TIMEOUT_S: Final = 5.0

#: A program, and what is asked of it.
Key = tuple[str, str]
Read = Callable[[pg.Db], Awaitable[list[Offer]]]


class Catalogue:
    """The lists of offers that this process has met. `open` it, `close` it."""

    def __init__(self, connection: redis.Connection, pool: pg.Pool) -> None:
        self._redis = connection
        self._pool = pool
        self._known: dict[Key, tuple[list[Offer], float]] = {}
        self._readings: dict[Key, asyncio.Task[list[Offer]]] = {}
        self._position = streams.START
        self._task: asyncio.Task[None] | None = None

    def open(self) -> None:
        """Begin to hear of changes."""
        self._task = asyncio.create_task(self._follow(), name="catalogue")

    async def close(self) -> None:
        """Hear no more."""
        tasks = [*self._readings.values(), *([self._task] if self._task else [])]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def offers(self, program_id: str, name: str, read: Read) -> list[Offer]:
        """The offers that `read` would find; Unavailable when they were never read."""
        key = (program_id, name)
        known = self._known.get(key)
        fresh_s = FRESH_S if self._redis.is_up else FRESH_ALONE_S
        if known is not None and time.monotonic() - known[1] < fresh_s:
            return known[0]
        try:
            return await asyncio.shield(self._reading(key, read))
        except errors.Unavailable:
            if known is None:
                raise
            return known[0]

    async def announce(self, program_id: str) -> None:
        """Have all processes read anew what a transaction, now committed, has changed."""
        self._forget(program_id)
        try:
            await catalogue.announce(self._redis, program_id, time.time_ns() // 1_000_000)
        except errors.StampgateError as error:
            log.warning("others will see changed offers some seconds later: %s", error.code)

    async def poll(self) -> None:
        """Forget what was announced; raises as `Connection.call`."""
        while True:
            self._position, found, is_whole = await catalogue.changes(self._redis, self._position)
            if not is_whole:
                self._known.clear()
                self._readings.clear()
            for program_id in set(found):
                self._forget(program_id)
            if len(found) < catalogue.READ_MAX:
                return

    def _forget(self, program_id: str) -> None:
        """Whoever asks from now on reads anew; a reading that is under way may be too old."""
        for key in [key for key in self._known if key[0] == program_id]:
            del self._known[key]
        for key in [key for key in self._readings if key[0] == program_id]:
            del self._readings[key]

    def _reading(self, key: Key, read: Read) -> asyncio.Task[list[Offer]]:
        """One reading at a time of each list."""
        reading = self._readings.get(key)
        if reading is None:
            reading = asyncio.create_task(self._fetch(*key, read))
            self._readings[key] = reading
            reading.add_done_callback(lambda done: self._finish(key, done))
        return reading

    def _finish(self, key: Key, done: asyncio.Task[list[Offer]]) -> None:
        failed = done.cancelled() or done.exception() is not None
        # Otherwise something has changed since it began.
        if self._readings.get(key) is done:
            del self._readings[key]
            if not failed:
                if len(self._known) >= LISTS_MAX:
                    self._known.clear()
                self._known[key] = (done.result(), time.monotonic())

    async def _fetch(self, program_id: str, name: str, read: Read) -> list[Offer]:
        generation: str | None = None
        with contextlib.suppress(errors.StampgateError):
            generation = await catalogue.generation(self._redis, program_id)
            found = await catalogue.fetch(self._redis, program_id, generation, name)
            if found is not None:
                return found
        try:
            async with self._pool.acquire(timeout=ACQUIRE_TIMEOUT_S) as db:
                found = await read(db)
        except pg.CONNECTION_ERRORS as error:
            raise errors.Unavailable("PostgreSQL is away; nothing was changed.") from error
        if generation is not None:
            with contextlib.suppress(errors.StampgateError):
                await catalogue.keep(self._redis, program_id, generation, name, found)
        return found

    async def _follow(self) -> None:
        while True:
            try:
                await self.poll()
            except errors.StampgateError as error:
                log.debug("the stream has to wait: %s", error.code)
            await asyncio.sleep(POLL_S)
