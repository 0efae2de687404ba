"""The links of this process: what a click needs is in memory, and Redis is asked once a slug.

What changes is announced on a stream that is read four times a second. A cached link is only ever
replaced by what a snapshot says, or dropped by a snapshot that takes it back. When announcements
may have been missed (the stream was trimmed, or Redis came back empty), every cached link is looked
up again in the background and goes on serving meanwhile; one that Redis does not know any more
stays. So neither an absent nor a wiped Redis turns a known link into a 404.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Iterable
from itertools import islice
from typing import Final

import msgspec

from core import errors, linkrules, links
from core.linkrules import Link
from db import snapshot
from db.redis import Connection
from web import metrics

log: Final = logging.getLogger("stampgate.links")

POLL_S: Final = 0.25
# Links looked up together when many are looked up again.
REFRESH_AT_ONCE: Final = 100

_HIT, _MISS, _UNKNOWN, _AWAY = range(4)


class Cache:
    """Slug → Link, at most `links_max` of them; the oldest makes room."""

    def __init__(self, redis: Connection, links_max: int) -> None:
        self._redis = redis
        self._links_max = links_max
        self._reads: dict[str, asyncio.Task[Link]] = {}
        self._position = snapshot.START
        self.is_bare = False
        self._lookups = metrics.Counts(
            metrics.link_cache_lookups, [("hit",), ("miss",), ("unknown",), ("redis_away",)]
        )
        self.links: dict[str, Link] = {}
        self.polled_at = float("-inf")
        self.tallies: tuple[metrics.Tally, ...] = (self._lookups,)

    def get(self, slug: str) -> Link | None:
        """The link if it is in memory."""
        link = self.links.get(slug)
        if link is not None:
            self.count_hit()
        return link

    def count_hit(self) -> None:
        """Count a link that was taken from `links` directly."""
        self._lookups.pending[_HIT] += 1

    async def find(self, slug: str) -> Link:
        """The link from Redis; raises LinkNotFound, or Unavailable when Redis cannot tell."""
        read = self._reads.get(slug)
        if read is None:
            read = asyncio.create_task(self._read(slug))
            self._reads[slug] = read
            read.add_done_callback(lambda _: self._reads.pop(slug))
        # Shielded: others may wait for the same read.
        return await asyncio.shield(read)

    async def follow(self) -> None:
        """Take in what is announced, until cancelled."""
        while True:
            try:
                await self._poll()
            except errors.StampgateError as error:
                log.debug("the change stream has to wait: %s", error)
            await asyncio.sleep(POLL_S)

    async def _poll(self) -> None:
        while True:
            position, slugs = await snapshot.changes(self._redis, self._position)
            self.polled_at = time.monotonic()
            if slugs is None:
                log.info("announcements may be missing: %d links are read again", len(self.links))
                self.is_bare = position == snapshot.START
                await self._refresh(list(self.links))
            elif slugs:
                self.is_bare = False
                await self._refresh({slug: None for slug in slugs if slug in self.links})
            # Not before the links were read: should that fail, they are read the next time.
            self._position = position
            if slugs is None or len(slugs) < snapshot.CHANGES_READ:
                return

    async def _refresh(self, slugs: Iterable[str]) -> None:
        """Look cached links up again, some at a time."""
        left = iter(slugs)
        while some := list(islice(left, REFRESH_AT_ONCE)):
            blobs = await asyncio.gather(*(snapshot.fetch(self._redis, slug) for slug in some))
            for slug, blob in zip(some, blobs, strict=True):
                if blob:
                    self._keep(slug, _build(slug, blob))
                elif blob is not None:
                    self.links.pop(slug, None)

    async def _read(self, slug: str) -> Link:
        try:
            blob = await snapshot.fetch(self._redis, slug)
        except errors.StampgateError as error:
            self._lookups.pending[_AWAY] += 1
            raise errors.Unavailable("Links cannot be looked up at the moment") from error
        if blob is None and self.is_bare:
            # Redis lost the links and nobody has published one since: it cannot tell.
            self._lookups.pending[_AWAY] += 1
            raise errors.Unavailable("Links are being published again")
        if not blob:
            self._lookups.pending[_UNKNOWN] += 1
            raise errors.LinkNotFound
        link = _build(slug, blob)
        if link is None:
            raise errors.Unavailable("The link cannot be read")
        self._lookups.pending[_MISS] += 1
        self._keep(slug, link)
        return link

    def _keep(self, slug: str, link: Link | None) -> None:
        if link is None:
            return
        if slug not in self.links and len(self.links) >= self._links_max:
            del self.links[next(iter(self.links))]
        self.links[slug] = link


def _build(slug: str, blob: bytes) -> Link | None:
    """The link of a snapshot; None, and a line in the log, when it cannot be read."""
    try:
        decoded = links.decode(blob)
        # A hundred thousand links have few programs.
        program_id = sys.intern(decoded.program_id)
        return linkrules.build(msgspec.structs.replace(decoded, program_id=program_id))
    except (msgspec.DecodeError, errors.BadId):
        log.exception("the snapshot of %s cannot be read", slug)
        return None
