"""Brings what is sealed, and the hashes that it is found by, under the active field key, and mail
addresses to their present spelling.

It begins when this process has a new one, which is after its restart (`web.keyfile`): by then the
file is on all hosts. It may be killed at any moment, and run beside everything else.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from core import errors
from core.keyring import KeyRing
from core.settings import Settings
from db import pg, resealing, respelling
from web import metrics
from web.keyfile import KeyFile
from workers import loop

log: Final = logging.getLogger("stampgate.reseal")

# For what processes that were not replaced yet have written under an older key.
AGAIN_MS: Final = 600_000


class Resealer:
    """One resealer; several only do the same twice."""

    def __init__(self, file: Path, pool: pg.Pool) -> None:
        self._file = file
        self._keys: KeyFile | None = None
        self._spelling_at: resealing.Position | None = None
        self._pool = pool
        self._at: resealing.Position | None = None
        self._key = ""
        self._again_at_ms = 0
        self._left = 0

    async def step(self, now_ms: int) -> int:
        """Do a portion; returns 0 when there is nothing to be done for now."""
        ring = self._ring()
        if ring is None or len(ring.field) == 1:
            metrics.stale_fields.set(0)
            return 0
        if ring.active_field != self._key:
            self._key, self._at, self._again_at_ms = ring.active_field, None, 0
        is_idle = self._at is None and self._spelling_at is None
        if is_idle and now_ms < self._again_at_ms:
            return 0
        async with self._pool.acquire() as db:
            try:
                if self._spelling_at is not None:
                    return await self._respell(db, ring, self._spelling_at)
                return await self._portion(db, ring, now_ms)
            except (errors.Conflict, errors.BadField) as error:
                log.error("resealing has to wait: %s", error)  # noqa: TRY400 - no more is known
                self._at, self._spelling_at = None, None
                self._again_at_ms = now_ms + AGAIN_MS
                return 0

    def _ring(self) -> KeyRing | None:
        """The key ring; None when it cannot be read, which the sealer says."""
        try:
            if self._keys is None:
                self._keys = KeyFile(self._file)
        except (OSError, errors.BadKeyRing):
            return None
        self._keys.look()
        return self._keys.current

    async def _portion(self, db: pg.Db, ring: KeyRing, now_ms: int) -> int:
        if self._at is None:
            self._again_at_ms = now_ms + AGAIN_MS
            self._show(await resealing.stale(db, ring))
            if not self._left:
                return 0
            self._at = resealing.BEGIN
        self._at, done = await resealing.portion(db, ring, self._at)
        self._show(max(0, self._left - done))
        if self._at is None:
            self._show(await resealing.stale(db, ring))
            log.info("resealed for %s, %d left", ring.active_field, self._left)
            self._spelling_at = resealing.BEGIN
        return 1

    async def _respell(self, db: pg.Db, ring: KeyRing, at: resealing.Position) -> int:
        self._spelling_at, count, taken = await respelling.portion(db, ring, at)
        if count:
            log.info("%d mail addresses were brought to their present spelling", count)
        for one in taken:
            log.warning("%s keeps a mail address that is somebody else's as spelled today", one)
        return 1

    def _show(self, left: int) -> None:
        self._left = left
        metrics.stale_fields.set(left)


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a resealer with its own connections."""
    async with pg.open_pool(settings) as pool:
        yield Resealer(Path(settings.keyring_file), pool).step
