"""Devices and browsers of members that pushes go to: sealed, and found by their keyed hash.

A device that signs in as somebody else is that one's from then on.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from core import errors, fields
from core.keyring import KeyRing
from core.pushing import Kind
from db import sealing
from db.pg import Db

CONTEXT: Final = "push_subscription.hash"
COLUMN: Final = "push_subscription.address"
#: Of more, the oldest are forgotten: nobody has so many, and lost ones are never told to us.
OF_MEMBER_MAX: Final = 20

# The lock keeps an erasure from passing by, which would leave the row behind.
MEMBER: Final = """
SELECT id FROM member WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL FOR NO KEY UPDATE
"""
KNOWN: Final = """
SELECT id, kind, created_at FROM push_subscription
 WHERE program_id = $1 AND member_id = $2 AND hash = ANY($3::bytea[])
"""
ADD: Final = """
INSERT INTO push_subscription (id, program_id, member_id, kind, address, hash)
VALUES ($3, $1, $2, $4, $5, $6)
RETURNING id, kind, created_at
"""
SELECT: Final = """
SELECT id, kind, created_at FROM push_subscription
 WHERE program_id = $1 AND member_id = $2 ORDER BY id DESC
"""
ADDRESSES: Final = """
SELECT id, address FROM push_subscription WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
DELETE: Final = """
DELETE FROM push_subscription WHERE program_id = $1 AND member_id = $2 AND id = $3 RETURNING id
"""
FORGET: Final = """
DELETE FROM push_subscription WHERE program_id = $1 AND hash = ANY($2::bytea[])
"""
TRIM: Final = """
DELETE FROM push_subscription
 WHERE program_id = $1 AND member_id = $2
   AND id IN (SELECT id FROM push_subscription WHERE program_id = $1 AND member_id = $2
               ORDER BY id DESC OFFSET $3)
"""


class Subscription(msgspec.Struct, frozen=True):
    """A device or a browser; where pushes to it go is not shown."""

    id: str
    kind: Kind
    created_at: dt.datetime


async def add(
    db: Db,
    ring: KeyRing,
    program_id: str,
    member_id: str,
    *,
    subscription_id: str,
    kind: Kind,
    address: str,
) -> Subscription:
    """Have pushes go there, in the caller's transaction; the one that is known, if it is the
    member's already. MemberNotFound.
    """
    if await db.fetchval(MEMBER, program_id, member_id) is None:
        raise errors.MemberNotFound
    known = await db.fetchrow(KNOWN, program_id, member_id, _hashes(ring, address))
    if known is not None:
        return Subscription(**known)
    await forget(db, ring, program_id, address)
    sealed = sealing.seal(ring, address, COLUMN, subscription_id)
    found_by = stored_hash(ring, address)
    row = await db.fetchrow(ADD, program_id, member_id, subscription_id, kind, sealed, found_by)
    assert row is not None
    await db.execute(TRIM, program_id, member_id, OF_MEMBER_MAX)
    return Subscription(**row)


async def of_member(db: Db, program_id: str, member_id: str) -> list[Subscription]:
    """The member's devices and browsers, the newest first."""
    return [Subscription(**row) for row in await db.fetch(SELECT, program_id, member_id)]


async def addresses(db: Db, ring: KeyRing, program_id: str, member_id: str) -> list[str]:
    """Where pushes to the member go; BadField."""
    rows = await db.fetch(ADDRESSES, program_id, member_id)
    return [sealing.unseal(ring, row["address"], COLUMN, row["id"]) for row in rows]


async def delete(db: Db, program_id: str, member_id: str, subscription_id: str) -> None:
    """Have no pushes go there any more; SubscriptionNotFound."""
    if await db.fetchval(DELETE, program_id, member_id, subscription_id) is None:
        raise errors.SubscriptionNotFound


async def forget(db: Db, ring: KeyRing, program_id: str, address: str) -> None:
    """Forget an address, whosever it is: it is gone, or somebody else's now."""
    await db.execute(FORGET, program_id, _hashes(ring, address))


def stored_hash(ring: KeyRing, address: str) -> bytes:
    """The hash under which an address is stored from now on."""
    return fields.blind(ring, address, CONTEXT)


def _hashes(ring: KeyRing, address: str) -> list[bytes]:
    return fields.blinds(ring, address, CONTEXT)
