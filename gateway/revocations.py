"""What this process knows to be void before it expires: ended sessions, persons, API keys.

A stream in Redis tells it four times a second. The rows in PostgreSQL are the truth: they are read
at start, when the stream has a gap, every few seconds in case an announcement was lost, and every
second while Redis is away. With both away what is known stays known. A process that has never seen
the rows refuses all sessions with 503, because it cannot tell.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Iterable
from typing import Final

from core import errors
from core.tokens import Principal
from db import pg, redis, revocations
from db.revocations import Revoked

log: Final = logging.getLogger("stampgate.revocations")

POLL_S: Final = 0.25
#: How often the rows are read: with Redis, so that five seconds are kept, and without it.
ROWS_S: Final = 4.0
ROWS_ALONE_S: Final = 1.0
#: Longer than any transaction may wait for its commit.
OVERLAP_S: Final = 60
# Longer than any token is good for.
ALL_S: Final = 100 * 366 * 86_400
FIRST_READ_S: Final = 1.0


class Revocations:
    """The void ids of one process. `open` it, `close` it."""

    def __init__(self, connection: redis.Connection, pool: pg.Pool) -> None:
        self._redis = connection
        self._pool = pool
        self._until: dict[str, int] = {}
        self._position = revocations.START
        self._has_gap = True
        self._rows_read_at = float("-inf")
        self._tasks: list[asyncio.Task[None]] = []
        self._was_read = asyncio.Event()
        #: Told of each API key that was revoked or changed: whoever remembers it reads it again.
        self.when_key_changes: Callable[[str], None] = _ignore

    @property
    def is_loaded(self) -> bool:
        """Whether the rows were read, ever."""
        return self._was_read.is_set()

    def is_revoked(self, principal: Principal) -> bool:
        """Whether the credential is void; Unavailable for a session while nothing is known."""
        until = self._until
        if principal.session_id and not self._was_read.is_set():
            raise errors.Unavailable("Which sessions have ended is not known yet.")
        return bool(until) and (
            principal.session_id in until
            or principal.subject in until
            or principal.token_id in until
        )

    async def open(self) -> None:
        """Read what is void and go on reading; returns also when the servers are away."""
        self._tasks = [
            asyncio.create_task(self._follow(), name="revocations"),
            asyncio.create_task(self._reread(), name="revocation rows"),
        ]
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(FIRST_READ_S):
                await self._was_read.wait()

    async def close(self) -> None:
        """Read no more."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def announce(self, ids: Iterable[str], until_s: int) -> None:
        """Void here at once and everywhere soon what a transaction, now committed, has voided."""
        revoked = [Revoked(one, until_s) for one in ids]
        self._learn(revoked)
        try:
            await revocations.announce(self._redis, revoked, time.time_ns() // 1_000_000)
        except errors.StampgateError as error:
            log.warning("%d revocations are found in PostgreSQL only: %s", len(revoked), error.code)

    async def poll(self) -> None:
        """Take in what was announced; raises as `Connection.call`."""
        while True:
            self._position, found, is_whole = await revocations.changes(self._redis, self._position)
            self._has_gap = self._has_gap or not is_whole
            self._learn(found)
            if len(found) < revocations.READ_MAX:
                return

    async def read_rows(self) -> None:
        """Take in what PostgreSQL has; raises as `pg.CONNECTION_ERRORS`."""
        started = time.monotonic()
        seconds = ALL_S if self._has_gap else int(started - self._rows_read_at) + OVERLAP_S
        async with self._pool.acquire(timeout=5) as db:
            found = await revocations.since(db, seconds)
        self._learn(found)
        self._has_gap, self._rows_read_at = False, started
        self._was_read.set()
        now_s = int(time.time())
        for gone in [one for one, until_s in self._until.items() if until_s < now_s]:
            del self._until[gone]

    def _learn(self, revoked: Iterable[Revoked]) -> None:
        for one in revoked:
            if revocations.kind_of(one.id) == "key":
                self.when_key_changes(one.id)
            else:
                self._until[one.id] = max(one.until_s, self._until.get(one.id, 0))

    async def _follow(self) -> None:
        while True:
            try:
                await self.poll()
            except errors.StampgateError as error:
                log.debug("the stream has to wait: %s", error.code)
            await asyncio.sleep(POLL_S)

    async def _reread(self) -> None:
        while True:
            interval_s = ROWS_S if self._redis.is_up and self.is_loaded else ROWS_ALONE_S
            if self._has_gap or time.monotonic() - self._rows_read_at >= interval_s:
                try:
                    await self.read_rows()
                except pg.CONNECTION_ERRORS as error:
                    log.debug("the rows have to wait: %s", type(error).__name__)
                    await asyncio.sleep(ROWS_ALONE_S)
            await asyncio.sleep(POLL_S)


def _ignore(_key_id: str) -> None:
    """Nobody remembers keys."""
