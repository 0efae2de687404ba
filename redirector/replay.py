"""Replay: what the spool holds goes to Redis as soon as it can.

Every redirector sends its own closed segments and those that nobody holds any more. Sending is
safe to repeat: a batch that Redis has applied before is recognized by its mark.
"""

from __future__ import annotations

import asyncio
import logging
import os
from itertools import islice
from pathlib import Path
from typing import Final

import msgspec

from core import errors
from db import redis as redis_
from db.redis import Connection
from redirector import batches, spool
from redirector.spool import Spool
from web import metrics

log: Final = logging.getLogger("stampgate.replay")

INTERVAL_S: Final = 0.5
# A few at a time, so that new clicks do not wait behind old ones.
AT_ONCE: Final = 4


async def replay_forever(redis: Connection, own: Spool, replicas: int) -> None:
    """Send what is spooled, at an interval, until cancelled."""
    while True:
        try:
            await replay(redis, own, replicas)
        except (errors.StampgateError, OSError) as error:
            log.info("the spool has to wait: %s", error)
        await asyncio.sleep(INTERVAL_S)


async def replay(redis: Connection, own: Spool, replicas: int) -> None:
    """Send all that may be sent now; raises as `Connection.call` when Redis is away or slow."""
    if not own.live and not spool.segments(own.folder):
        return
    await redis_.ping(redis)
    if own.live:
        own.rotate()
    for path in spool.segments(own.folder):
        fd = spool.claim(path)
        if fd is None:
            continue
        try:
            await _replay_segment(redis, path, fd, replicas)
        finally:
            os.close(fd)


async def _replay_segment(redis: Connection, path: Path, fd: int, replicas: int) -> None:
    try:
        waiting = iter(await asyncio.to_thread(spool.read, fd))
    except msgspec.DecodeError:
        # Whole but not ours, as of a later version: kept for a human, out of the way of the rest.
        log.exception("a segment of the spool cannot be read: %s", path.name)
        path.rename(path.with_suffix(".bad"))
        return
    while some := list(islice(waiting, AT_ONCE)):
        await asyncio.gather(*(batches.send(redis, batch, replicas) for batch in some))
        metrics.spool_events.labels("replayed").inc(sum(batch.size for batch in some))
    path.unlink(missing_ok=True)
