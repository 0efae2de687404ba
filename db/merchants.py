"""Merchants: the shops that links lead to."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping

import asyncpg
import msgspec

from core import errors
from core.merchants import MerchantConfig
from db import categories
from db.pg import Db

INSERT = """
INSERT INTO merchant (id, program_id, external_id, name, state, hosts, logo_url, category_ids,
                      approval_days, descriptions)
VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, $10)
RETURNING id, external_id, name, created_at, state, hosts, logo_url, category_ids,
          approval_days, descriptions
"""
SELECT = """
SELECT id, external_id, name, created_at, state, hosts, logo_url, category_ids,
       approval_days, descriptions
  FROM merchant WHERE id = $2 AND program_id = $1
"""
UPDATE = """
UPDATE merchant
   SET external_id = $3, name = $4, state = $5, hosts = $6, logo_url = $7, category_ids = $8,
       approval_days = $9, descriptions = $10
 WHERE id = $2 AND program_id = $1
RETURNING id, external_id, name, created_at, state, hosts, logo_url, category_ids,
          approval_days, descriptions
"""
SELECT_FOR_UPDATE = """
SELECT id, external_id, name, created_at, state, hosts, logo_url, category_ids,
       approval_days, descriptions
  FROM merchant WHERE id = $2 AND program_id = $1
   FOR NO KEY UPDATE
"""
HOLD = """
SELECT id FROM merchant WHERE program_id = $1 AND id = ANY($2::text[]) ORDER BY id FOR KEY SHARE
"""
PAGE = """
SELECT id, external_id, name, created_at, state, hosts, logo_url, category_ids,
       approval_days, descriptions
  FROM merchant
 WHERE program_id = $1 AND id > $2 AND ($4::text IS NULL OR external_id = $4)
   AND ($5::text IS NULL OR state = $5)
 ORDER BY id LIMIT $3
"""
IDS_OF = """
SELECT external_id, id FROM merchant WHERE program_id = $1 AND external_id = ANY($2::text[])
"""
# In the order of the external ids, so that two transactions take them in the same order. A row that
# says what is there changes nothing.
SAVE = """
INSERT INTO merchant AS present (id, program_id, external_id, name, state, hosts, logo_url,
                                 category_ids, approval_days, descriptions)
SELECT item ->> 'id', $1, item ->> 'external_id', item ->> 'name', item ->> 'state',
       ARRAY(SELECT jsonb_array_elements_text(item -> 'hosts')), item ->> 'logo_url',
       ARRAY(SELECT jsonb_array_elements_text(item -> 'category_ids')),
       (item ->> 'approval_days')::integer, item -> 'descriptions'
  FROM jsonb_array_elements($2::jsonb) AS item
 ORDER BY item ->> 'external_id'
    ON CONFLICT (program_id, external_id) DO UPDATE
   SET name = excluded.name, state = excluded.state, hosts = excluded.hosts,
       logo_url = excluded.logo_url, category_ids = excluded.category_ids,
       approval_days = excluded.approval_days, descriptions = excluded.descriptions
 WHERE (present.name, present.state, present.hosts, present.logo_url, present.category_ids,
        present.approval_days, present.descriptions)
       IS DISTINCT FROM
       (excluded.name, excluded.state, excluded.hosts, excluded.logo_url, excluded.category_ids,
        excluded.approval_days, excluded.descriptions)
RETURNING id
"""


class Merchant(MerchantConfig, frozen=True, kw_only=True, omit_defaults=False):
    """A merchant as it is stored and shown."""

    id: str
    created_at: dt.datetime


async def add(db: Db, program_id: str, merchant_id: str, config: MerchantConfig) -> Merchant:
    """Store a new merchant; ExternalIdTaken, ProgramNotFound, CategoryNotFound."""
    await categories.hold(db, program_id, config.category_ids)
    return _merchant(await _write(db, INSERT, program_id, merchant_id, config))


async def get(db: Db, program_id: str, merchant_id: str) -> Merchant:
    """The merchant, or MerchantNotFound."""
    return _merchant(await db.fetchrow(SELECT, program_id, merchant_id))


async def lock(db: Db, program_id: str, merchant_id: str) -> Merchant:
    """The merchant, which nobody else changes before the transaction ends; MerchantNotFound."""
    return _merchant(await db.fetchrow(SELECT_FOR_UPDATE, program_id, merchant_id))


async def hold(db: Db, program_id: str, merchant_ids: Collection[str]) -> None:
    """Keep those of these merchants that there are in their place until the transaction ends, for
    offers that will be theirs."""
    if merchant_ids:
        await db.fetch(HOLD, program_id, list(merchant_ids))


async def change(db: Db, program_id: str, merchant_id: str, config: MerchantConfig) -> Merchant:
    """Replace the merchant by this; MerchantNotFound, ExternalIdTaken, CategoryNotFound."""
    await categories.hold(db, program_id, config.category_ids)
    return _merchant(await _write(db, UPDATE, program_id, merchant_id, config))


async def ids_of(db: Db, program_id: str, external_ids: Collection[str]) -> dict[str, str]:
    """The ids of those of these external ids that there are."""
    rows = await db.fetch(IDS_OF, program_id, list(external_ids))
    return {row["external_id"]: row["id"] for row in rows}


async def save(db: Db, program_id: str, drafts: Mapping[str, MerchantConfig]) -> list[str]:
    """Store merchants by new ids, or replace those with their external ids; the ids of those that
    are new or changed. CategoryNotFound, ProgramNotFound.
    """
    filed = {category_id for one in drafts.values() for category_id in one.category_ids}
    await categories.hold(db, program_id, filed)
    items = [
        {"id": merchant_id, **msgspec.structs.asdict(config)}
        for merchant_id, config in drafts.items()
    ]
    try:
        rows = await db.fetch(SAVE, program_id, msgspec.json.encode(items).decode())
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return [row["id"] for row in rows]


async def page(
    db: Db,
    program_id: str,
    *,
    after: str,
    limit: int,
    external_id: str | None = None,
    state: str | None = None,
) -> list[Merchant]:
    """Up to `limit` merchants with ids beyond `after`, oldest first."""
    rows = await db.fetch(PAGE, program_id, after, limit, external_id, state)
    return [_merchant(row) for row in rows]


async def _write(
    db: Db, statement: str, program_id: str, merchant_id: str, config: MerchantConfig
) -> asyncpg.Record | None:
    try:
        return await db.fetchrow(
            statement,
            program_id,
            merchant_id,
            config.external_id,
            config.name,
            config.state,
            config.hosts,
            config.logo_url,
            config.category_ids,
            config.approval_days,
            msgspec.json.encode(config.descriptions).decode(),
        )
    except asyncpg.UniqueViolationError:
        raise errors.ExternalIdTaken from None
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None


def _merchant(row: asyncpg.Record | None) -> Merchant:
    if row is None:
        raise errors.MerchantNotFound
    values = {**row, "descriptions": msgspec.json.decode(row["descriptions"])}
    values |= {name: tuple(row[name]) for name in ("hosts", "category_ids")}
    return Merchant(**values)
