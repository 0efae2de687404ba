"""Bring an award partition back from PostgreSQL: a new generation beside whatever is left in Redis.

The caller owns the partition (advisory lock), has closed it and drained its stream. Until the head
is switched at the end nothing reads the new keys; a crash on the way leaves the partition closed,
and the next attempt takes the next generation.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterable
from typing import Any, Final, NamedTuple

import asyncpg

from core import events
from db import keys, redis
from db.pg import Db

FIELDS_A_CALL: Final = 500
CALLS_OUT: Final = 32
# Attempts that were cut short have left something behind, too.
GENERATIONS_FORGOTTEN: Final = 8
LIMITS_TTL_MS: Final = 172_800_000

RAISE: Final = """
UPDATE award_partition SET generation = generation + 1, rebuilt_at = now()
 WHERE partition = $1 RETURNING generation, sequence
"""
BALANCES: Final = """
SELECT a.program_id, a.member_id, a.unit, a.role, a.balance
  FROM account a LEFT JOIN member m ON m.id = a.member_id
 WHERE a.partition = $1 AND a.role IN ('available', 'held') AND m.deleted_at IS NULL
"""
OPEN_HOLDS: Final = """
SELECT generation, sequence, program_id, member_id, unit, amount,
       (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms
  FROM hold WHERE partition = $1 AND state = 'open'
"""
REVERSED: Final = """
SELECT related, sum(amount)::bigint AS amount FROM ledger_transaction
 WHERE partition = $1 AND type = 'reversal' GROUP BY related
"""
MARKERS: Final = """
SELECT generation, sequence, type, program_id, member_id, unit, amount, balance, remainder, caller,
       idempotency_key, body_hash, related,
       (extract(epoch FROM recorded_at) * 1000)::bigint AS at_ms
  FROM ledger_transaction
 WHERE partition = $1 AND idempotency_key <> ''
   AND recorded_at > to_timestamp($2::double precision / 1000)
"""
LIMITS: Final = """
SELECT t.program_id, t.member_id, t.unit,
       to_char(t.recorded_at AT TIME ZONE p.time_zone, 'YYYYMMDD') AS day,
       sum(t.amount)::bigint AS amount
  FROM ledger_transaction t JOIN program p ON p.id = t.program_id
 WHERE t.partition = $1 AND t.type = 'award'
   AND t.recorded_at > to_timestamp($2::double precision / 1000) - interval '2 days'
   AND p.settings -> t.unit ->> 'per_member_day' IS NOT NULL
 GROUP BY 1, 2, 3, 4
"""
LAST: Final = """
SELECT t.program_id, t.member_id, t.unit,
       (extract(epoch FROM max(t.recorded_at)) * 1000)::bigint AS at_ms
  FROM ledger_transaction t JOIN program p ON p.id = t.program_id
 WHERE t.partition = $1 AND t.type = 'award'
   AND coalesce((p.settings -> t.unit ->> 'interval_s')::integer, 0) > 0
 GROUP BY 1, 2, 3
"""
# A reversal gives nothing back to the budget. Awards from before there was one count as if they had
# used it, which can leave leases unused but never exceeds the budget.
LEASES: Final = """
SELECT l.program_id, l.unit,
       greatest(0, l.leased + coalesce(a.balance, 0) - coalesce(r.amount, 0))::bigint AS left_over
  FROM budget_lease l
  LEFT JOIN account a ON a.program_id = l.program_id AND a.unit = l.unit AND a.role = 'budget'
        AND a.partition = l.partition
  LEFT JOIN (SELECT program_id, unit, sum(amount) AS amount FROM ledger_transaction
              WHERE partition = $1 AND type = 'reversal' GROUP BY program_id, unit) r
        ON r.program_id = l.program_id AND r.unit = l.unit
 WHERE l.partition = $1
"""


class Report(NamedTuple):
    """What a rebuild loaded."""

    generation: int
    accounts: int
    holds: int
    markers: int


class _Load:
    """Writes to Redis with a bounded number of commands out."""

    def __init__(self, connection: redis.Connection) -> None:
        self._redis = connection
        self._out: set[asyncio.Future[Any]] = set()

    async def send(self, *command: redis.Argument) -> None:
        if len(self._out) >= CALLS_OUT:
            await self.settle()
        self._out.add(self._redis.call(*command))

    async def settle(self) -> None:
        out, self._out = self._out, set()
        if out:
            await asyncio.gather(*out)

    async def hash(self, key: str, pairs: Iterable[tuple[str, int | str]]) -> int:
        """HSET all pairs; returns how many there were."""
        flat: list[redis.Argument] = [part for pair in pairs for part in pair]
        for start in range(0, len(flat), 2 * FIELDS_A_CALL):
            await self.send("HSET", key, *flat[start : start + 2 * FIELDS_A_CALL])
        return len(flat) // 2


async def close(connection: redis.Connection, partition: int) -> None:
    """No award is decided in the partition until it is opened again."""
    await connection.call("HSET", keys.award_head(partition), "open", "0")


async def rebuild(
    db: Db, connection: redis.Connection, partition: int, *, now_ms: int, marker_ttl_ms: int
) -> Report:
    """Load a new generation from PostgreSQL and open the partition; see the module."""
    async with db.transaction(isolation="repeatable_read"):
        generation, sequence = await db.fetchrow(RAISE, partition) or (0, 0)
        report = await _load(db, connection, partition, generation, now_ms, marker_ttl_ms)
    await connection.run(
        redis.POINTS_HEAD,
        (keys.award_head(partition),),
        (generation, sequence, connection.run_id, 1),
    )
    for old in range(max(0, generation - GENERATIONS_FORGOTTEN), generation):
        await _forget(connection, partition, old)
    return report


async def reopen(
    connection: redis.Connection, partition: int, *, generation: int, sequence: int
) -> None:
    """Redis came back with all it had acknowledged: open at the same generation."""
    await connection.run(
        redis.POINTS_HEAD,
        (keys.award_head(partition),),
        (generation, sequence, connection.run_id, 0),
    )


async def _load(
    db: Db, connection: redis.Connection, partition: int, generation: int, now_ms: int, ttl_ms: int
) -> Report:
    load = _Load(connection)
    accounts = await load.hash(
        keys.award_balances(partition, generation),
        (
            (_account(row) + ("h" if row["role"] == "held" else ""), row["balance"])
            for row in await db.fetch(BALANCES, partition)
        ),
    )
    holds = await db.fetch(OPEN_HOLDS, partition)
    await load.hash(
        keys.award_holds(partition, generation),
        ((_key(row), f"{_account(row)} {row['amount']}") for row in holds),
    )
    for row in holds:
        expiries = keys.award_hold_expiries(partition, generation)
        await load.send("ZADD", expiries, row["expires_at_ms"], _key(row))
    await load.hash(
        keys.award_reversed(partition, generation),
        ((row["related"], row["amount"]) for row in await db.fetch(REVERSED, partition)),
    )
    await _load_limits(db, load, partition, generation, now_ms)
    markers = await _load_markers(db, load, partition, generation, now_ms, ttl_ms)
    await load.settle()
    return Report(generation, accounts, len(holds), markers)


async def _load_limits(db: Db, load: _Load, partition: int, generation: int, now_ms: int) -> None:
    for row in await db.fetch(LIMITS, partition, now_ms):
        day = keys.award_limits(partition, generation, row["day"])
        await load.send("HSET", day, _account(row), row["amount"])
        await load.send("PEXPIRE", day, LIMITS_TTL_MS)
    await load.hash(
        keys.award_last_stamp(partition, generation),
        ((_account(row), row["at_ms"]) for row in await db.fetch(LAST, partition)),
    )
    await load.hash(
        keys.award_budget(partition, generation),
        (
            (f"{row['program_id']}:{events.UNIT_LETTERS[row['unit']]}", row["left_over"])
            for row in await db.fetch(LEASES, partition)
        ),
    )


async def _load_markers(
    db: Db, load: _Load, partition: int, generation: int, now_ms: int, ttl_ms: int
) -> int:
    count = 0
    async for row in _rows(db, MARKERS, partition, now_ms - ttl_ms):
        subject = row["related"] if row["type"] in {"capture", "release"} else row["member_id"]
        scope = keys.award_scope(row["program_id"], row["caller"], subject, row["idempotency_key"])
        answer = (
            f"{row['generation']} {row['sequence']} {row['balance']} {row['at_ms']} "
            f"{row['amount']} {row['remainder']} {_account(row)}"
        )
        await load.send(
            "SET", keys.award_marker(partition, generation, scope),
            row["body_hash"] + answer.encode(), "PX", max(1, row["at_ms"] + ttl_ms - now_ms),
        )  # fmt: skip
        count += 1
    return count


async def _rows(db: Db, query: str, *arguments: Any) -> AsyncIterator[asyncpg.Record]:
    async for row in db.cursor(query, *arguments, prefetch=2000):
        yield row


async def _forget(connection: redis.Connection, partition: int, generation: int) -> None:
    """Drop the state of an older generation; its markers and limits expire by themselves."""
    old = (
        keys.award_balances(partition, generation),
        keys.award_holds(partition, generation),
        keys.award_hold_expiries(partition, generation),
        keys.award_reversed(partition, generation),
        keys.award_last_stamp(partition, generation),
        keys.award_budget(partition, generation),
    )
    await connection.call("UNLINK", *old)


def _account(row: asyncpg.Record) -> str:
    return events.account_field(row["program_id"], row["member_id"], row["unit"])


def _key(row: asyncpg.Record) -> str:
    return f"{row['generation']}-{row['sequence']}"
