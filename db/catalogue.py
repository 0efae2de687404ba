"""What processes remember of a program's offers: copies in Redis, and word of what has changed.

A copy bears the program's generation, which each change raises: a copy that was made of what was
there before is read by nobody after it. PostgreSQL is the truth, and copies are short-lived.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec

from db import keys, streams
from db.offers import Offer
from db.redis import Connection

READ_MAX: Final = 1_000
#: How long an announcement is kept, and a copy.
KEPT_MS: Final = 3_600_000
COPY_S: Final = 5

_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(list[Offer]).decode


async def announce(redis: Connection, program_id: str, now_ms: int) -> None:
    """Tell all processes that offers of a program have changed; raises as `Connection.call`."""
    await asyncio.gather(
        redis.call("INCR", keys.offer_generation(program_id)),
        redis.call(
            *("XADD", keys.OFFER_CHANGES, "MINID", "~", f"{now_ms - KEPT_MS}-0", "*"),
            *("p", program_id),
        ),
    )


async def changes(redis: Connection, last_id: bytes) -> tuple[bytes, list[str], bool]:
    """The new position, the programs that were announced, and whether those are all."""
    position, found, is_whole = await streams.after(redis, keys.OFFER_CHANGES, last_id, READ_MAX)
    return position, [fields[1].decode() for fields in found], is_whole


async def generation(redis: Connection, program_id: str) -> str:
    """How often the program's offers have changed; raises as `Connection.call`."""
    return str(int(await redis.call("GET", keys.offer_generation(program_id)) or 0))


async def fetch(
    redis: Connection, program_id: str, generation: str, name: str
) -> list[Offer] | None:
    """The offers of a copy, None when there is none that can be read."""
    packed = await redis.call("GET", keys.offer_copy(program_id, generation, name))
    try:
        return None if packed is None else _decode(packed)
    except msgspec.DecodeError:
        # Of a process with other code than this one.
        return None


async def keep(
    redis: Connection, program_id: str, generation: str, name: str, offers: Sequence[Offer]
) -> None:
    """Leave a copy for the others; raises as `Connection.call`."""
    key = keys.offer_copy(program_id, generation, name)
    await redis.call("SET", key, _encode(offers), "EX", COPY_S)
