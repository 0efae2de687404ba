"""What members handed in to show who they are: sealed, and found by its keyed hash."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal

import asyncpg
import msgspec

from core import errors, fields, kyc
from core.keyring import KeyRing
from core.kyc import Document
from db import sealing
from db.pg import Db

DOCUMENT: Final = "kyc.document"
HASHED: Final = "kyc.document_hash"

# The same document again waits for nobody: its review stands.
PUT: Final = """
INSERT INTO kyc (member_id, program_id, state, document, document_hash, version, submitted_at)
SELECT id, program_id, 'submitted', $3, $4, 1, $6 FROM member
 WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL
   FOR SHARE
    ON CONFLICT (member_id) DO UPDATE
   SET state = 'submitted', document = excluded.document, document_hash = excluded.document_hash,
       version = kyc.version + 1, reason = NULL, submitted_at = excluded.submitted_at,
       reviewed_by = NULL, reviewed_at = NULL
 WHERE NOT (kyc.state = 'verified' AND $5)
RETURNING member_id, state, document, version, reason, submitted_at, reviewed_by, reviewed_at
"""
SELECT: Final = """
SELECT member_id, state, document, version, reason, submitted_at, reviewed_by, reviewed_at
  FROM kyc WHERE program_id = $1 AND member_id = $2
"""
LOCK: Final = """
SELECT member_id, state, document, version, reason, submitted_at, reviewed_by, reviewed_at
  FROM kyc WHERE program_id = $1 AND member_id = $2 FOR UPDATE
"""
REVIEW: Final = """
UPDATE kyc SET state = $3, reason = $4, reviewed_by = $5, reviewed_at = $6, version = version + 1
 WHERE program_id = $1 AND member_id = $2
RETURNING member_id, state, document, version, reason, submitted_at, reviewed_by, reviewed_at
"""
# Locked, so that a withdrawal is asked for with what was verified or not at all.
IS_VERIFIED: Final = """
SELECT state = 'verified' FROM kyc WHERE program_id = $1 AND member_id = $2 FOR SHARE
"""
# Under any key of the ring: a rotation takes a while.
OTHERS: Final = """
SELECT member_id FROM kyc
 WHERE program_id = $1 AND member_id <> $2 AND document_hash = ANY($3::bytea[])
 ORDER BY member_id LIMIT 20
"""


class Kyc(msgspec.Struct, frozen=True, kw_only=True):
    """What a member handed in, and what was decided about it."""

    member_id: str
    state: Literal["submitted", "verified", "rejected"]
    document: Document
    version: int
    reason: str | None
    submitted_at: dt.datetime
    reviewed_by: str | None
    reviewed_at: dt.datetime | None


async def put(
    db: Db, ring: KeyRing, program_id: str, member_id: str, document: Document, now: dt.datetime
) -> Kyc:
    """Hand a document in, in place of the present one; what is verified stays so when it is the
    same one. In the caller's transaction; MemberNotFound."""
    present = _kyc(ring, await db.fetchrow(LOCK, program_id, member_id))
    is_same = present is not None and present.document == document
    sealed = sealing.seal(ring, msgspec.json.encode(document).decode(), DOCUMENT, member_id)
    found_by = stored_hash(ring, document)
    row = await db.fetchrow(PUT, program_id, member_id, sealed, found_by, is_same, now)
    stored = _kyc(ring, row) or (present if is_same else None)
    if stored is None:
        raise errors.MemberNotFound
    return stored


async def find(db: Db, ring: KeyRing, program_id: str, member_id: str) -> Kyc | None:
    """What the member handed in, None if nothing."""
    return _kyc(ring, await db.fetchrow(SELECT, program_id, member_id))


async def lock(db: Db, ring: KeyRing, program_id: str, member_id: str) -> Kyc:
    """The same, which nobody else changes before the transaction ends; KycNotFound."""
    found = _kyc(ring, await db.fetchrow(LOCK, program_id, member_id))
    if found is None:
        raise errors.KycNotFound
    return found


async def review(
    db: Db, ring: KeyRing, program_id: str, locked: Kyc, *, reason: str | None, by: str,
    now: dt.datetime,
) -> Kyc:  # fmt: skip
    """Verify what a member handed in, or reject it for `reason`, in the caller's transaction."""
    state = "verified" if reason is None else "rejected"
    row = await db.fetchrow(REVIEW, program_id, locked.member_id, state, reason, by, now)
    reviewed = _kyc(ring, row)
    assert reviewed is not None
    return reviewed


async def is_verified(db: Db, program_id: str, member_id: str) -> bool:
    """Whether the member's document is verified, until the caller's transaction ends."""
    return bool(await db.fetchval(IS_VERIFIED, program_id, member_id))


async def others(
    db: Db, ring: KeyRing, program_id: str, member_id: str, document: Document
) -> list[str]:
    """Other members of the program who handed in the same document, at most 20."""
    rows = await db.fetch(OTHERS, program_id, member_id, hashes(ring, document))
    return [row["member_id"] for row in rows]


def hashes(ring: KeyRing, document: Document) -> list[bytes]:
    """The keyed hashes under which the document may be stored, as `fields.blinds`."""
    return fields.blinds(ring, kyc.identity(document), HASHED)


def stored_hash(ring: KeyRing, document: Document) -> bytes:
    """The hash under which it is stored from now on."""
    return fields.blind(ring, kyc.identity(document), HASHED)


def _kyc(ring: KeyRing, row: asyncpg.Record | None) -> Kyc | None:
    if row is None:
        return None
    text = sealing.unseal(ring, row["document"], DOCUMENT, row["member_id"])
    return Kyc(**{**row, "document": msgspec.json.decode(text, type=Document)})
