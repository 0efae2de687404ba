"""Consents: what a member said about a purpose, and when. Each answer is a row, the last counts."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from core import errors
from core.links import Line
from db.pg import Db

Purpose = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]

# The lock keeps an erasure from passing by, which would leave this row behind, and an equal answer.
MEMBER: Final = """
SELECT id FROM member WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL FOR NO KEY UPDATE
"""
ADD: Final = """
INSERT INTO consent (id, program_id, member_id, purpose, is_given, wording, recorded_by)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, purpose, is_given, wording, recorded_by, recorded_at
"""
LATEST: Final = """
SELECT DISTINCT ON (purpose) id, purpose, is_given, wording, recorded_by, recorded_at FROM consent
 WHERE program_id = $1 AND member_id = $2 ORDER BY purpose, id DESC
"""
PAGE: Final = """
SELECT id, purpose, is_given, wording, recorded_by, recorded_at FROM consent
 WHERE program_id = $1 AND member_id = $2 AND purpose = $3 AND ($4 = '' OR id < $4)
 ORDER BY id DESC LIMIT $5
"""


class Consent(msgspec.Struct, frozen=True, kw_only=True):
    """One answer. `wording` is what the member was shown, or its version."""

    id: str
    purpose: str
    is_given: bool
    wording: str | None
    recorded_by: str
    recorded_at: dt.datetime


class Said(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member says about a purpose."""

    is_given: bool
    wording: Line | None = None


async def add(
    db: Db,
    program_id: str,
    member_id: str,
    *,
    consent_id: str,
    purpose: str,
    said: Said,
    recorded_by: str,
) -> Consent:
    """Record an answer, in the caller's transaction, unless it is the latest already;
    MemberNotFound."""
    if await db.fetchval(MEMBER, program_id, member_id) is None:
        raise errors.MemberNotFound
    for last in await page(db, program_id, member_id, purpose, before="", limit=1):
        if (last.is_given, last.wording) == (said.is_given, said.wording):
            return last
    row = await db.fetchrow(
        ADD, consent_id, program_id, member_id, purpose, said.is_given, said.wording, recorded_by
    )
    assert row is not None
    return Consent(**row)


async def latest(db: Db, program_id: str, member_id: str) -> list[Consent]:
    """What counts now, one answer a purpose."""
    return [Consent(**row) for row in await db.fetch(LATEST, program_id, member_id)]


async def page(
    db: Db, program_id: str, member_id: str, purpose: str, *, before: str, limit: int
) -> list[Consent]:
    """Up to `limit` answers about a purpose, the newest first."""
    rows = await db.fetch(PAGE, program_id, member_id, purpose, before, limit)
    return [Consent(**row) for row in rows]
