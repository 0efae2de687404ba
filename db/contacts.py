"""Mail addresses and phone numbers of members: sealed, and found by their keyed hash."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Sequence

import asyncpg
import msgspec

from core import errors, fields
from core.contacts import Channel, Contact
from core.keyring import KeyRing
from db.pg import Db

CONTEXT = "member_contact.hash"

# Another address in the place of the present one has yet to be verified.
PUT = """
INSERT INTO member_contact (member_id, program_id, channel, sealed, hash, verified_at)
VALUES ($1, $2, $3, $4, $5, CASE WHEN $6 THEN now() END)
    ON CONFLICT (member_id, channel) DO UPDATE
   SET sealed = excluded.sealed, hash = excluded.hash,
       unreachable_at = CASE WHEN member_contact.hash = ANY($7::bytea[])
                              AND excluded.verified_at IS NULL
                             THEN member_contact.unreachable_at END,
       verified_at = CASE WHEN member_contact.hash = ANY($7::bytea[])
                          THEN coalesce(member_contact.verified_at, excluded.verified_at)
                          ELSE excluded.verified_at END
"""
INSERT = """
INSERT INTO member_contact (member_id, program_id, channel, sealed, hash)
SELECT member_id, $1, channel, sealed, hash
  FROM unnest($2::text[], $3::text[], $4::bytea[], $5::bytea[])
       AS item (member_id, channel, sealed, hash)
"""
# While keys are rotated the same contact may be stored under another hash.
LOCK = """
SELECT pg_advisory_xact_lock(hashtextextended('contact:' || $1 || ':' || part, 0))
  FROM unnest($2::integer[]) AS part
"""
IS_OTHERS = """
SELECT EXISTS (SELECT FROM member_contact
                WHERE program_id = $1 AND hash = ANY($2::bytea[]) AND member_id <> $3)
"""
TAKEN = """
SELECT hash FROM member_contact WHERE program_id = $1 AND hash = ANY($2::bytea[])
"""
FIND = """
SELECT member_id, verified_at IS NOT NULL AS is_verified FROM member_contact
 WHERE program_id = $1 AND channel = $2 AND hash = ANY($3::bytea[])
"""
VERIFY = """
UPDATE member_contact SET verified_at = coalesce(verified_at, now()), unreachable_at = NULL
 WHERE program_id = $1 AND channel = $2 AND hash = ANY($3::bytea[])
RETURNING member_id
"""
# Only in the place of what was read: whoever takes another contact meanwhile keeps that one.
RESPELL = """
UPDATE member_contact SET sealed = $5, hash = $6
 WHERE program_id = $1 AND member_id = $2 AND channel = $3 AND sealed = $4
RETURNING true
"""
OF_MEMBER = """
SELECT channel, sealed, verified_at, unreachable_at FROM member_contact
 WHERE program_id = $1 AND member_id = $2 ORDER BY channel
"""
MARK_UNREACHABLE = """
UPDATE member_contact SET unreachable_at = now()
 WHERE program_id = $1 AND member_id = $2 AND channel = $3 AND hash = ANY($4::bytea[])
   AND unreachable_at IS NULL
"""
DELETE = """
DELETE FROM member_contact
 WHERE program_id = $1 AND member_id = $2 AND ($3::text IS NULL OR channel = $3)
"""


class MemberContact(msgspec.Struct, frozen=True):
    """A contact as its member sees it; since `unreachable_at` nothing arrives there, as a provider
    has said.
    """

    channel: Channel
    address: str
    verified_at: dt.datetime | None
    unreachable_at: dt.datetime | None = None


class Found(msgspec.Struct, frozen=True):
    """Whose contact it is."""

    member_id: str
    is_verified: bool


def hashes(ring: KeyRing, contact: Contact) -> list[bytes]:
    """The keyed hashes under which the contact may be stored, as `fields.blinds`."""
    return fields.blinds(ring, _hashed(contact), CONTEXT)


def stored_hash(ring: KeyRing, contact: Contact) -> bytes:
    """The hash under which it is stored from now on."""
    return fields.blind(ring, _hashed(contact), CONTEXT)


async def put(
    db: Db,
    ring: KeyRing,
    program_id: str,
    member_id: str,
    contact: Contact,
    *,
    is_verified: bool = False,
) -> None:
    """Give a member a contact, in the place of the present one of this channel; ContactTaken."""
    await _refuse_others(db, ring, program_id, [contact], member_id)
    try:
        await db.execute(
            PUT,
            member_id,
            program_id,
            contact.channel,
            _seal(ring, member_id, contact),
            stored_hash(ring, contact),
            is_verified,
            hashes(ring, contact),
        )
    except asyncpg.UniqueViolationError:
        raise errors.ContactTaken from None


async def add_many(
    db: Db, ring: KeyRing, program_id: str, items: Sequence[tuple[str, Contact]]
) -> None:
    """Give new members their contacts, which nobody has verified; ContactTaken, and then none."""
    await _refuse_others(db, ring, program_id, [contact for _, contact in items])
    try:
        await db.execute(
            INSERT,
            program_id,
            [member_id for member_id, _ in items],
            [contact.channel for _, contact in items],
            [_seal(ring, member_id, contact) for member_id, contact in items],
            [stored_hash(ring, contact) for _, contact in items],
        )
    except asyncpg.UniqueViolationError:
        raise errors.ContactTaken from None


async def respell(
    db: Db, ring: KeyRing, program_id: str, member_id: str, stored: bytes, contact: Contact
) -> bool:
    """Spell a member's contact otherwise, in the caller's transaction: whether it is the one that
    was read, `stored`, still. It stays proved if it was. ContactTaken.
    """
    await _refuse_others(db, ring, program_id, [contact], member_id)
    try:
        found = await db.fetchval(
            RESPELL,
            *(program_id, member_id, contact.channel, stored),
            *(_seal(ring, member_id, contact), stored_hash(ring, contact)),
        )
    except asyncpg.UniqueViolationError:
        raise errors.ContactTaken from None
    return bool(found)


async def taken(db: Db, ring: KeyRing, program_id: str, wanted: Iterable[Contact]) -> set[Contact]:
    """Those contacts that members of the program have."""
    by_hash = {one: contact for contact in wanted for one in hashes(ring, contact)}
    rows = await db.fetch(TAKEN, program_id, list(by_hash))
    return {by_hash[row["hash"]] for row in rows}


async def find(db: Db, ring: KeyRing, program_id: str, contact: Contact) -> Found | None:
    """Which member of the program has this contact."""
    row = await db.fetchrow(FIND, program_id, contact.channel, hashes(ring, contact))
    return None if row is None else Found(**row)


async def verify(db: Db, ring: KeyRing, program_id: str, contact: Contact) -> str | None:
    """Note that it was proved just now to be its member's; which member, None if nobody's."""
    found = await db.fetchval(VERIFY, program_id, contact.channel, hashes(ring, contact))
    return None if found is None else str(found)


async def of_member(db: Db, ring: KeyRing, program_id: str, member_id: str) -> list[MemberContact]:
    """The member's contacts, mail first."""
    return [
        MemberContact(
            row["channel"],
            fields.unseal(ring, row["sealed"], f"member_contact.sealed:{member_id}"),
            row["verified_at"],
            row["unreachable_at"],
        )
        for row in await db.fetch(OF_MEMBER, program_id, member_id)
    ]


async def mark_unreachable(
    db: Db, ring: KeyRing, program_id: str, member_id: str, contact: Contact
) -> None:
    """Note that nothing arrives at the contact any more, if it is still the member's."""
    found = hashes(ring, contact)
    await db.execute(MARK_UNREACHABLE, program_id, member_id, contact.channel, found)


async def delete(db: Db, program_id: str, member_id: str, channel: Channel | None = None) -> None:
    """Take a contact from a member, or all of them."""
    await db.execute(DELETE, program_id, member_id, channel)


async def _refuse_others(
    db: Db, ring: KeyRing, program_id: str, wanted: Sequence[Contact], member_id: str = ""
) -> None:
    """ContactTaken when another member has one of them under the hash of another key, of which no
    constraint knows. Who stores the same contact at once waits.
    """
    if len(ring.field) == 1:
        return
    found = [hashes(ring, contact) for contact in wanted]
    await db.execute(LOCK, program_id, sorted({oldest[0] for oldest, *_ in found}))
    every = [one for each in found for one in each]
    if await db.fetchval(IS_OTHERS, program_id, every, member_id):
        raise errors.ContactTaken


def _hashed(contact: Contact) -> str:
    return f"{contact.channel}:{contact.address}"


def _seal(ring: KeyRing, member_id: str, contact: Contact) -> bytes:
    context = f"member_contact.sealed:{member_id}"
    return fields.seal(ring, contact.address, context, os.urandom(fields.NONCE_BYTES))
