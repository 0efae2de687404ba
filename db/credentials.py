"""Passwords of members and operators, as their stored forms.

`changed_at` is the version of a password: it stays when the same password is hashed anew.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import msgspec

from core import errors
from core.contacts import Channel
from db.pg import Db

# One row for whomever, as long as there is the program. `imported` is anybody's bcrypt hash.
OF_MEMBER = """
SELECT contact.member_id AS subject_id, program.id AS program_id, 'member' AS role,
       credential.password_hash, credential.changed_at,
       (SELECT password_hash FROM credential
         WHERE program_id = $1 AND starts_with(password_hash, '$2') LIMIT 1) AS imported
  FROM program
  LEFT JOIN member_contact AS contact
         ON contact.program_id = program.id AND contact.channel = $2
        AND contact.hash = ANY($3::bytea[])
  LEFT JOIN credential ON credential.subject_id = contact.member_id
 WHERE program.id = $1
"""
OF_OPERATOR = """
SELECT operator.id AS subject_id, operator.program_id, operator.role,
       credential.password_hash, credential.changed_at, NULL::text AS imported
  FROM (VALUES (true)) AS always
  LEFT JOIN operator ON operator.email_hash = ANY($1::bytea[])
  LEFT JOIN credential ON credential.subject_id = operator.id
"""
OF_SUBJECT = """
SELECT subject_id, program_id, '' AS role, password_hash, changed_at, NULL::text AS imported
  FROM credential WHERE subject_id = $1
"""
# Held until the session is stored, so that a change of the password finds the session and ends it.
CONFIRM = """
SELECT true FROM credential WHERE subject_id = $1 AND changed_at = $2 FOR SHARE
"""
UPGRADE = """
UPDATE credential SET password_hash = $3 WHERE subject_id = $1 AND changed_at = $2
RETURNING true
"""
CHANGE = """
UPDATE credential SET password_hash = $3, changed_at = clock_timestamp()
 WHERE subject_id = $1 AND changed_at = $2
RETURNING true
"""
PUT = """
INSERT INTO credential (subject_id, program_id, password_hash)
VALUES ($1, $2, $3)
    ON CONFLICT (subject_id) DO UPDATE
   SET password_hash = excluded.password_hash, changed_at = clock_timestamp()
"""
INSERT = """
INSERT INTO credential (subject_id, program_id, password_hash)
SELECT subject_id, $1, password_hash
  FROM unnest($2::text[], $3::text[]) AS item (subject_id, password_hash)
"""
DELETE = """
DELETE FROM credential WHERE subject_id = $1
"""


class Known(msgspec.Struct, frozen=True):
    """What is known of whoever tries to sign in: a person, who may have a password, or nobody.
    `imported` is a bcrypt hash of the program, if it has any."""

    subject_id: str | None
    program_id: str | None
    role: str | None
    password_hash: str | None
    changed_at: dt.datetime | None
    imported: str | None

    def __repr__(self) -> str:
        return f"Known({self.subject_id})"


async def of_member(db: Db, program_id: str, channel: Channel, hashes: Sequence[bytes]) -> Known:
    """The member with this contact, and the password; ProgramNotFound."""
    row = await db.fetchrow(OF_MEMBER, program_id, channel, hashes)
    if row is None:
        raise errors.ProgramNotFound
    return Known(**row)


async def of_operator(db: Db, hashes: Sequence[bytes]) -> Known:
    """The operator with this mail address, and the password."""
    row = await db.fetchrow(OF_OPERATOR, hashes)
    assert row is not None
    return Known(**row)


async def of_subject(db: Db, subject_id: str) -> Known | None:
    """The password of a member or an operator; None when there is none."""
    row = await db.fetchrow(OF_SUBJECT, subject_id)
    return None if row is None else Known(**row)


async def confirm(db: Db, known: Known, upgraded: str | None = None) -> bool:
    """Whether the password is still the one that was verified, until the transaction ends;
    `upgraded` takes its place as the stored form."""
    if upgraded is None:
        return bool(await db.fetchval(CONFIRM, known.subject_id, known.changed_at))
    return bool(await db.fetchval(UPGRADE, known.subject_id, known.changed_at, upgraded))


async def change(db: Db, known: Known, password_hash: str) -> bool:
    """Put another password in the place of the one that was verified, if that is still the present
    one; the caller ends the sessions."""
    return bool(await db.fetchval(CHANGE, known.subject_id, known.changed_at, password_hash))


async def put(db: Db, subject_id: str, program_id: str | None, password_hash: str) -> None:
    """Set or replace a password; the caller ends the sessions."""
    await db.execute(PUT, subject_id, program_id, password_hash)


async def add_many(db: Db, program_id: str, items: Sequence[tuple[str, str]]) -> None:
    """Store the passwords of new members, by their ids."""
    subject_ids, hashes = [one for one, _ in items], [one for _, one in items]
    await db.execute(INSERT, program_id, subject_ids, hashes)


async def delete(db: Db, subject_id: str) -> None:
    """Forget a password, if there is one."""
    await db.execute(DELETE, subject_id)
