"""Sign-ups that wait for a code: members to be, whose contact is not yet proved to be theirs."""

from __future__ import annotations

import os

import msgspec

from core import errors, fields
from core.contacts import Channel, Contact
from core.keyring import KeyRing
from db.pg import Db

INSERT = """
INSERT INTO registration (hash, program_id, member_id, channel, contact, name, password_hash,
                          referral_code, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, now() + make_interval(secs => $9))
"""
# Locked, so that of two confirmations at once one makes the member.
FIND = """
SELECT member_id, channel, contact, name, password_hash, referral_code FROM registration
 WHERE hash = $1 AND program_id = $2 AND expires_at > now() FOR UPDATE
"""
DELETE = """
DELETE FROM registration WHERE hash = $1
"""
DELETE_OLD = """
DELETE FROM registration WHERE expires_at < now()
"""


class Registration(msgspec.Struct, frozen=True, kw_only=True):
    """Who wants to be a member. `member_id` is reserved, and nobody's until the code has come."""

    member_id: str
    contact: Contact
    name: str | None
    password_hash: str
    referral_code: str | None = None

    def __repr__(self) -> str:
        return f"Registration({self.member_id})"


async def add(
    db: Db, ring: KeyRing, program_id: str, token_hash: bytes, new: Registration, ttl_s: int
) -> None:
    """Keep a sign-up for `ttl_s` seconds under the hash of a token that only its applicant has."""
    await db.execute(
        INSERT,
        token_hash,
        program_id,
        new.member_id,
        new.contact.channel,
        _seal(ring, "contact", new.member_id, new.contact.address),
        None if new.name is None else _seal(ring, "name", new.member_id, new.name),
        new.password_hash,
        new.referral_code,
        ttl_s,
    )


async def find(db: Db, ring: KeyRing, program_id: str, token_hash: bytes) -> Registration:
    """The sign-up, locked; RegistrationNotFound when it was confirmed or has expired."""
    row = await db.fetchrow(FIND, token_hash, program_id)
    if row is None:
        raise errors.RegistrationNotFound
    member_id, name = row["member_id"], row["name"]
    channel: Channel = row["channel"]
    return Registration(
        member_id=member_id,
        contact=Contact(channel, _unseal(ring, "contact", member_id, row["contact"])),
        name=None if name is None else _unseal(ring, "name", member_id, name),
        password_hash=row["password_hash"],
        referral_code=row["referral_code"],
    )


async def delete(db: Db, token_hash: bytes) -> None:
    """Forget a sign-up that was confirmed."""
    await db.execute(DELETE, token_hash)


async def delete_old(db: Db) -> None:
    """Forget those that nobody confirmed in time."""
    await db.execute(DELETE_OLD)


def _seal(ring: KeyRing, column: str, member_id: str, text: str) -> bytes:
    nonce = os.urandom(fields.NONCE_BYTES)
    return fields.seal(ring, text, f"registration.{column}:{member_id}", nonce)


def _unseal(ring: KeyRing, column: str, member_id: str, stored: bytes) -> str:
    return fields.unseal(ring, stored, f"registration.{column}:{member_id}")
