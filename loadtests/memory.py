"""What a redirector process holds in memory with many cached links."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Final

import msgspec
import uvloop

from core import links
from db import snapshot
from db.redis import Connection
from loadtests import cores, datasets, generator, seed, stack
from loadtests.results import Row, Target
from loadtests.stack import BenchStack

LINKS: Final = 100_000
TARGET: Final = Target(below=250)
TIMEOUT_S: Final = 120.0
AT_ONCE: Final = 1_000
# Of ten links.
MIX: Final = ("splice",) * 6 + ("static",) * 3 + ("rules",)


def measure(running: BenchStack) -> Row:
    """Publish the links, have a new redirector answer for each, and look."""
    uvloop.run(_publish(running))
    running.restart(running.redirector)
    target = generator.Target(stack.HOST, running.redirector.port, _visits(), 302)
    visited = uvloop.run(generator.closed_loop(target, connections=64, seconds=TIMEOUT_S))
    (worker,) = running.workers(running.redirector)
    mib = cores.resident_mib(worker)
    return Row(
        what=f"memory with {LINKS:,} cached links",
        link="mixed",
        durability="always",
        loop="-",
        unit="MiB",
        value=mib,
        lowest=mib,
        highest=mib,
        rounds=1,
        errors=visited.errors,
        target=TARGET,
    )


def _slug(number: int) -> str:
    return f"m{number:06d}"


def _visits() -> Iterator[bytes]:
    for number in range(LINKS):
        yield datasets.redirect_request(_slug(number), datasets.SHORT)


async def _publish(running: BenchStack) -> None:
    kinds = {kind: seed.config(kind, kind) for kind in seed.LINKS}
    connection = await Connection.open(running.settings.redis_url)
    try:
        for first in range(0, LINKS, AT_ONCE):
            await asyncio.gather(
                *(
                    snapshot.publish(
                        connection,
                        _slug(number),
                        number + 1,
                        _blob(running.seed.program_id, kinds[MIX[number % len(MIX)]], number),
                    )
                    for number in range(first, first + AT_ONCE)
                )
            )
    finally:
        await connection.close()


def _blob(program_id: str, config: links.LinkConfig, number: int) -> bytes:
    own = msgspec.structs.replace(config, slug=_slug(number))
    compiled = links.compile_snapshot(seed.new_id("link"), program_id, number + 1, own, None)
    return links.encode(compiled)
