"""Link snapshots in Redis: what the redirector reads of links, and how they are announced.

Publishing sets a snapshot unless a newer one is there and adds its slug to one change stream, in
one call. A reader stands on the last entry it has seen. When that entry is gone, because the
stream was trimmed or Redis lost it, the reader cannot know what it missed.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from db import keys
from db.redis import LINK_PUBLISH, Connection

# What a redirector may miss while it is away without having to look at every link again.
CHANGES_KEPT: Final = 100_000
CHANGES_READ: Final = 1_000

START: Final = b"0-0"


def publish(redis: Connection, slug: str, version: int, blob: bytes) -> asyncio.Future[Any]:
    """Publish a snapshot, empty when the slug is gone; 1, or 0 when one as new was there.

    Raises as `Connection.run`.
    """
    return redis.run(
        LINK_PUBLISH,
        (keys.link_snapshot(slug), keys.LINK_CHANGES),
        (version, blob, slug, CHANGES_KEPT),
    )


async def fetch(redis: Connection, slug: str) -> bytes | None:
    """The snapshot of a slug, empty when it was taken back, None when there never was one."""
    blob: bytes | None = await redis.call("HGET", keys.link_snapshot(slug), "b")
    return blob


async def position(redis: Connection) -> bytes:
    """Where the change stream ends now; START when there is none."""
    entries = await redis.call("XREVRANGE", keys.LINK_CHANGES, "+", "-", "COUNT", 1)
    last: bytes = entries[0][0] if entries else START
    return last


async def changes(redis: Connection, last_id: bytes) -> tuple[bytes, list[str] | None]:
    """The new position and the slugs announced after `last_id`, at most CHANGES_READ.

    None instead of the slugs: what was announced after `last_id` is not known any more.
    """
    entries = await redis.call("XRANGE", keys.LINK_CHANGES, last_id, "+", "COUNT", CHANGES_READ + 1)
    if entries and entries[0][0] == last_id:
        return entries[-1][0], [fields[1].decode() for _, fields in entries[1:]]
    if not entries and last_id == START:
        return START, []
    return await position(redis), None
