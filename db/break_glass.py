"""Accesses of the platform's staff to a program's data: who, why, and until when."""

from __future__ import annotations

import datetime as dt
from typing import Final

import asyncpg
import msgspec

from core import errors
from db.pg import Db

# By PostgreSQL's clock, as the check that it is short.
INSERT: Final = """
INSERT INTO break_glass (id, program_id, operator_id, reason, expires_at)
VALUES ($1, $2, $3, $4, now() + make_interval(mins => $5))
RETURNING id, program_id, operator_id, reason, created_at, expires_at, ended_at
"""
PAGE: Final = """
SELECT id, program_id, operator_id, reason, created_at, expires_at, ended_at
  FROM break_glass WHERE ($1 = '' OR id < $1) ORDER BY id DESC LIMIT $2
"""
END: Final = """
UPDATE break_glass SET ended_at = now()
 WHERE id = $1 AND ended_at IS NULL AND expires_at > now()
RETURNING id, program_id, operator_id, reason, created_at, expires_at, ended_at
"""


class Glass(msgspec.Struct, frozen=True, kw_only=True):
    """An access, which ends at `expires_at` unless it was ended before."""

    id: str
    program_id: str
    operator_id: str
    reason: str
    created_at: dt.datetime
    expires_at: dt.datetime
    ended_at: dt.datetime | None


async def add(
    db: Db, glass_id: str, *, program_id: str, operator_id: str, reason: str, minutes: int
) -> Glass:
    """Note an access from now on, for at most an hour; ProgramNotFound."""
    try:
        row = await db.fetchrow(INSERT, glass_id, program_id, operator_id, reason, minutes)
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return _glass(row)


async def page(db: Db, *, before: str, limit: int) -> list[Glass]:
    """Up to `limit` accesses with ids before `before`, the latest first."""
    return [_glass(row) for row in await db.fetch(PAGE, before, limit)]


async def end(db: Db, glass_id: str) -> Glass:
    """Note that an access ends now; GlassNotFound when there is none that lasts."""
    return _glass(await db.fetchrow(END, glass_id))


def _glass(row: asyncpg.Record | None) -> Glass:
    if row is None:
        raise errors.GlassNotFound
    return Glass(**row)
