"""Money that operators give, take or write off by hand: proposed, then posted or dropped."""

from __future__ import annotations

import datetime as dt
import os
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import adjustments, errors, ids, wallet
from core.adjustments import Kind, State
from core.wallet import Account
from core.withdrawals import Money
from db import money
from db.pg import Db

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

INSERT: Final = """
INSERT INTO adjustment (id, program_id, member_id, kind, amount_minor, currency, reason, ticket,
                        state, proposed_by, created_at)
SELECT $3, program_id, id, $4, $5, $6, $7, $8, 'proposed', $9, $10 FROM member
 WHERE program_id = $1 AND id = $2 AND (deleted_at IS NULL OR $4 = 'write_off')
RETURNING id, program_id, member_id, kind, amount_minor, currency, reason, ticket, state,
          proposed_by, decided_by, created_at, decided_at
"""
IS_THERE: Final = """
SELECT true FROM member WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL FOR SHARE
"""
SELECT: Final = """
SELECT id, program_id, member_id, kind, amount_minor, currency, reason, ticket, state, proposed_by,
       decided_by, created_at, decided_at
  FROM adjustment WHERE program_id = $1 AND id = $2
"""
LOCK: Final = """
SELECT id, program_id, member_id, kind, amount_minor, currency, reason, ticket, state, proposed_by,
       decided_by, created_at, decided_at
  FROM adjustment WHERE program_id = $1 AND id = $2 FOR UPDATE
"""
PAGE: Final = """
SELECT id, program_id, member_id, kind, amount_minor, currency, reason, ticket, state, proposed_by,
       decided_by, created_at, decided_at
  FROM adjustment
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR member_id = $4) AND ($5::text IS NULL OR state = $5)
 ORDER BY id DESC LIMIT $3
"""
DECIDE: Final = """
UPDATE adjustment SET state = $3, decided_by = $4, decided_at = $5
 WHERE program_id = $1 AND id = $2
RETURNING id, program_id, member_id, kind, amount_minor, currency, reason, ticket, state,
          proposed_by, decided_by, created_at, decided_at
"""


class Adjustment(msgspec.Struct, frozen=True, kw_only=True):
    """An adjustment; `amount_minor` is what the member's available balance changes by."""

    id: str
    program_id: str
    member_id: str
    kind: Kind
    amount_minor: int
    currency: str
    reason: str
    ticket: str | None
    state: State
    proposed_by: str
    decided_by: str | None
    created_at: dt.datetime
    decided_at: dt.datetime | None


class Act(NamedTuple):
    """Who does it, and when."""

    by: str
    at: dt.datetime


async def propose(
    db: Db, program_id: str, adjustment_id: str, *, kind: Kind, about: Money, reason: str,
    ticket: str | None, act: Act,
) -> Adjustment:  # fmt: skip
    """Store what somebody wants; no money moves. MemberNotFound."""
    member_id, amount_minor, currency = about
    row = await db.fetchrow(
        INSERT, program_id, member_id, adjustment_id, kind, amount_minor, currency, reason, ticket,
        *act,
    )  # fmt: skip
    if row is None:
        raise errors.MemberNotFound
    return Adjustment(**row)


async def post(db: Db, before: Adjustment, act: Act) -> Adjustment:
    """Move the money of a locked proposal, in the caller's transaction; AdjustmentNotOpen,
    BalanceNegative, InsufficientBalance, Conflict; MemberNotFound when the member has left since.
    """
    named = before.program_id, before.member_id
    is_given = before.kind == "promotion" and before.amount_minor > 0
    if is_given and not await db.fetchval(IS_THERE, *named):
        raise errors.MemberNotFound
    legs = adjustments.legs(
        before.kind, Money(before.member_id, before.amount_minor, before.currency)
    )
    after = await _decide(db, before, "posted", act)
    locked = await money.lock(db, before.program_id, legs)
    available = locked.balances[Account("available", before.currency, before.member_id)]
    adjustments.check_covered(before.kind, available, before.amount_minor)
    at_ms = (act.at - EPOCH) // dt.timedelta(milliseconds=1)
    moved = money.Transaction(
        id=ids.new("transaction", at_ms, os.urandom(ids.ENTROPY_BYTES)),
        type="write_off" if before.kind == "write_off" else "adjustment",
        subject=before.id,
        step=1,
        member_id=before.member_id,
        reason=before.reason,
        recorded_by=act.by,
        recorded_at=act.at,
        postings=wallet.postings(legs),
    )
    await money.post(db, locked, [moved])
    return after


async def drop(db: Db, before: Adjustment, act: Act) -> Adjustment:
    """Give up a locked proposal; AdjustmentNotOpen."""
    return await _decide(db, before, "dropped", act)


async def get(db: Db, program_id: str, adjustment_id: str) -> Adjustment:
    """The adjustment, or AdjustmentNotFound."""
    return _adjustment(await db.fetchrow(SELECT, program_id, adjustment_id))


async def lock(db: Db, program_id: str, adjustment_id: str) -> Adjustment:
    """The same, which nobody else changes before the transaction ends."""
    return _adjustment(await db.fetchrow(LOCK, program_id, adjustment_id))


async def page(
    db: Db,
    program_id: str,
    *,
    before: str,
    limit: int,
    member_id: str | None = None,
    state: State | None = None,
) -> list[Adjustment]:
    """Up to `limit` adjustments, the newest first."""
    rows = await db.fetch(PAGE, program_id, before, limit, member_id, state)
    return [Adjustment(**row) for row in rows]


async def _decide(db: Db, before: Adjustment, state: State, act: Act) -> Adjustment:
    if before.state != "proposed":
        raise errors.AdjustmentNotOpen(f"The adjustment was {before.state}.")
    return _adjustment(await db.fetchrow(DECIDE, before.program_id, before.id, state, *act))


def _adjustment(row: asyncpg.Record | None) -> Adjustment:
    if row is None:
        raise errors.AdjustmentNotFound
    return Adjustment(**row)
