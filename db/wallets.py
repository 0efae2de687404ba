"""What members have in the money ledger, and how it came about."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal, NamedTuple

import msgspec

from core import ids
from db import money, withdrawals
from db.pg import Db

#: Accounts that a member may look into.
Account = Literal["available", "held", "pending"]

STATEMENT: Final = """
SELECT t.id AS transaction_id, e.ordinal, t.type, t.subject, t.reason, e.amount_minor,
       e.balance_minor, t.recorded_at
  FROM money_account a
  JOIN money_entry e ON e.account_id = a.id
  JOIN money_transaction t ON t.id = e.transaction_id
 WHERE a.program_id = $1 AND a.member_id = $2 AND a.role = $3 AND a.currency = $4
   AND ($5 = '' OR (e.transaction_id, e.ordinal) < ($5, $6::smallint))
 ORDER BY e.transaction_id DESC, e.ordinal DESC LIMIT $7
"""
WRITTEN_OFF: Final = """
SELECT a.currency, sum(e.amount_minor)::bigint AS total_minor
  FROM money_account a
  JOIN money_entry e ON e.account_id = a.id
  JOIN money_transaction t ON t.id = e.transaction_id
 WHERE a.program_id = $1 AND a.member_id = $2 AND t.type = 'write_off'
 GROUP BY a.currency
"""


class Purse(msgspec.Struct, frozen=True, kw_only=True):
    """A member's money in one currency, in its minor units. `pending` is not approved yet, `held`
    waits for withdrawals, `lifetime` is what was earned for good, whatever became of it. What is
    available is below zero when cashback was taken back after it was paid out: what comes in
    repays that first.
    """

    currency: str
    available_minor: int
    held_minor: int
    pending_minor: int
    lifetime_minor: int
    is_negative: bool


class WalletLine(msgspec.Struct, frozen=True, kw_only=True):
    """A change of one account, and what was in it afterwards; `subject` is what it was about."""

    id: str
    type: str
    subject: str
    reason: str | None
    amount_minor: int
    balance_minor: int
    recorded_at: dt.datetime


class Place(NamedTuple):
    """Where a page of a statement ends."""

    transaction_id: str = ""
    ordinal: int = 0


async def purses(db: Db, program_id: str, member_id: str, currency: str) -> list[Purse]:
    """A member's money by currency, the program's `currency` first, also when it is nothing."""
    balances = await money.balances(db, program_id, member_id)
    paid = await withdrawals.paid(db, program_id, member_id)
    rows = await db.fetch(WRITTEN_OFF, program_id, member_id)
    written_off = {row["currency"]: row["total_minor"] for row in rows}
    others = sorted({one for one, _ in balances} - {currency})
    return [
        _purse(
            one,
            {role: minor for (of, role), minor in balances.items() if of == one},
            paid.get(one, 0) - written_off.get(one, 0),
        )
        for one in (currency, *others)
    ]


async def statement(
    db: Db, program_id: str, member_id: str, account: Account, currency: str, *, before: Place,
    limit: int,
) -> list[WalletLine]:  # fmt: skip
    """Up to `limit` changes of an account, the newest first."""
    rows = await db.fetch(STATEMENT, program_id, member_id, account, currency, *before, limit)
    return [
        WalletLine(
            id=line_id(Place(row["transaction_id"], row["ordinal"])),
            type=row["type"],
            subject=row["subject"],
            reason=row["reason"],
            amount_minor=row["amount_minor"],
            balance_minor=row["balance_minor"],
            recorded_at=row["recorded_at"],
        )
        for row in rows
    ]


def line_id(place: Place) -> str:
    """The id of a line: its transaction, and which posting of it."""
    return f"{place.transaction_id}.{place.ordinal}"


def parse_line_id(text: str) -> Place:
    """The place of a line's id; ValueError for what is none."""
    transaction_id, _, ordinal = text.partition(".")
    is_number = ordinal.isascii() and ordinal.isdigit() and len(ordinal) <= 4
    if not (ids.is_id(transaction_id, "transaction") and is_number):
        raise ValueError("this is no line of a statement")
    return Place(transaction_id, int(ordinal))


def _purse(currency: str, balances: dict[str, int], left_minor: int) -> Purse:
    available, held = balances.get("available", 0), balances.get("held", 0)
    return Purse(
        currency=currency,
        available_minor=available,
        held_minor=held,
        # Whether somebody looks at it is not for its member to know.
        pending_minor=balances.get("pending", 0) + balances.get("review", 0),
        lifetime_minor=available + held + left_minor,
        is_negative=available < 0,
    )
