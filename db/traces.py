"""Where a member's money came from and went: the transactions of a conversion or a withdrawal."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

import msgspec

from db.pg import Db

SUBJECT_OF: Final = "SELECT subject FROM money_transaction WHERE program_id = $1 AND id = $2"
POSTINGS: Final = """
SELECT t.id, t.type, t.subject, t.step, t.reason, t.recorded_by, t.recorded_at, p.amount_minor,
       s.role AS source, d.role AS destination, s.currency
  FROM money_transaction t
  JOIN money_posting p ON p.transaction_id = t.id
  JOIN money_account s ON s.id = p.source_id
  JOIN money_account d ON d.id = p.destination_id
 WHERE t.program_id = $1 AND t.subject = ANY($2::text[])
 ORDER BY t.subject, t.step, p.ordinal LIMIT $3
"""
# Money has no name on it: what was paid after the cashback was there may be that cashback.
PAYMENTS: Final = """
SELECT id, state, amount_minor, currency, utr, requested_at, updated_at FROM withdrawal
 WHERE program_id = $1 AND ($2::text IS NULL OR member_id = $2) AND ($3::text IS NULL OR id = $3)
   AND ($4::timestamptz IS NULL OR requested_at >= $4)
 ORDER BY id LIMIT $5
"""
PAYMENTS_MAX: Final = 50
POSTINGS_MAX: Final = 1_000


class Posting(msgspec.Struct, frozen=True, kw_only=True):
    """Money that went from one role of account to another."""

    transaction: str
    type: str
    subject: str
    step: int
    source: str
    destination: str
    amount_minor: int
    currency: str
    reason: str | None
    recorded_by: str
    recorded_at: dt.datetime


class Payment(msgspec.Struct, frozen=True, kw_only=True):
    """A withdrawal, and the bank's reference of it."""

    id: str
    state: str
    amount_minor: int
    currency: str
    utr: str | None
    requested_at: dt.datetime
    updated_at: dt.datetime


async def subject_of(db: Db, program_id: str, transaction_id: str) -> str | None:
    """What a transaction moved money for; None if there is none of this id."""
    found: str | None = await db.fetchval(SUBJECT_OF, program_id, transaction_id)
    return found


async def postings(db: Db, program_id: str, subjects: Sequence[str]) -> list[Posting]:
    """What was posted for these subjects, step by step."""
    rows = await db.fetch(POSTINGS, program_id, list(subjects), POSTINGS_MAX)
    return [
        Posting(transaction=row["id"], **{k: v for k, v in row.items() if k != "id"})
        for row in rows
    ]


async def payments(
    db: Db,
    program_id: str,
    *,
    member_id: str | None = None,
    withdrawal_id: str | None = None,
    since: dt.datetime | None = None,
) -> list[Payment]:
    """A member's withdrawals since a moment, or one withdrawal; oldest first."""
    rows = await db.fetch(PAYMENTS, program_id, member_id, withdrawal_id, since, PAYMENTS_MAX)
    return [Payment(**row) for row in rows]
