"""Streams of announcements: a reader stands on the last entry it has seen."""

from __future__ import annotations

from typing import Final

from db.redis import Connection

START: Final = b"0-0"

Fields = list[bytes]


async def after(
    redis: Connection, stream: str, last_id: bytes, count: int
) -> tuple[bytes, list[Fields], bool]:
    """The new position, what was announced after `last_id` (at most `count`), and whether that is
    all: False when the entry that the reader stands on is gone. Raises as `Connection.call`.
    """
    entries = await redis.call("XRANGE", stream, last_id, "+", "COUNT", count + 1)
    is_whole = last_id == START or bool(entries and entries[0][0] == last_id)
    if not is_whole:
        entries = await redis.call("XRANGE", stream, "-", "+", "COUNT", count)
    found = [fields for name, fields in entries if name != last_id]
    return (entries[-1][0] if entries else START), found, is_whole
