"""The ledger: events become transactions and postings, and balances follow in the same commit."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final, NamedTuple

import asyncpg

from core import events, ids
from core import ledger as rules
from db.pg import Db

TRANSACTION_COLUMNS: Final = (
    "partition", "generation", "sequence", "type", "program_id", "member_id", "unit", "amount",
    "balance", "remainder", "caller", "idempotency_key", "body_hash", "related", "reason",
    "reference", "occurred_at", "recorded_at", "expires_at",
)  # fmt: skip
POSTING_COLUMNS: Final = (
    "partition", "generation", "sequence", "ordinal", "source_id", "destination_id", "unit",
    "amount",
)  # fmt: skip

MAKE_ACCOUNTS: Final = """
INSERT INTO account (program_id, role, member_id, unit, partition)
SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[])
 ORDER BY 1, 2, 3, 4, 5
    ON CONFLICT DO NOTHING
"""
FIND_ACCOUNTS: Final = """
SELECT a.program_id, a.role, a.member_id, a.unit, a.partition, a.id
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::smallint[])
       AS k (program_id, role, member_id, unit, partition)
  JOIN account a USING (program_id, role, member_id, unit, partition)
"""
# An account belongs to one partition, and only one transaction at a time holds its checkpoint.
MOVE_BALANCES: Final = """
UPDATE account SET balance = balance + change.amount
  FROM unnest($1::bigint[], $2::bigint[]) AS change (id, amount)
 WHERE account.id = change.id
"""
OPEN_HOLDS: Final = """
INSERT INTO hold (partition, generation, sequence, id, program_id, member_id, unit, amount, state,
                  expires_at, updated_at)
SELECT t.partition, t.generation, t.sequence, u.id, t.program_id, t.member_id, t.unit, t.amount,
       'open', t.expires_at, t.recorded_at
  FROM unnest($1::smallint[], $2::integer[], $3::bigint[], $4::text[])
       AS u (partition, generation, sequence, id)
  JOIN ledger_transaction t USING (partition, generation, sequence)
"""
CLOSE_HOLDS: Final = """
UPDATE hold SET state = u.state, captured = u.captured, updated_at = u.at
  FROM unnest($1::smallint[], $2::integer[], $3::bigint[], $4::text[], $5::bigint[],
              $6::timestamptz[]) AS u (partition, generation, sequence, state, captured, at)
 WHERE hold.partition = u.partition AND hold.generation = u.generation
   AND hold.sequence = u.sequence AND hold.state = 'open'
"""
CLOSED_STATES: Final = {"capture": "captured", "release": "released", "expire": "expired"}

FIND: Final = """
SELECT type, program_id, member_id, unit, amount, balance, reason, reference,
       (extract(epoch FROM occurred_at) * 1000)::bigint AS occurred_at_ms,
       (extract(epoch FROM recorded_at) * 1000)::bigint AS recorded_at_ms
  FROM ledger_transaction WHERE partition = $1 AND generation = $2 AND sequence = $3
"""
# Newest first; a member's events are all in one partition.
STATEMENT: Final = """
SELECT partition, generation, sequence, type, unit, amount, balance, related, reason, reference,
       occurred_at, recorded_at, (extract(epoch FROM recorded_at) * 1000)::bigint AS ms
  FROM ledger_transaction
 WHERE member_id = $1 AND program_id = $2
   AND ($3::text IS NULL OR unit = $3)
   AND ($4::integer IS NULL OR (generation, sequence) < ($4, $5))
 ORDER BY generation DESC, sequence DESC LIMIT $6
"""
SEQUENCE: Final = "SELECT sequence FROM award_partition WHERE partition = $1"

# Each finds rows only where an invariant is broken.
# Also of accounts that are missing though something was posted to them.
IMBALANCES: Final = """
SELECT coalesce(a.id, e.account_id) AS id, a.balance, coalesce(e.total, 0) AS entries
  FROM account a
  FULL JOIN (SELECT account_id, sum(amount)::bigint AS total
               FROM ledger_entry GROUP BY account_id) AS e ON e.account_id = a.id
 WHERE a.balance IS DISTINCT FROM coalesce(e.total, 0)
 LIMIT 100
"""
SUM_OF_BALANCES: Final = """
SELECT unit, sum(balance)::bigint AS total FROM account GROUP BY unit HAVING sum(balance) <> 0
"""

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
Account = tuple[str, str, str, str, int]


class Placed(NamedTuple):
    """A points event and where it was decided."""

    partition: int
    generation: int
    sequence: int
    event: events.PointsEvent


def at(ms: int) -> dt.datetime:
    """Unix milliseconds as a moment; OverflowError beyond the calendar."""
    return _EPOCH + dt.timedelta(milliseconds=ms)


class Book:
    """Writes events to the ledger; remembers account ids, which never change."""

    def __init__(self) -> None:
        self._ids: dict[Account, int] = {}

    def forget(self) -> None:
        """After a rollback: accounts made in it are gone."""
        self._ids.clear()

    async def post(self, db: Db, placed: list[Placed]) -> None:
        """Write the transactions, postings, balances and holds of these events, in order."""
        transactions, moves = [], []
        for item in placed:
            transaction = _transaction(item)
            transactions.append(transaction)
            moves.extend(_moves(item, *transaction[4:7]))
        accounts = {side for _, source, destination, _ in moves for side in (source, destination)}
        await self._know(db, [account for account in accounts if account not in self._ids])
        known = self._ids
        changes: dict[int, int] = {}
        postings = []
        for where, source, destination, amount in moves:
            source_id, destination_id = known[source], known[destination]
            postings.append((*where, source_id, destination_id, source[3], amount))
            changes[source_id] = changes.get(source_id, 0) - amount
            changes[destination_id] = changes.get(destination_id, 0) + amount
        await db.copy_records_to_table(
            "ledger_transaction", records=transactions, columns=TRANSACTION_COLUMNS
        )
        await db.copy_records_to_table("posting", records=postings, columns=POSTING_COLUMNS)
        await db.execute(MOVE_BALANCES, list(changes), list(changes.values()))
        await _keep_holds(db, placed)

    async def _know(self, db: Db, missing: list[Account]) -> None:
        if not missing:
            return
        columns = [list(column) for column in zip(*missing, strict=True)]
        await db.execute(MAKE_ACCOUNTS, *columns)
        for row in await db.fetch(FIND_ACCOUNTS, *columns):
            self._ids[row[0], row[1], row[2], row[3], row[4]] = row[5]


def _transaction(item: Placed) -> tuple[Any, ...]:
    event = item.event
    facts = event.facts
    program_id, member_id, unit = events.parse_account(event.account)
    return (
        item.partition, item.generation, item.sequence, facts.type, program_id, member_id, unit,
        event.amount, event.balance, event.remainder, facts.caller, facts.idempotency_key,
        facts.body_hash, facts.related, facts.reason, facts.reference, at(facts.occurred_at_ms),
        at(facts.recorded_at_ms), None if facts.expires_at_ms is None else at(facts.expires_at_ms),
    )  # fmt: skip


Move = tuple[tuple[int, int, int, int], Account, Account, int]


def _moves(item: Placed, program_id: str, member_id: str, unit: str) -> list[Move]:
    """The event's postings; the program's own accounts are one row per partition."""
    postings = rules.points_postings(
        item.event.facts.type,
        program_id=program_id,
        member_id=member_id,
        unit=unit,
        amount=item.event.amount,
        remainder=item.event.remainder,
    )
    return [
        (
            (item.partition, item.generation, item.sequence, ordinal),
            (program_id, posting.source.role, posting.source.member_id, unit, item.partition),
            (
                program_id,
                posting.destination.role,
                posting.destination.member_id,
                unit,
                item.partition,
            ),
            posting.amount,
        )
        for ordinal, posting in enumerate(postings)
    ]


async def _keep_holds(db: Db, placed: list[Placed]) -> None:
    opened = [item for item in placed if item.event.facts.type == "hold"]
    closed = [item for item in placed if item.event.facts.type in CLOSED_STATES]
    if opened:
        await db.execute(
            OPEN_HOLDS,
            [item.partition for item in opened],
            [item.generation for item in opened],
            [item.sequence for item in opened],
            [hold_id(item) for item in opened],
        )
    if closed:
        related = [parse_key(item.event.facts.related or "") for item in closed]
        await db.execute(
            CLOSE_HOLDS,
            [item.partition for item in closed],
            [generation for generation, _ in related],
            [sequence for _, sequence in related],
            [CLOSED_STATES[item.event.facts.type] for item in closed],
            [item.event.amount if item.event.facts.type == "capture" else 0 for item in closed],
            [at(item.event.facts.recorded_at_ms) for item in closed],
        )


def hold_id(item: Placed) -> str:
    """The API's id of a hold, made of where and when it was decided."""
    return ids.event_id(
        "hold",
        ids.EventRef(
            item.partition, item.generation, item.sequence, item.event.facts.recorded_at_ms
        ),
    )


def parse_key(text: str) -> tuple[int, int]:
    """`generation-sequence` → both numbers; ValueError for another text."""
    generation, _, sequence = text.partition("-")
    return int(generation), int(sequence)


async def find(db: Db, partition: int, generation: int, sequence: int) -> asyncpg.Record | None:
    """The stored event of these numbers."""
    return await db.fetchrow(FIND, partition, generation, sequence)


async def statement(
    db: Db,
    program_id: str,
    member_id: str,
    *,
    unit: str | None,
    before: tuple[int, int] | None,
    limit: int,
) -> list[asyncpg.Record]:
    """A member's events before (generation, sequence), newest first."""
    generation, sequence = before or (None, None)
    return await db.fetch(STATEMENT, member_id, program_id, unit, generation, sequence, limit)


async def sequence(db: Db, partition: int) -> int:
    """Up to which event of a partition PostgreSQL has them all."""
    number: int = await db.fetchval(SEQUENCE, partition)
    return number


async def check(db: Db) -> list[str]:
    """What is wrong with the ledger, in words; empty when every invariant holds."""
    problems = [
        f"unit {row['unit']}: balances sum to {row['total']}, not 0"
        for row in await db.fetch(SUM_OF_BALANCES)
    ]
    problems += [
        f"account {row['id']}: balance {row['balance']}, entries {row['entries']}"
        for row in await db.fetch(IMBALANCES)
    ]
    return problems
