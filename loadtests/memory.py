"""What a redirector process holds in memory with many cached links."""

from __future__ import annotations

from typing import Final

import uvloop

from loadtests import cores, crowd, datasets, generator, stack
from loadtests.results import Row, Target
from loadtests.stack import BenchStack

TARGET: Final = Target(below=250)
TIMEOUT_S: Final = 120.0
# Of ten links.
MIX: Final = ("splice",) * 6 + ("static",) * 3 + ("rules",)


def measure(running: BenchStack) -> Row:
    """Publish the links, have a new redirector answer for each, and look."""
    blobs = crowd.snapshots(running.seed.program_id, MIX)
    uvloop.run(crowd.publish(running.settings.redis_url, blobs))
    running.restart(running.redirector)
    visits = (datasets.redirect_request(slug, datasets.SHORT) for slug in crowd.slugs())
    target = generator.Target(stack.HOST, running.redirector.port, visits, 302)
    visited = generator.closed_loop(target, connections=64, seconds=TIMEOUT_S)
    (worker,) = running.workers(running.redirector)
    mib = cores.resident_mib(worker)
    return Row(
        what=f"memory with {crowd.LINKS:,} cached links",
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
