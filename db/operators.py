"""Operators: the people who work for a program (staff, owner) or for the platform (admin).

A `program_id` of None means the platform's own staff throughout. Name and mail address are sealed.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from typing import Literal, NamedTuple

import asyncpg
import msgspec

from core import errors, fields, templates
from core.contacts import Contact
from core.keyring import KeyRing
from db.pg import Db

OperatorRole = Literal["staff", "owner", "admin"]
State = Literal["active", "suspended"]

HASH_CONTEXT = "operator.email_hash"

INSERT = """
INSERT INTO operator (id, program_id, role, email, email_hash, name, language)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, program_id, role, email, name, state, language, false AS has_password, created_at,
          updated_at
"""
SELECT = """
SELECT id, program_id, role, email, name, state, language, created_at, updated_at,
       EXISTS (SELECT FROM credential WHERE subject_id = operator.id) AS has_password
  FROM operator WHERE id = $2 AND program_id IS NOT DISTINCT FROM $1
"""
LOCK_EMAILS = "SELECT pg_advisory_xact_lock(hashtextextended('operator.email', 0))"
IS_TAKEN = "SELECT EXISTS (SELECT FROM operator WHERE email_hash = ANY($1::bytea[]))"
FIND = """
SELECT id, program_id FROM operator WHERE email_hash = ANY($1::bytea[]) AND state = 'active'
"""
# Whoever changes who runs a program waits for the others who do, so that one owner stays.
LOCK = """
SELECT id, role, state FROM operator
 WHERE program_id IS NOT DISTINCT FROM $1 AND (role <> 'staff' OR id = $2)
 ORDER BY id FOR NO KEY UPDATE
"""
UPDATE = """
UPDATE operator SET role = $3, name = $4, state = $5, language = $6, updated_at = now()
 WHERE id = $2 AND program_id IS NOT DISTINCT FROM $1
"""
# Only in the place of what was read.
RESPELL = """
UPDATE operator SET email = $4, email_hash = $5
 WHERE id = $2 AND program_id IS NOT DISTINCT FROM $1 AND email = $3
RETURNING true
"""
DELETE = """
DELETE FROM operator WHERE id = $2 AND program_id IS NOT DISTINCT FROM $1
"""
PAGE = """
SELECT id, program_id, role, email, name, state, language, created_at, updated_at,
       EXISTS (SELECT FROM credential WHERE subject_id = operator.id) AS has_password
  FROM operator
 WHERE program_id IS NOT DISTINCT FROM $1 AND id > $2 ORDER BY id LIMIT $3
"""
OWNERS = """
SELECT id, program_id, role, email, name, state, language, created_at, updated_at,
       true AS has_password
  FROM operator WHERE program_id = $1 AND role = 'owner' AND state = 'active' ORDER BY id
"""
# Who was invited and never came lets nobody in.
HAS_OWNER = """
SELECT EXISTS (SELECT FROM operator JOIN credential ON subject_id = operator.id
                WHERE operator.program_id = $1 AND role = 'owner' AND state = 'active')
"""
INVITE = """
INSERT INTO invitation (operator_id, hash, expires_at)
VALUES ($1, $2, now() + make_interval(secs => $3))
    ON CONFLICT (operator_id) DO UPDATE SET hash = excluded.hash, expires_at = excluded.expires_at
"""
ACCEPT = """
DELETE FROM invitation USING operator
 WHERE hash = $1 AND expires_at > now() AND operator.id = operator_id
RETURNING operator_id, program_id
"""


class Operator(msgspec.Struct, frozen=True, kw_only=True):
    """An operator as it is shown; without a password the invitation has not been accepted yet."""

    id: str
    program_id: str | None
    role: OperatorRole
    email: str
    name: str
    state: State
    language: str
    has_password: bool
    created_at: dt.datetime
    updated_at: dt.datetime


class Found(NamedTuple):
    """Whose mail address it is."""

    id: str
    program_id: str | None


def hashes(ring: KeyRing, email: Contact) -> list[bytes]:
    """The keyed hashes under which the address may be stored, as `fields.blinds`."""
    return fields.blinds(ring, email.address, HASH_CONTEXT)


def stored_hash(ring: KeyRing, address: str) -> bytes:
    """The hash under which an address is stored from now on."""
    return fields.blind(ring, address, HASH_CONTEXT)


async def add(
    db: Db,
    ring: KeyRing,
    operator_id: str,
    *,
    program_id: str | None,
    role: OperatorRole,
    email: Contact,
    name: str,
    language: str = templates.DEFAULT_LANGUAGE,
) -> Operator:
    """Store an operator who has no password yet; ContactTaken, ProgramNotFound."""
    await _refuse_taken(db, ring, email)
    try:
        row = await db.fetchrow(
            INSERT,
            operator_id,
            program_id,
            role,
            _seal(ring, "email", operator_id, email.address),
            stored_hash(ring, email.address),
            _seal(ring, "name", operator_id, name),
            language,
        )
    except asyncpg.UniqueViolationError:
        raise errors.ContactTaken from None
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return _operator(ring, row)


async def respell(
    db: Db,
    ring: KeyRing,
    program_id: str | None,
    operator_id: str,
    stored: bytes,
    email: Contact,
) -> bool:
    """Spell an operator's address otherwise, in the caller's transaction: whether it is the one
    that was read, `stored`, still. ContactTaken.
    """
    await _refuse_taken(db, ring, email)
    sealed = _seal(ring, "email", operator_id, email.address)
    hashed = stored_hash(ring, email.address)
    try:
        found = await db.fetchval(RESPELL, program_id, operator_id, stored, sealed, hashed)
    except asyncpg.UniqueViolationError:
        raise errors.ContactTaken from None
    return bool(found)


async def get(db: Db, ring: KeyRing, program_id: str | None, operator_id: str) -> Operator:
    """The operator, or OperatorNotFound."""
    return _operator(ring, await db.fetchrow(SELECT, program_id, operator_id))


async def find(db: Db, ring: KeyRing, email: Contact) -> Found | None:
    """The active operator with this mail address."""
    row = await db.fetchrow(FIND, hashes(ring, email))
    return None if row is None else Found(*row)


async def owners(db: Db, ring: KeyRing, program_id: str) -> list[Operator]:
    """The active owners of a program."""
    return [_operator(ring, row) for row in await db.fetch(OWNERS, program_id)]


async def has_owner(db: Db, program_id: str) -> bool:
    """Whether the program has an active owner who has chosen a password."""
    return bool(await db.fetchval(HAS_OWNER, program_id))


async def change(
    db: Db,
    ring: KeyRing,
    program_id: str | None,
    operator_id: str,
    changes: Mapping[str, object],
) -> Operator:
    """Replace name, role, state or language, in the caller's transaction; OperatorNotFound,
    LastOwner.
    """
    await _lock(db, program_id, operator_id)
    present = await get(db, ring, program_id, operator_id)
    new = msgspec.structs.replace(present, **changes)
    if not _runs(new.role, new.state):
        await _require_another(db, program_id, operator_id)
    sealed = _seal(ring, "name", operator_id, new.name)
    await db.execute(UPDATE, program_id, operator_id, new.role, sealed, new.state, new.language)
    return await get(db, ring, program_id, operator_id)


async def delete(db: Db, program_id: str | None, operator_id: str) -> None:
    """Delete an operator, in the caller's transaction; OperatorNotFound, LastOwner.

    The caller forgets the password and ends the sessions.
    """
    await _require_another(db, program_id, operator_id)
    if await db.execute(DELETE, program_id, operator_id) == "DELETE 0":
        raise errors.OperatorNotFound


async def page(
    db: Db, ring: KeyRing, program_id: str | None, *, after: str, limit: int
) -> list[Operator]:
    """Up to `limit` operators with ids beyond `after`, oldest first."""
    return [_operator(ring, row) for row in await db.fetch(PAGE, program_id, after, limit)]


async def invite(db: Db, operator_id: str, token_hash: bytes, ttl_s: int) -> None:
    """Let whoever has the token choose this operator's password; an earlier token is void."""
    await db.execute(INVITE, operator_id, token_hash, ttl_s)


async def accept(db: Db, token_hash: bytes) -> tuple[str, str | None]:
    """Use an invitation up; the operator's id and program. InvitationNotFound."""
    row = await db.fetchrow(ACCEPT, token_hash)
    if row is None:
        raise errors.InvitationNotFound
    return row["operator_id"], row["program_id"]


async def _refuse_taken(db: Db, ring: KeyRing, email: Contact) -> None:
    """ContactTaken for an address under the hash of another key, of which no constraint knows."""
    if len(ring.field) == 1:
        return
    await db.execute(LOCK_EMAILS)
    if await db.fetchval(IS_TAKEN, hashes(ring, email)):
        raise errors.ContactTaken


def _runs(role: str, state: str) -> bool:
    return role != "staff" and state == "active"


async def _lock(db: Db, program_id: str | None, operator_id: str) -> list[asyncpg.Record]:
    return await db.fetch(LOCK, program_id, operator_id)


async def _require_another(db: Db, program_id: str | None, operator_id: str) -> None:
    """LastOwner when this one runs the program and nobody else does."""
    rows = {
        row["id"]: _runs(row["role"], row["state"])
        for row in await _lock(db, program_id, operator_id)
    }
    if rows.pop(operator_id, False) and not any(rows.values()):
        raise errors.LastOwner


def _seal(ring: KeyRing, column: str, operator_id: str, text: str) -> bytes:
    nonce = os.urandom(fields.NONCE_BYTES)
    return fields.seal(ring, text, f"operator.{column}:{operator_id}", nonce)


def _operator(ring: KeyRing, row: asyncpg.Record | None) -> Operator:
    if row is None:
        raise errors.OperatorNotFound
    opened = {
        column: fields.unseal(ring, row[column], f"operator.{column}:{row['id']}")
        for column in ("email", "name")
    }
    return Operator(**{**row, **opened})
