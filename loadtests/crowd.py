"""Many links: made, published to Redis, and visited by Zipf."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

import msgspec

from core import links
from db import snapshot
from db.redis import Connection
from loadtests import seed

LINKS: Final = 100_000
# Visits that are drawn; then they begin again.
VISITS: Final = 100_000
AT_ONCE: Final = 1_000


def slug(number: int) -> str:
    """The slug of a link."""
    return f"m{number:06d}"


def snapshots(program_id: str, mix: Sequence[str]) -> dict[str, bytes]:
    """Packed snapshots by slug; the kinds of seed.LINKS take turns as in `mix`."""
    kinds = {kind: seed.config(kind, kind) for kind in mix}
    return {
        slug(number): _packed(program_id, kinds[mix[number % len(mix)]], number)
        for number in range(LINKS)
    }


async def publish(redis_url: str, blobs: Mapping[str, bytes]) -> None:
    """Publish the snapshots as the gateway would."""
    connection = await Connection.open(redis_url)
    left = iter(blobs.items())
    try:
        while some := list(islice(left, AT_ONCE)):
            await asyncio.gather(*(snapshot.publish(connection, name, 1, b) for name, b in some))
    finally:
        await connection.close()


def slugs() -> Iterator[str]:
    """All slugs once."""
    return map(slug, range(LINKS))


def _packed(program_id: str, config: links.LinkConfig, number: int) -> bytes:
    own = msgspec.structs.replace(config, slug=slug(number))
    compiled = links.compile_snapshot(seed.new_id("link"), program_id, 1, own, None)
    return links.encode(compiled)
