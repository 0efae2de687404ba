"""Programs as the award path needs them: kept in memory, read again when they are a second old.

PostgreSQL away: what is in memory stays good.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final

from core import errors
from core.programs import Program
from db import pg, programs

FRESH_S: Final = 1.0
PROGRAMS_MAX: Final = 10_000


class Rules:
    """The programs that this process has met."""

    def __init__(self, pool: pg.Pool) -> None:
        self._pool = pool
        self._known: dict[str, tuple[Program, float]] = {}
        self._readings: dict[str, asyncio.Task[Program]] = {}

    async def program(self, program_id: str) -> Program:
        """The program; ProgramNotFound, or Unavailable when it was never read."""
        known = self.known(program_id)
        return await asyncio.shield(self._read(program_id)) if known is None else known

    def known(self, program_id: str) -> Program | None:
        """The program if it is in memory, which is then brought up to date."""
        known = self._known.get(program_id)
        if known is None:
            return None
        if time.monotonic() - known[1] > FRESH_S:
            _ = self._read(program_id)
        return known[0]

    def _read(self, program_id: str) -> asyncio.Task[Program]:
        """One reading at a time for each program."""
        reading = self._readings.get(program_id)
        if reading is None:
            reading = asyncio.create_task(self._fetch(program_id))
            self._readings[program_id] = reading
            reading.add_done_callback(lambda done: self._finish(program_id, done))
        return reading

    def _finish(self, program_id: str, done: asyncio.Task[Program]) -> None:
        del self._readings[program_id]
        if not done.cancelled() and done.exception() is None:
            if len(self._known) >= PROGRAMS_MAX:
                self._known.clear()
            self._known[program_id] = (done.result(), time.monotonic())

    async def _fetch(self, program_id: str) -> Program:
        try:
            async with self._pool.acquire(timeout=5) as db:
                found = await programs.get(db, program_id)
        except pg.CONNECTION_ERRORS as error:
            raise errors.Unavailable("PostgreSQL is away; nothing was changed.") from error
        return Program(found.id, found.time_zone, found.settings)
