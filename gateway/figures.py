"""How programs are doing, read at most every half minute for all who ask, in whichever process.

Redis away: each process reads for itself, once for all who wait.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Final

import msgspec

from core import errors
from db import dashboards, ledger, pg, points, redis

Transaction = Callable[[], AbstractAsyncContextManager[pg.Db]]

_encode: Final = msgspec.json.Encoder().encode


class Figures:
    """The programs' numbers, as they are answered. `close` it."""

    def __init__(
        self, connection: redis.Connection, state: points.Points, transaction: Transaction
    ) -> None:
        self._redis = connection
        self._points = state
        self._transaction = transaction
        self._readings: dict[str, asyncio.Task[bytes]] = {}

    async def close(self) -> None:
        """Let go of what is under way."""
        tasks = list(self._readings.values())
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)

    async def of(self, program_id: str, now_ms: int) -> bytes:
        """The program's numbers, as JSON; ProgramNotFound, Unavailable."""
        with contextlib.suppress(errors.StampgateError):
            kept = await dashboards.fetch(self._redis, program_id)
            if kept is not None:
                return kept
        return await asyncio.shield(self._reading(program_id, now_ms))

    def _reading(self, program_id: str, now_ms: int) -> asyncio.Task[bytes]:
        """One reading at a time of each program."""
        reading = self._readings.get(program_id)
        if reading is None:
            reading = asyncio.create_task(self._read(program_id, now_ms))
            self._readings[program_id] = reading
            reading.add_done_callback(lambda done: self._finish(program_id, done))
        return reading

    def _finish(self, program_id: str, done: asyncio.Task[bytes]) -> None:
        del self._readings[program_id]
        # Whoever waited has been told; nobody may have waited any more.
        _ = done.cancelled() or done.exception()

    async def _read(self, program_id: str, now_ms: int) -> bytes:
        unspent: dict[str, int] | None = None
        with contextlib.suppress(errors.StampgateError):
            unspent = await self._points.unspent(program_id)
        async with self._transaction() as db:
            found = await dashboards.read(db, program_id, ledger.at(now_ms), unspent)
        body = _encode(found)
        with contextlib.suppress(errors.StampgateError):
            await dashboards.keep(self._redis, program_id, body)
        return body
