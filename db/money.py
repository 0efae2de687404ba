"""The money ledger. Accounts are locked in one order, balances move under the lock, and each step
of a subject (a conversion, a withdrawal, a claim) moves money once, whoever asks and how often.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

import asyncpg

from core import wallet
from core.wallet import Account, Posting
from db.pg import Db

MAKE_ACCOUNTS: Final = """
INSERT INTO money_account (program_id, role, currency, member_id, network_id)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::text[]) ORDER BY 2, 3, 4, 5
    ON CONFLICT DO NOTHING
"""
# In the order of their numbers, always: of two who need the same accounts one waits, never both.
LOCK_ACCOUNTS: Final = """
SELECT a.id, a.role, a.currency, a.member_id, a.network_id, a.balance_minor
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
       AS wanted (role, currency, member_id, network_id)
  JOIN money_account a USING (role, currency, member_id, network_id)
 WHERE a.program_id = $1
 ORDER BY a.id FOR NO KEY UPDATE OF a
"""
MOVE_BALANCES: Final = """
UPDATE money_account SET balance_minor = moved.balance_minor
  FROM unnest($2::bigint[], $3::bigint[]) AS moved (id, balance_minor)
 WHERE money_account.id = moved.id AND program_id = $1
"""
INSERT_TRANSACTIONS: Final = """
INSERT INTO money_transaction
       (program_id, id, type, subject, step, member_id, reason, recorded_by, recorded_at)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::text[], $5::integer[], $6::text[], $7::text[],
                         $8::text[], $9::timestamptz[])
"""
INSERT_POSTINGS: Final = """
INSERT INTO money_posting (transaction_id, ordinal, source_id, destination_id, amount_minor,
                           source_minor, destination_minor)
SELECT * FROM unnest($1::text[], $2::smallint[], $3::bigint[], $4::bigint[], $5::bigint[],
                     $6::bigint[], $7::bigint[])
"""
BALANCES: Final = """
SELECT role, currency, balance_minor FROM money_account
 WHERE program_id = $1 AND member_id = $2 ORDER BY currency, role
"""
TOTALS: Final = """
SELECT currency, role, sum(balance_minor)::bigint AS total_minor,
       coalesce(sum(balance_minor) FILTER (WHERE balance_minor < 0), 0)::bigint AS below_zero_minor
  FROM money_account WHERE program_id = $1 GROUP BY currency, role ORDER BY currency, role
"""
# Each finds rows only where an invariant is broken.
IMBALANCES: Final = """
SELECT a.id, a.balance_minor, coalesce(sum(e.amount_minor), 0)::bigint AS entries_minor
  FROM money_account a LEFT JOIN money_entry e ON e.account_id = a.id
 GROUP BY a.id, a.balance_minor
HAVING a.balance_minor <> coalesce(sum(e.amount_minor), 0)
 LIMIT 100
"""
SUM_OF_BALANCES: Final = """
SELECT program_id, currency, sum(balance_minor)::bigint AS total_minor FROM money_account
 GROUP BY program_id, currency HAVING sum(balance_minor) <> 0
"""


class Transaction(NamedTuple):
    """Money that moves for one step of `subject`, because of `reason`, by whom."""

    id: str
    type: str
    subject: str
    step: int
    member_id: str | None
    reason: str | None
    recorded_by: str
    recorded_at: dt.datetime
    postings: Sequence[Posting]


class Total(NamedTuple):
    """All accounts of a role; `below_zero_minor` is the sum of those that are below zero."""

    currency: str
    role: wallet.Role
    total_minor: int
    below_zero_minor: int


class Locked:
    """Accounts that nobody else changes before the transaction ends."""

    def __init__(self, program_id: str, rows: Iterable[asyncpg.Record]) -> None:
        self.program_id = program_id
        self.ids: dict[Account, int] = {}
        self.balances: dict[Account, int] = {}
        for row in rows:
            account = Account(row["role"], row["currency"], row["member_id"], row["network_id"])
            self.ids[account] = row["id"]
            self.balances[account] = row["balance_minor"]


async def lock(db: Db, program_id: str, accounts: Iterable[Account]) -> Locked:
    """Lock these accounts and read their balances; one that is not there yet is made, with nothing
    in it. A transaction locks once, all that it needs."""
    columns = _columns(sorted(set(accounts)), 4)
    await db.execute(MAKE_ACCOUNTS, program_id, *columns)
    return Locked(program_id, await db.fetch(LOCK_ACCOUNTS, program_id, *columns))


async def post(db: Db, locked: Locked, transactions: Sequence[Transaction]) -> None:
    """Move the money of these transactions, one after the other, between locked accounts.

    asyncpg.UniqueViolationError when a step has moved its money before: its caller has locked the
    subject and looked, so this is a mistake of ours. CheckViolationError when an account that may
    not be below zero would be.
    """
    moved = [
        (one.id, ordinal, *_moved(locked, posting))
        for one in transactions
        for ordinal, posting in enumerate(one.postings)
    ]
    changed = sorted({account for one in transactions for account in wallet.accounts(one.postings)})
    await db.execute(
        MOVE_BALANCES,
        locked.program_id,
        [locked.ids[account] for account in changed],
        [locked.balances[account] for account in changed],
    )
    heads = [one[:-1] for one in transactions]
    await db.execute(INSERT_TRANSACTIONS, locked.program_id, *_columns(heads, 8))
    await db.execute(INSERT_POSTINGS, *_columns(moved, 7))


async def balances(db: Db, program_id: str, member_id: str) -> dict[tuple[str, wallet.Role], int]:
    """A member's balances, by currency and role; what never had anything is not there."""
    rows = await db.fetch(BALANCES, program_id, member_id)
    return {(row["currency"], row["role"]): row["balance_minor"] for row in rows}


async def totals(db: Db, program_id: str) -> list[Total]:
    """The program's money by currency and role. In each currency they sum to zero."""
    return [Total(*row) for row in await db.fetch(TOTALS, program_id)]


async def check(db: Db) -> list[str]:
    """What is wrong with the money ledger, in words; empty when every invariant holds."""
    problems = [
        f"{row['program_id']}: balances in {row['currency']} sum to {row['total_minor']}, not 0"
        for row in await db.fetch(SUM_OF_BALANCES)
    ]
    problems += [
        f"money account {row['id']}: balance {row['balance_minor']}, entries {row['entries_minor']}"
        for row in await db.fetch(IMBALANCES)
    ]
    return problems


def _moved(locked: Locked, posting: Posting) -> tuple[int, int, int, int, int]:
    source, destination, amount_minor = posting
    locked.balances[source] -= amount_minor
    locked.balances[destination] += amount_minor
    return (
        locked.ids[source],
        locked.ids[destination],
        amount_minor,
        locked.balances[source],
        locked.balances[destination],
    )


def _columns(rows: Sequence[Sequence[Any]], width: int) -> list[list[Any]]:
    return [list(column) for column in zip(*rows, strict=True)] or [[] for _ in range(width)]
