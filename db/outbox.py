"""Tasks that wait to be performed. A row lives from the transaction that wants it until it is done.

`attempts` counts the starts of a row and travels in the message: a message is good for one start,
so that a copy of it (the relay was killed between sending and marking, Redis gave a message twice)
starts nothing. `sent_at` is when the row was last sent or started; a row that is neither done nor
put off some time later was lost with its message or its worker, and is sent again.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from core import tasks
from db.pg import Db

# Longer than any actor may run (`workers/broker.py`) that does not `renew`, or it would be started
# twice.
RESEND_AFTER_S: Final = 60
# The wait grows with each start that came to nothing, up to this many times.
RESEND_FACTOR_MAX: Final = 15
# A row started this often without an end ends its worker each time.
STARTS_MAX: Final = 25

ADD: Final = """
INSERT INTO outbox (task, payload, due_at)
VALUES ($1, $2, coalesce(to_timestamp($3::bigint / 1000.0), now()))
RETURNING id
"""

ADD_MANY: Final = """
INSERT INTO outbox (task, payload)
SELECT task, payload::jsonb FROM unnest($1::text[], $2::text[]) AS item (task, payload)
"""

CLAIM: Final = """
WITH due AS (
    SELECT id FROM outbox
     WHERE sent_at IS NULL AND due_at <= to_timestamp($1::bigint / 1000.0)
       AND task = ANY($2::text[])
     ORDER BY due_at, id
     LIMIT $3
       FOR UPDATE SKIP LOCKED
)
UPDATE outbox SET sent_at = to_timestamp($1::bigint / 1000.0)
  FROM due WHERE outbox.id = due.id
RETURNING outbox.id, outbox.task, outbox.attempts
"""

# By PostgreSQL's clock: a worker whose clock is behind would see its own start as long past.
START: Final = """
UPDATE outbox SET attempts = attempts + 1, sent_at = now()
 WHERE id = $1 AND attempts = $2
RETURNING task, payload
"""

# Only by whoever made the latest start.
RENEW: Final = """
UPDATE outbox SET sent_at = now() WHERE id = $1 AND attempts = $2 RETURNING id
"""

PUT_OFF: Final = """
UPDATE outbox SET sent_at = NULL, due_at = to_timestamp($2::bigint / 1000.0) WHERE id = $1
"""

DONE: Final = "DELETE FROM outbox WHERE id = $1"

BURY: Final = """
WITH hopeless AS (DELETE FROM outbox WHERE id = $1 RETURNING task, payload, attempts)
INSERT INTO dead_letter (task, payload, error, attempts)
SELECT task, payload, $2, attempts FROM hopeless
"""

BURY_UNFINISHED: Final = """
WITH unfinished AS (
    SELECT id FROM outbox
     WHERE sent_at < to_timestamp($1::bigint / 1000.0) - interval '1 second' * $2::integer
       AND attempts >= $3
       FOR UPDATE SKIP LOCKED
), hopeless AS (
    DELETE FROM outbox USING unfinished WHERE outbox.id = unfinished.id
    RETURNING task, payload, attempts
)
INSERT INTO dead_letter (task, payload, error, attempts)
SELECT task, payload, 'never finished', attempts FROM hopeless
"""

SWEEP: Final = """
WITH unfinished AS (
    SELECT id FROM outbox
     WHERE sent_at < to_timestamp($1::bigint / 1000.0) - interval '1 second' * $2::integer
       AND sent_at < to_timestamp($1::bigint / 1000.0)
                     - interval '1 second' * $2::integer * least(attempts + 1, $3::integer)
     LIMIT $4
       FOR UPDATE SKIP LOCKED
)
UPDATE outbox SET sent_at = NULL FROM unfinished WHERE outbox.id = unfinished.id
"""

DEPTHS: Final = """
SELECT task, count(*) AS rows,
       coalesce(extract(epoch FROM now() - min(due_at) FILTER (WHERE due_at <= now())), 0)::float8
           AS oldest_s
  FROM outbox GROUP BY task
"""


class Ticket(NamedTuple):
    """What a message carries: the row, its task's name and the start it is good for."""

    id: int
    task: str
    attempt: int


class Depth(NamedTuple):
    """How much of one task waits, and for how long the oldest that is due."""

    task: str
    rows: int
    oldest_s: float


async def add(db: Db, task: tasks.Task, *, due_at_ms: int | None = None) -> int:
    """Want `task` performed, now or at `due_at_ms`, if the caller's transaction commits."""
    name, payload = tasks.dump(task)
    row_id = await db.fetchval(ADD, name, payload.decode(), due_at_ms)
    assert isinstance(row_id, int)
    return row_id


async def add_many(db: Db, wanted: Iterable[tasks.Task]) -> None:
    """Want all these tasks performed now, if the caller's transaction commits."""
    dumped = [tasks.dump(task) for task in wanted]
    await db.execute(
        ADD_MANY, [name for name, _ in dumped], [payload.decode() for _, payload in dumped]
    )


async def claim(db: Db, now_ms: int, names: Sequence[str], limit: int) -> list[Ticket]:
    """Mark up to `limit` due rows of the named tasks as sent.

    They are to be sent before the transaction commits: a kill in between sends them twice, which
    is harmless; the other order would lose them until the sweep.
    """
    return [Ticket(*row) for row in await db.fetch(CLAIM, now_ms, names, limit)]


async def start(db: Db, row_id: int, attempt: int) -> tasks.Task | None:
    """The task to perform, or None when this start was made before or the row is done.

    A row that no longer says anything raises BadTask.
    """
    row = await db.fetchrow(START, row_id, attempt)
    return None if row is None else tasks.load(row["task"], row["payload"].encode())


async def renew(db: Db, row_id: int, starts: int) -> bool:
    """Say that the latest start, the one of this number, is under way still; False when it is not
    the latest any more, or the row is done."""
    return await db.fetchval(RENEW, row_id, starts) is not None


async def put_off(db: Db, row_id: int, due_at_ms: int) -> None:
    """Have the row sent again at `due_at_ms`."""
    await db.execute(PUT_OFF, row_id, due_at_ms)


async def done(db: Db, row_id: int) -> None:
    """Forget the row; its task is performed."""
    await db.execute(DONE, row_id)


async def bury(db: Db, row_id: int, error: str) -> None:
    """Give the row up: it becomes a dead letter."""
    await db.execute(BURY, row_id, error)


async def sweep(db: Db, now_ms: int, limit: int = 1_000) -> int:
    """Have rows sent again that were sent and came to nothing; returns how many.

    Rows that ended their worker too often are buried.
    """
    await db.execute(BURY_UNFINISHED, now_ms, RESEND_AFTER_S, STARTS_MAX)
    status = await db.execute(SWEEP, now_ms, RESEND_AFTER_S, RESEND_FACTOR_MAX, limit)
    return int(status.rsplit(" ", 1)[-1])


async def depths(db: Db) -> list[Depth]:
    """What waits, by task."""
    rows = await db.fetch(DEPTHS)
    return [Depth(row["task"], row["rows"], row["oldest_s"]) for row in rows]
