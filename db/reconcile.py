"""Redis against PostgreSQL: whether both say the same of the balances of a partition."""

from __future__ import annotations

from typing import Final, NamedTuple

import asyncpg

from core import events
from db import keys, redis
from db.pg import Db

SAMPLE_MAX: Final = 200
# Past this many entries PostgreSQL is too far behind to compare; the lag has an alert of its own.
ENTRIES_MAX: Final = 1_000

STANDS: Final = """
SELECT p.generation, p.sequence, c.last_id
  FROM award_partition p JOIN stream_checkpoint c ON c.stream = $2 WHERE p.partition = $1
"""
SAMPLE: Final = """
SELECT a.id, a.program_id, a.member_id, a.unit, a.role, a.balance
  FROM account a LEFT JOIN member m ON m.id = a.member_id
 WHERE a.partition = $1 AND a.role IN ('available', 'held') AND m.deleted_at IS NULL
 ORDER BY random() LIMIT $2
"""


class Mismatch(NamedTuple):
    """An account of the ledger whose balance Redis sees differently."""

    account_id: int
    expected: int
    found: int | None


async def compare(db: Db, connection: redis.Connection, partition: int) -> list[Mismatch] | None:
    """What differs in a sample of the partition's accounts; None when it cannot be told now,
    because the partition is closed, far behind, or moved on meanwhile. Raises as `run`.
    """
    async with db.transaction(isolation="repeatable_read", readonly=True):
        stands = await db.fetchrow(STANDS, partition, keys.award_stream(partition))
        sample = await db.fetch(SAMPLE, partition, SAMPLE_MAX)
    assert stands is not None
    fields = [_field(row) for row in sample]
    if not fields:
        return []
    seen = await connection.run(
        redis.POINTS_PEEK,
        keys.award_state(partition, stands["generation"])[:3],
        (stands["generation"], stands["last_id"], ENTRIES_MAX, *fields),
    )
    if seen is None:
        return None
    sequence, entries, found = seen
    waiting = [event for _, pair in entries for event in events.decode_points(pair[1])]
    if int(sequence) != stands["sequence"] + len(waiting):
        return None
    expected = {field: row["balance"] for field, row in zip(fields, sample, strict=True)}
    for event in waiting:
        _apply(expected, event)
    return [
        Mismatch(row["id"], expected[field], None if value is None else int(value))
        for row, field, value in zip(sample, fields, found, strict=True)
        if int(value or 0) != expected[field]
    ]


def _field(row: asyncpg.Record) -> str:
    field = events.account_field(row["program_id"], row["member_id"], row["unit"])
    return field + "h" if row["role"] == "held" else field


def _apply(expected: dict[str, int], event: events.PointsEvent) -> None:
    """What an event that waits in the stream makes of the balances."""
    if event.account in expected:
        expected[event.account] = event.balance
    held = event.account + "h"
    if held in expected:
        match event.facts.type:
            case "hold":
                expected[held] += event.amount
            case "capture" | "release" | "expire":
                expected[held] -= event.amount + event.remainder
            case "award" | "spend" | "reversal":
                pass
