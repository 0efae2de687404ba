"""Where members are paid: sealed, and found by a keyed hash."""

from __future__ import annotations

import datetime as dt
from typing import Final

import asyncpg
import msgspec

from core import errors, fields, payout_methods
from core.keyring import KeyRing
from core.payout_methods import Details, Kind
from db import sealing
from db.pg import Db

DETAILS: Final = "payout_method.details"
HASHED: Final = "payout_method.details_hash"

# Two at a time wait for each other here, so that neither goes beyond the limit.
LOCK_MEMBER: Final = """
SELECT id FROM member WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
"""
SAME: Final = """
SELECT id, member_id, kind, details, created_at FROM payout_method
 WHERE program_id = $1 AND member_id = $2 AND details_hash = ANY($3::bytea[])
"""
COUNT: Final = "SELECT count(*) FROM payout_method WHERE program_id = $1 AND member_id = $2"
INSERT: Final = """
INSERT INTO payout_method (id, program_id, member_id, kind, details, details_hash, created_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, member_id, kind, details, created_at
"""
SELECT: Final = """
SELECT id, member_id, kind, details, created_at FROM payout_method
 WHERE program_id = $1 AND member_id = $2 AND id = $3
"""
OF_MEMBER: Final = """
SELECT id, member_id, kind, details, created_at FROM payout_method
 WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
DELETE: Final = """
DELETE FROM payout_method WHERE program_id = $1 AND member_id = $2 AND id = $3 RETURNING kind
"""
OTHERS: Final = """
SELECT DISTINCT member_id FROM payout_method
 WHERE program_id = $1 AND member_id <> $2 AND details_hash = ANY($3::bytea[])
 ORDER BY member_id LIMIT 20
"""


class Method(msgspec.Struct, frozen=True, kw_only=True):
    """A way to pay a member."""

    id: str
    member_id: str
    kind: Kind
    details: Details
    created_at: dt.datetime


async def add(
    db: Db, ring: KeyRing, program_id: str, member_id: str, method_id: str, details: Details,
    now: dt.datetime,
) -> Method:  # fmt: skip
    """Store a way to pay a member, or the one there is that leads to the same account; in the
    caller's transaction. MemberNotFound, TooManyPayoutMethods."""
    if await db.fetchval(LOCK_MEMBER, program_id, member_id) is None:
        raise errors.MemberNotFound
    row = await db.fetchrow(SAME, program_id, member_id, hashes(ring, details))
    if row is not None:
        return _method(ring, row)
    if await db.fetchval(COUNT, program_id, member_id) >= payout_methods.MOST:
        raise errors.TooManyPayoutMethods
    kind, sealed = payout_methods.kind(details), seal(ring, details, DETAILS, method_id)
    found_by = stored_hash(ring, details)
    row = await db.fetchrow(INSERT, method_id, program_id, member_id, kind, sealed, found_by, now)
    return _method(ring, row)


async def get(db: Db, ring: KeyRing, program_id: str, member_id: str, method_id: str) -> Method:
    """The member's method, or PayoutMethodNotFound."""
    return _method(ring, await db.fetchrow(SELECT, program_id, member_id, method_id))


async def of_member(db: Db, ring: KeyRing, program_id: str, member_id: str) -> list[Method]:
    """All of a member, oldest first."""
    rows = await db.fetch(OF_MEMBER, program_id, member_id)
    return [_method(ring, row) for row in rows]


async def delete(db: Db, program_id: str, member_id: str, method_id: str) -> Kind:
    """Forget a method, and say of which kind it was; withdrawals that were asked for keep where
    they go. PayoutMethodNotFound."""
    kind: Kind | None = await db.fetchval(DELETE, program_id, member_id, method_id)
    if kind is None:
        raise errors.PayoutMethodNotFound
    return kind


async def others(
    db: Db, ring: KeyRing, program_id: str, member_id: str, details: Details
) -> list[str]:
    """Other members of the program who are paid to the same account, at most 20."""
    rows = await db.fetch(OTHERS, program_id, member_id, hashes(ring, details))
    return [row["member_id"] for row in rows]


def hashes(ring: KeyRing, details: Details) -> list[bytes]:
    """The keyed hashes under which they may be stored, as `fields.blinds`."""
    return fields.blinds(ring, payout_methods.identity(details), HASHED)


def stored_hash(ring: KeyRing, details: Details) -> bytes:
    """The hash under which they are stored from now on."""
    return fields.blind(ring, payout_methods.identity(details), HASHED)


def seal(ring: KeyRing, details: Details, column: str, row_id: str) -> bytes:
    """The stored form of the details in this column of this row."""
    return sealing.seal(ring, msgspec.json.encode(details).decode(), column, row_id)


def unseal(ring: KeyRing, stored: bytes, column: str, row_id: str) -> Details:
    """What was sealed for this column of this row; BadField."""
    text = sealing.unseal(ring, stored, column, row_id)
    details: Details = msgspec.json.decode(text, type=Details)
    return details


def _method(ring: KeyRing, row: asyncpg.Record | None) -> Method:
    if row is None:
        raise errors.PayoutMethodNotFound
    return Method(**{**row, "details": unseal(ring, row["details"], DETAILS, row["id"])})
