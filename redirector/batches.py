"""A batch of clicks: what one group commit sends to Redis, and what the spool keeps of it."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any, Final

import msgspec

from core import errors, events
from db import keys
from db.redis import CLICK_BATCH, Connection

# Bits of one bitmap of applied batches.
MARKS: Final = 65_536
# A spooled batch that is older than this could be counted twice, should it have been applied.
MARK_TTL_S: Final = 7 * 86_400
REPLICAS_TIMEOUT_MS: Final = 1_000


class Batch(msgspec.Struct, frozen=True, array_like=True):
    """`size` clicks, packed as the stream entry (core.events.ClickBatch), and the live counters.

    (run, number) is the batch's identity: Redis applies it once, however often it is sent. The run
    is random for each process, because a Redis that lost its data hands out boot numbers anew.
    """

    partition: int
    run: int
    number: int
    size: int
    packed: bytes
    counts: dict[str, int]


def pack(
    boot: int, run: int, number: int, clicks: Sequence[events.Click], counters: Sequence[str]
) -> Batch:
    """The batch of `clicks`, the n-th of which adds to the n-th of `counters` (empty: to none)."""
    counts: dict[str, int] = {}
    for counter in counters:
        counts[counter] = counts.get(counter, 0) + 1
    counts.pop("", None)
    packed = events.encode((boot, number, clicks))
    partition = boot % keys.CLICK_PARTITIONS
    return Batch(partition, run, number, len(clicks), packed, counts)


def send(redis: Connection, batch: Batch, replicas: int = 0) -> asyncio.Future[Any]:
    """Send a batch; done when Redis, and so many replicas of it, have acknowledged it.

    Raises and fails as `Connection.run`; too few replicas in time are OutcomeUnknown.
    """
    chunk, bit = divmod(batch.number, MARKS)
    arguments: list[str | bytes | int] = [bit, MARK_TTL_S, batch.packed]
    for counter, clicks in batch.counts.items():
        arguments += counter, clicks
    reply = redis.run(
        CLICK_BATCH,
        (
            keys.click_stream(batch.partition),
            keys.click_counts(batch.partition),
            keys.click_marks(batch.partition, batch.run, chunk),
        ),
        arguments,
    )
    return reply if not replicas else asyncio.ensure_future(_replicated(redis, reply, replicas))


async def _replicated(redis: Connection, reply: asyncio.Future[Any], replicas: int) -> None:
    await reply
    if await redis.call("WAIT", replicas, REPLICAS_TIMEOUT_MS) < replicas:
        raise errors.OutcomeUnknown("Too few replicas have the clicks")
