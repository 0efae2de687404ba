"""Gives the entries of the audit log their places in their chains, and keeps the heads in Redis.

A head that Redis has kept and PostgreSQL no longer has is evidence: it is not written over, and the
log and the metrics say so until somebody has looked and removed it.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

from core import errors, keyring
from core.settings import Settings
from db import audit_chain, pg, redis
from web import metrics
from workers import loop

log: Final = logging.getLogger("stampgate.seal")

GAUGES_MS: Final = 5_000
COMPARE_MS: Final = 60_000


class Sealer:
    """One sealer; of any number, one works at a time."""

    def __init__(self, settings: Settings, pool: pg.Pool, connection: redis.Connection) -> None:
        self._file = Path(settings.keyring_file)
        self._pool = pool
        self._redis = connection
        self._gauges_at_ms = 0
        self._compare_at_ms = 0

    async def step(self, now_ms: int) -> int:
        """Place what waits, keep the new heads; returns how many entries."""
        # Read anew each time: an entry may be proven with a key that was made a moment ago.
        ring = read_ring(self._file)
        async with self._pool.acquire() as db:
            async with db.transaction():
                sealed = await audit_chain.seal(db, ring)
            await self._keep(db, sealed)
            if now_ms >= self._gauges_at_ms:
                self._gauges_at_ms = now_ms + GAUGES_MS
                waiting = await audit_chain.waiting(db)
                metrics.audit_unsealed.set(waiting.entries)
                metrics.audit_unsealed_seconds.set(waiting.oldest_s)
            if now_ms >= self._compare_at_ms:
                self._compare_at_ms = now_ms + COMPARE_MS
                await self._compare(db)
        return sealed.entries

    async def _keep(self, db: pg.Db, sealed: audit_chain.Sealed) -> None:
        """Redis may be away: what it has kept is then older, and no less true."""
        if not sealed.after:
            return
        try:
            kept = await audit_chain.kept_heads(self._redis, sealed.after)
            good = {
                name: head
                for name, head in sealed.after.items()
                if name not in kept or await audit_chain.has(db, sealed.before[name], kept[name])
            }
            await audit_chain.keep_heads(self._redis, good)
        except errors.StampgateError as error:
            log.warning("audit: heads are not kept in Redis: %s", error.code)

    async def _compare(self, db: pg.Db) -> None:
        """Look whether each chain still has the head that Redis has kept."""
        kept = await audit_chain.all_kept_heads(self._redis)
        chains = await audit_chain.heads(db, kept)
        broken = [
            name
            for name, one in kept.items()
            if not await audit_chain.has(db, chains[name].head, one)
        ]
        for name in broken:
            log.error("audit: the chain of %s was cut short or set back", name or "all")
        metrics.audit_broken_chains.set(len(broken))


def read_ring(file: Path) -> keyring.KeyRing:
    """The key ring; BadKeyRing also when there is no file, which is not a server's fault."""
    try:
        return keyring.parse(file.read_bytes())
    except OSError as error:
        raise errors.BadKeyRing(f"{file}: {error}") from None


@asynccontextmanager
async def session(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a sealer with its own connections."""
    connection = await redis.Connection.open(settings.redis_url)
    try:
        async with pg.open_pool(settings) as pool:
            yield Sealer(settings, pool, connection).step
    finally:
        await connection.close()
