"""Events that could not be applied, and their second chance."""

from __future__ import annotations

from typing import Final, NamedTuple

from db import flush
from db.pg import Db

PAGE: Final = """
SELECT id, stream, entry_id, position, payload, error FROM quarantine
 WHERE $1::bigint IS NULL OR id = $1 ORDER BY id
"""
COUNTS: Final = """
SELECT count(*) FILTER (WHERE stream LIKE '{a%') AS points,
       count(*) FILTER (WHERE stream LIKE '{c%') AS clicks
  FROM quarantine
"""
TAKE: Final = "DELETE FROM quarantine WHERE id = $1"


class Event(NamedTuple):
    """An event that was set aside, and why."""

    id: int
    stream: str
    entry_id: str
    position: int
    payload: bytes
    error: str


async def page(db: Db, event_id: int | None = None) -> list[Event]:
    """All of them, or the one of this id."""
    return [Event(*row) for row in await db.fetch(PAGE, event_id)]


async def replay(db: Db, flusher: flush.Flush, event: Event) -> None:
    """Apply the event where it belongs and take it out, or raise one of flush.REFUSALS."""
    async with db.transaction():
        await flusher.apply_event(db, event.stream, event.entry_id, event.position, event.payload)
        await db.execute(TAKE, event.id)


async def counts(db: Db) -> dict[str, int]:
    """How many there are, by kind."""
    return dict(await db.fetchrow(COUNTS) or {})
