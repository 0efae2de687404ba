"""What a redirector process holds, and how it comes up."""

from __future__ import annotations

import asyncio
import logging
import signal
import time
from pathlib import Path
from typing import Final, NamedTuple, Self

from core import classes, errors, keyring
from core.clickid import Minter
from core.keyring import KeyRing
from core.settings import Settings
from db import keys
from db.redis import Connection
from redirector.attempts import Attempts
from redirector.cache import Cache
from redirector.caps import Caps
from redirector.commit import Commit
from redirector.replay import replay_forever
from redirector.spool import Spool
from redirector.visitors import Eyes
from web import metrics

log: Final = logging.getLogger("stampgate.redirector")

BOOT_BITS: Final = 16
BOOT_RETRY_S: Final = 0.25
# How far behind its announcements the cache may be before the process says it is not ready.
FEED_AGE_S_MAX: Final = 5.0


class Recorder(NamedTuple):
    """What makes clicks; there is none before Redis has given this process its boot number."""

    minter: Minter
    commit: Commit


class State:
    """Everything that handlers share. Made by `open` inside the loop, ended by `close`."""

    def __init__(self, settings: Settings, ring: KeyRing, redis: Connection, spool: Spool) -> None:
        self.settings = settings
        self.ring = ring
        self.redis = redis
        self.spool = spool
        self.cache = Cache(redis, settings.link_cache_max)
        self.caps = Caps(redis)
        self.eyes = Eyes(settings)
        self.attempts = Attempts()
        self.public_url = settings.public_redirector_url
        self.clicks = metrics.Counts(metrics.clicks, [(name,) for name in classes.NAMES])
        self.requests = metrics.Requests("redirector")
        self._recorder: Recorder | None = None
        self._reconnects = 0
        self._tallies: list[metrics.Tally] = [self, self.clicks, self.requests]
        self._tallies += (*self.cache.tallies, *self.caps.tallies)
        self._tasks: list[asyncio.Task[None]] = []

    @classmethod
    async def open(cls, settings: Settings) -> Self:
        """Come up; Redis may be away, then clicks are refused until it is there."""
        ring = keyring.parse(Path(settings.keyring_file).read_bytes())
        spool = Spool(
            Path(settings.spool_dir),
            segment_bytes=settings.spool_segment_bytes,
            total_bytes=settings.spool_max_bytes,
            syncs=settings.durability == "always",
        )
        redis = await Connection.open(settings.redis_url)
        self = cls(settings, ring, redis, spool)
        self._tasks = [
            asyncio.create_task(self._boot(), name="boot"),
            asyncio.create_task(self.cache.follow(), name="link changes"),
            asyncio.create_task(replay_forever(redis, spool, settings.replica_wait), name="replay"),
            asyncio.create_task(metrics.publish_forever(self._tallies), name="metrics"),
        ]
        for task in self._tasks:
            task.add_done_callback(_stop_unless_well)
        return self

    @property
    def has_booted(self) -> bool:
        """Whether there is a recorder."""
        return self._recorder is not None

    @property
    def recorder(self) -> Recorder:
        """What makes clicks; raises Unavailable before Redis has been reached once."""
        if self._recorder is None:
            raise errors.Unavailable("Redis has not been reached yet")
        return self._recorder

    @property
    def feed_age_s(self) -> float:
        """Seconds since the announcements of links were last read."""
        return time.monotonic() - self.cache.polled_at

    def publish(self) -> None:
        """Show in the metrics how things stand; called at their interval."""
        metrics.redis_pending.set(self.redis.pending)
        metrics.redis_reconnects.inc(self.redis.reconnects - self._reconnects)
        self._reconnects = self.redis.reconnects
        metrics.link_cache_links.set(len(self.cache.links))
        metrics.spool_records.set(self.spool.live)
        metrics.spool_bytes.set(self.spool.used_bytes())

    async def close(self) -> None:
        """Finish the clicks that were begun, leave the rest to the spool, hang up."""
        if self._recorder is not None:
            await self._recorder.commit.drain()
        for task in self._tasks:
            task.cancel()
        await asyncio.wait(self._tasks)
        self.spool.close()
        await self.redis.close()

    async def _boot(self) -> None:
        """Fetch the boot number; from then on clicks can be made."""
        boot = await self._boot_number()
        key_id = self.ring.active_click
        commit = Commit(
            self.redis,
            self.spool,
            boot,
            deadline_s=self.settings.click_deadline_ms / 1000,
            batch_max=self.settings.click_batch_max,
            replicas=self.settings.replica_wait,
        )
        self._tallies.extend(commit.tallies)
        self._recorder = Recorder(Minter(key_id, self.ring.click[key_id], boot), commit)
        log.info("boot %d", boot)

    async def _boot_number(self) -> int:
        while True:
            try:
                boots: int = await self.redis.call("INCR", keys.BOOTS)
                return boots % (1 << BOOT_BITS)
            except errors.StampgateError as error:
                log.debug("no boot number yet: %s", error)
                await asyncio.sleep(BOOT_RETRY_S)


def _stop_unless_well(task: asyncio.Task[None]) -> None:
    """A process without one of its loops is worse than none: the parent starts another."""
    if not task.cancelled() and task.exception() is not None:
        log.critical("%s failed", task.get_name(), exc_info=task.exception())
        signal.raise_signal(signal.SIGTERM)
