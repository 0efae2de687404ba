"""The codes by which members bring others: one for each member who wants one."""

from __future__ import annotations

import datetime as dt
import os
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, referrals
from db.pg import Db

#: A code that somebody has is drawn once in a million million times.
TRIES: Final = 3

# Locked, so that an erasure does not pass by, which would leave the row behind.
INSERT: Final = """
INSERT INTO referral_code (id, program_id, member_id, code, created_at)
SELECT $3, program_id, id, $4, $5 FROM member
 WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL
   FOR SHARE
    ON CONFLICT DO NOTHING
RETURNING id
"""
OF_MEMBER: Final = """
SELECT c.id, c.member_id, c.code, c.created_at
  FROM referral_code c JOIN member m ON m.id = c.member_id
 WHERE c.program_id = $1 AND c.member_id = $2 AND m.deleted_at IS NULL
"""
OWNER: Final = """
SELECT c.member_id FROM referral_code c JOIN member m ON m.id = c.member_id
 WHERE c.program_id = $1 AND c.code = $2 AND m.deleted_at IS NULL
"""
PAGE: Final = """
SELECT id, member_id, code, created_at FROM referral_code
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR member_id = $4) AND ($5::text IS NULL OR code = $5)
 ORDER BY id DESC LIMIT $3
"""


class ReferralCode(msgspec.Struct, frozen=True, kw_only=True):
    """A member's code."""

    id: str
    member_id: str
    code: str
    created_at: dt.datetime


class Made(NamedTuple):
    """A member's code, and whether there was none before."""

    code: ReferralCode
    is_new: bool


async def make(db: Db, program_id: str, member_id: str, code_id: str, now: dt.datetime) -> Made:
    """The member's code, made now if there is none, in the caller's transaction; MemberNotFound."""
    for _ in range(TRIES):
        drawn = referrals.new_code(os.urandom(referrals.ENTROPY_BYTES))
        made = await db.fetchval(INSERT, program_id, member_id, code_id, drawn, now)
        found = await find(db, program_id, member_id)
        if found is not None:
            return Made(found, made is not None)
    raise errors.MemberNotFound


async def find(db: Db, program_id: str, member_id: str) -> ReferralCode | None:
    """The member's code, if there is one."""
    row = await db.fetchrow(OF_MEMBER, program_id, member_id)
    return None if row is None else _code(row)


async def owner(db: Db, program_id: str, code: str) -> str:
    """Whose code it is, in its one spelling; ReferralCodeNotFound."""
    member_id: str | None = await db.fetchval(OWNER, program_id, code)
    if member_id is None:
        raise errors.ReferralCodeNotFound
    return member_id


async def page(
    db: Db,
    program_id: str,
    *,
    before: str,
    limit: int,
    member_id: str | None = None,
    code: str | None = None,
) -> list[ReferralCode]:
    """Up to `limit` codes, the newest first."""
    rows = await db.fetch(PAGE, program_id, before, limit, member_id, code)
    return [_code(row) for row in rows]


def _code(row: asyncpg.Record) -> ReferralCode:
    return ReferralCode(**row)
