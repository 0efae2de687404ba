"""Withdrawals: what members asked to be paid, and every step of it with its money, its message and
its webhook in one transaction. The row is locked first, then the accounts.
"""

from __future__ import annotations

import datetime as dt
import os
from typing import Final

import asyncpg
import msgspec

from core import errors, ids, payout_methods, wallet, withdrawal_fraud, withdrawals
from core import money as money_
from core.keyring import KeyRing
from core.notices import Name
from core.payout_methods import Details
from core.texts import builtin
from core.withdrawals import State, Step
from db import money, notices, webhooks, withdrawal_hits
from db import payout_methods as methods
from db.pg import Db

DESTINATION: Final = "withdrawal.destination"
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)

INSERT: Final = """
INSERT INTO withdrawal (id, program_id, member_id, amount_minor, currency, state, version, method,
                        destination, language, is_held, reasons, requested_at, updated_at)
VALUES ($1, $2, $3, $4, $5, 'requested', 1, $6, $7, $8, $9, $10, $11, $11)
"""
SELECT: Final = """
SELECT id, program_id, member_id, amount_minor, currency, state, version, method, destination,
       language, provider, provider_reference, first_approved_by, approved_by, decided_by, reason,
       utr, is_held, reasons, requested_at, updated_at
  FROM withdrawal WHERE program_id = $1 AND id = $2 AND ($3::text IS NULL OR member_id = $3)
"""
LOCK: Final = """
SELECT id, program_id, member_id, amount_minor, currency, state, version, method, destination,
       language, provider, provider_reference, first_approved_by, approved_by, decided_by, reason,
       utr, is_held, reasons, requested_at, updated_at
  FROM withdrawal WHERE program_id = $1 AND id = $2 AND ($3::text IS NULL OR member_id = $3)
   FOR UPDATE
"""
PAGE: Final = """
SELECT id, program_id, member_id, amount_minor, currency, state, version, method, destination,
       language, provider, provider_reference, first_approved_by, approved_by, decided_by, reason,
       utr, is_held, reasons, requested_at, updated_at
  FROM withdrawal
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR member_id = $4) AND ($5::text IS NULL OR state = $5)
   AND ($6::text IS NULL OR method = $6)
   AND ($7::bigint IS NULL OR amount_minor >= $7)
   AND ($8::boolean IS NULL OR is_held = $8)
 ORDER BY id DESC LIMIT $3
"""
UPDATE: Final = """
UPDATE withdrawal
   SET state = $3, version = $4, provider = $5, provider_reference = $6, first_approved_by = $7,
       approved_by = $8, decided_by = $9, reason = $10, utr = $11, updated_at = $12
 WHERE program_id = $1 AND id = $2
"""
# A task and a provider's webhook know the id alone; it was given out by us.
PROGRAM_OF: Final = "SELECT program_id FROM withdrawal WHERE id = $1"
LIFETIME_PAID: Final = """
SELECT currency, sum(amount_minor)::bigint AS paid_minor FROM withdrawal
 WHERE program_id = $1 AND member_id = $2 AND state = 'paid' GROUP BY currency
"""

#: What a member is told of a state, and under which type endpoints hear of it.
TEMPLATES: Final[dict[State, Name]] = {
    "requested": "withdrawal_requested",
    "approved": "withdrawal_approved",
    "rejected": "withdrawal_rejected",
    "failed": "withdrawal_rejected",
    "paid": "withdrawal_paid",
    "reversed": "withdrawal_reversed",
}
EVENTS: Final[dict[State, str]] = {
    "requested": "withdrawal.requested",
    "approved": "withdrawal.approved",
    "rejected": "withdrawal.rejected",
    "failed": "withdrawal.failed",
    "canceled": "withdrawal.canceled",
    "unclear": "withdrawal.unclear",
    "paid": "withdrawal.completed",
    "reversed": "withdrawal.reversed",
}


class Withdrawal(msgspec.Struct, frozen=True, kw_only=True):
    """A withdrawal as it is stored; `destination` is None once it was forgotten. `reasons` are what
    fraud rules found; what is held a person has to approve."""

    id: str
    program_id: str
    member_id: str
    amount_minor: int
    currency: str
    state: State
    version: int
    method: payout_methods.Kind
    destination: Details | None
    language: str
    provider: str | None
    provider_reference: str | None
    first_approved_by: str | None
    approved_by: str | None
    decided_by: str | None
    reason: str | None
    utr: str | None
    is_held: bool
    reasons: list[str]
    requested_at: dt.datetime
    updated_at: dt.datetime

    @property
    def money(self) -> withdrawals.Money:
        """Whose money it is about, and how much."""
        return withdrawals.Money(self.member_id, self.amount_minor, self.currency)


class New(msgspec.Struct, frozen=True, kw_only=True):
    """What a member asks for."""

    id: str
    program_id: str
    member_id: str
    amount_minor: int
    currency: str
    details: Details
    language: str


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which withdrawals are asked for; None asks for all."""

    member_id: str | None = None
    state: State | None = None
    method: payout_methods.Kind | None = None
    min_amount_minor: int | None = None
    is_held: bool | None = None


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes a step, when, and what they say about it."""

    by: str
    at: dt.datetime
    reason: str | None = None
    utr: str | None = None
    provider: str | None = None
    reference: str | None = None


async def request(db: Db, ring: KeyRing, new: New, act: Act) -> Withdrawal:
    """Hold the money and store the wish, in the caller's transaction; BalanceNegative,
    InsufficientBalance. What a fraud rule rejects is given back at once."""
    about = withdrawals.Money(new.member_id, new.amount_minor, new.currency)
    locked = await money.lock(db, new.program_id, withdrawals.accounts(about))
    available = wallet.Account("available", new.currency, new.member_id)
    withdrawals.check_covered(locked.balances[available], new.amount_minor)
    hits = await withdrawal_hits.look(db, new.program_id, about, act.at)
    grade = withdrawal_fraud.grade(hits)
    await db.execute(
        INSERT,
        *(new.id, new.program_id, new.member_id, new.amount_minor, new.currency),
        *(payout_methods.kind(new.details), methods.seal(ring, new.details, DESTINATION, new.id)),
        *(new.language, grade.is_held, grade.reasons, act.at),
    )
    await withdrawal_hits.store(db, new.program_id, new.id, hits, act.at)
    stored = await get(db, ring, new.program_id, new.id)
    await _move(db, locked, None, stored, act)
    await _announce(db, ring, stored)
    if grade.rejected_by is None:
        return stored
    refused = Act(by=grade.rejected_by, at=act.at)
    return await take(db, ring, stored, "reject", refused)


async def get(
    db: Db, ring: KeyRing, program_id: str, withdrawal_id: str, *, member_id: str | None = None
) -> Withdrawal:
    """The withdrawal, or WithdrawalNotFound; also when it is not of the given member."""
    return _withdrawal(ring, await db.fetchrow(SELECT, program_id, withdrawal_id, member_id))


async def lock(
    db: Db, ring: KeyRing, program_id: str, withdrawal_id: str, *, member_id: str | None = None
) -> Withdrawal:
    """The same, which nobody else changes before the transaction ends."""
    return _withdrawal(ring, await db.fetchrow(LOCK, program_id, withdrawal_id, member_id))


async def find_program(db: Db, withdrawal_id: str) -> str | None:
    """The program that a withdrawal belongs to, None when there is none of this id."""
    found: str | None = await db.fetchval(PROGRAM_OF, withdrawal_id)
    return found


async def page(
    db: Db, ring: KeyRing, program_id: str, *, before: str, limit: int, wanted: Wanted
) -> list[Withdrawal]:
    """Up to `limit` withdrawals, the newest first, with ids before `before` unless it is empty."""
    asked = (wanted.member_id, wanted.state, wanted.method, wanted.min_amount_minor, wanted.is_held)
    rows = await db.fetch(PAGE, program_id, before, limit, *asked)
    return [_withdrawal(ring, row) for row in rows]


async def take(db: Db, ring: KeyRing, before: Withdrawal, step: Step, act: Act) -> Withdrawal:
    """Take a step of a locked withdrawal, in the caller's transaction; WithdrawalNotOpen."""
    reached = withdrawals.after(before.state, step)
    after = await _store(db, before, _changed(before, reached, act))
    if withdrawals.legs(before.state, reached, after.money):
        accounts = withdrawals.accounts(after.money)
        locked = await money.lock(db, after.program_id, accounts)
        await _move(db, locked, before.state, after, act)
    await _announce(db, ring, after)
    return after


async def approve_first(db: Db, before: Withdrawal, act: Act) -> Withdrawal:
    """Note the first of two operators who have to approve a locked withdrawal."""
    withdrawals.after(before.state, "approve")
    return await _store(
        db, before, msgspec.structs.replace(before, first_approved_by=act.by, updated_at=act.at)
    )


async def refer(db: Db, before: Withdrawal, reference: str, at: dt.datetime) -> Withdrawal:
    """Note what the provider calls the payout of a locked withdrawal."""
    return await _store(
        db, before, msgspec.structs.replace(before, provider_reference=reference, updated_at=at)
    )


async def paid(db: Db, program_id: str, member_id: str) -> dict[str, int]:
    """What a member was ever paid, by currency."""
    rows = await db.fetch(LIFETIME_PAID, program_id, member_id)
    return {row["currency"]: row["paid_minor"] for row in rows}


def _changed(before: Withdrawal, reached: State, act: Act) -> Withdrawal:
    return msgspec.structs.replace(
        before,
        state=reached,
        approved_by=act.by if reached == "approved" else before.approved_by,
        decided_by=act.by,
        # Why it was not clear is no longer of interest.
        reason=act.reason or (None if before.state == "unclear" else before.reason),
        utr=act.utr or before.utr,
        provider=act.provider or before.provider,
        provider_reference=act.reference or before.provider_reference,
        updated_at=act.at,
    )


async def _store(db: Db, before: Withdrawal, new: Withdrawal) -> Withdrawal:
    after = msgspec.structs.replace(new, version=before.version + 1)
    await db.execute(
        UPDATE,
        *(after.program_id, after.id, after.state, after.version, after.provider),
        *(after.provider_reference, after.first_approved_by, after.approved_by),
        *(after.decided_by, after.reason, after.utr, after.updated_at),
    )
    return after


async def _move(
    db: Db, locked: money.Locked, before: State | None, after: Withdrawal, act: Act
) -> None:
    legs = withdrawals.legs(before, after.state, after.money)
    moved = money.Transaction(
        id=ids.new("transaction", _ms(act.at), os.urandom(ids.ENTROPY_BYTES)),
        type=f"withdrawal_{after.state}",
        subject=after.id,
        step=after.version,
        member_id=after.member_id,
        reason=after.reason,
        recorded_by=act.by,
        recorded_at=act.at,
        postings=wallet.postings(legs),
    )
    await money.post(db, locked, [moved])


async def _announce(db: Db, ring: KeyRing, after: Withdrawal) -> None:
    template, event = TEMPLATES.get(after.state), EVENTS.get(after.state)
    key = f"{after.id}_{after.version}"
    if template is not None:
        notice = notices.Notice(
            program_id=after.program_id,
            member_id=after.member_id,
            template=template,
            variables=_variables(template, after),
            dedupe_key=key,
            language=after.language,
        )
        await notices.tell(db, ring, notice)
    if event is not None:
        data = {
            "id": after.id,
            "member": after.member_id,
            "amount_minor": after.amount_minor,
            "currency": after.currency,
            "state": after.state,
            "utr": after.utr,
            "reason": after.reason,
            "is_held": after.is_held,
        }
        queued = webhooks.Event(after.program_id, event, f"evt_{key}", _ms(after.updated_at), data)
        await webhooks.queue_events(db, [queued])


def _variables(template: str, after: Withdrawal) -> dict[str, str | int]:
    said: dict[str, str | int] = {
        "amount": money_.text(money_.Money(after.amount_minor, after.currency))
    }
    if template == "withdrawal_rejected":
        said["reason"] = _told(after)
    if template == "withdrawal_paid":
        said["utr"] = after.utr or ""
    return said


def _told(after: Withdrawal) -> str:
    """Why it was not paid: what an operator wrote, else ours in the member's language. The words of
    a provider speak of the program's account there, and are for operators."""
    if after.state == "rejected" and after.reason is not None:
        return after.reason
    return builtin.withdrawal_reason(after.state, after.language)


def _ms(moment: dt.datetime) -> int:
    return (moment - EPOCH) // dt.timedelta(milliseconds=1)


def _withdrawal(ring: KeyRing, row: asyncpg.Record | None) -> Withdrawal:
    if row is None:
        raise errors.WithdrawalNotFound
    destination = row["destination"]
    if destination is not None:
        destination = methods.unseal(ring, destination, DESTINATION, row["id"])
    return Withdrawal(**{**row, "destination": destination})
