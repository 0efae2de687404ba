"""Merchants: the shops that links lead to."""

from __future__ import annotations

import datetime as dt

import asyncpg
import msgspec

from core import errors
from db.pg import Db

INSERT = """
INSERT INTO merchant (id, program_id, external_id, name) VALUES ($1, $2, $3, $4)
RETURNING id, external_id, name, created_at
"""
SELECT = """
SELECT id, external_id, name, created_at FROM merchant WHERE id = $2 AND program_id = $1
"""
UPDATE = """
UPDATE merchant
   SET name = coalesce($3, name), external_id = CASE WHEN $4 THEN $5 ELSE external_id END
 WHERE id = $2 AND program_id = $1
RETURNING id, external_id, name, created_at
"""
SELECT_FOR_UPDATE = """
SELECT id, external_id, name, created_at FROM merchant WHERE id = $2 AND program_id = $1
   FOR NO KEY UPDATE
"""
PAGE = """
SELECT id, external_id, name, created_at FROM merchant
 WHERE program_id = $1 AND id > $2 AND ($4::text IS NULL OR external_id = $4)
 ORDER BY id LIMIT $3
"""


class Merchant(msgspec.Struct, frozen=True, kw_only=True):
    """A merchant as it is stored and shown."""

    id: str
    external_id: str | None
    name: str
    created_at: dt.datetime


async def add(
    db: Db, program_id: str, merchant_id: str, *, name: str, external_id: str | None
) -> Merchant:
    """Store a new merchant; ExternalIdTaken, ProgramNotFound."""
    try:
        row = await db.fetchrow(INSERT, merchant_id, program_id, external_id, name)
    except asyncpg.UniqueViolationError:
        raise errors.ExternalIdTaken from None
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return _merchant(row)


async def get(db: Db, program_id: str, merchant_id: str) -> Merchant:
    """The merchant, or MerchantNotFound."""
    return _merchant(await db.fetchrow(SELECT, program_id, merchant_id))


async def lock(db: Db, program_id: str, merchant_id: str) -> Merchant:
    """The merchant, which nobody else changes before the transaction ends; MerchantNotFound."""
    return _merchant(await db.fetchrow(SELECT_FOR_UPDATE, program_id, merchant_id))


async def change(
    db: Db,
    program_id: str,
    merchant_id: str,
    *,
    name: str | None,
    external_id: str | msgspec.UnsetType | None,
) -> Merchant:
    """Change the name unless None and the external id unless UNSET; MerchantNotFound,
    ExternalIdTaken."""
    is_given = external_id is not msgspec.UNSET
    try:
        row = await db.fetchrow(
            UPDATE, program_id, merchant_id, name, is_given, external_id if is_given else None
        )
    except asyncpg.UniqueViolationError:
        raise errors.ExternalIdTaken from None
    return _merchant(row)


async def page(
    db: Db, program_id: str, *, after: str, limit: int, external_id: str | None = None
) -> list[Merchant]:
    """Up to `limit` merchants with ids beyond `after`, oldest first."""
    return [_merchant(row) for row in await db.fetch(PAGE, program_id, after, limit, external_id)]


def _merchant(row: asyncpg.Record | None) -> Merchant:
    if row is None:
        raise errors.MerchantNotFound
    return Merchant(**row)
