"""Tasks that were given up: listed, sent again, or struck off."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import msgspec

from core.errors import DeadLetterNotFound
from db.pg import Db

LIST: Final = """
SELECT id, task, payload, error, attempts, created_at, replayed_at
  FROM dead_letter
 WHERE ($1::bigint IS NULL OR id < $1) AND ($2 OR replayed_at IS NULL)
   AND ($3::text IS NULL OR task = $3)
 ORDER BY id DESC LIMIT $4
"""

SHOW: Final = """
SELECT id, task, payload, error, attempts, created_at, replayed_at
  FROM dead_letter WHERE id = $1
"""

REPLAY: Final = """
WITH letter AS (
    UPDATE dead_letter SET replayed_at = now() WHERE id = $1 AND replayed_at IS NULL
    RETURNING task, payload
)
INSERT INTO outbox (task, payload) SELECT task, payload FROM letter
"""

REPLAY_ALL: Final = """
WITH letter AS (
    UPDATE dead_letter SET replayed_at = now()
     WHERE replayed_at IS NULL AND ($1::text IS NULL OR task = $1)
    RETURNING task, payload
)
INSERT INTO outbox (task, payload) SELECT task, payload FROM letter
"""

DISCARD: Final = "DELETE FROM dead_letter WHERE id = $1"

COUNTS: Final = "SELECT task, count(*) FROM dead_letter WHERE replayed_at IS NULL GROUP BY task"


class DeadLetter(msgspec.Struct, frozen=True):
    """A task that was given up, and why."""

    id: int
    task: str
    payload: dict[str, Any]
    error: str
    attempts: int
    created_at: dt.datetime
    replayed_at: dt.datetime | None


async def page(
    db: Db,
    *,
    limit: int,
    before: int | None = None,
    task: str | None = None,
    with_replayed: bool = False,
) -> list[DeadLetter]:
    """The newest dead letters, or those older than the id `before`."""
    rows = await db.fetch(LIST, before, with_replayed, task, limit)
    return [_letter(row) for row in rows]


async def show(db: Db, letter_id: int) -> DeadLetter:
    """One dead letter, or raise DeadLetterNotFound."""
    row = await db.fetchrow(SHOW, letter_id)
    if row is None:
        raise DeadLetterNotFound
    return _letter(row)


async def replay(db: Db, letter_id: int) -> DeadLetter:
    """Send the task again. One that was replayed before stays as it is."""
    await db.execute(REPLAY, letter_id)
    return await show(db, letter_id)


async def replay_all(db: Db, task: str | None = None) -> int:
    """Send all dead letters (of one task) again; returns how many."""
    status = await db.execute(REPLAY_ALL, task)
    return int(status.rsplit(" ", 1)[-1])


async def discard(db: Db, letter_id: int) -> None:
    """Strike a dead letter off, or raise DeadLetterNotFound."""
    if await db.execute(DISCARD, letter_id) == "DELETE 0":
        raise DeadLetterNotFound


async def counts(db: Db) -> dict[str, int]:
    """Dead letters not yet replayed, by task."""
    return {row["task"]: row["count"] for row in await db.fetch(COUNTS)}


def _letter(row: Any) -> DeadLetter:
    fields = dict(row)
    return DeadLetter(**{**fields, "payload": msgspec.json.decode(fields["payload"])})
