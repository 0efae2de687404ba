"""Programs, the tenants: every other row belongs to one."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping

import asyncpg
import msgspec

from core import errors
from core.programs import ProgramSettings
from db.pg import Db

INSERT = """
INSERT INTO program (id, name, currency, time_zone, settings)
VALUES ($1, $2, $3, $4, $5)
RETURNING id, name, currency, time_zone, settings, created_at, updated_at
"""
SELECT = """
SELECT id, name, currency, time_zone, settings, created_at, updated_at
  FROM program WHERE id = $1
"""
SELECT_FOR_UPDATE = """
SELECT id, name, currency, time_zone, settings, created_at, updated_at
  FROM program WHERE id = $1 FOR NO KEY UPDATE
"""
UPDATE = """
UPDATE program SET name = $2, currency = $3, time_zone = $4, settings = $5, updated_at = now()
 WHERE id = $1
RETURNING id, name, currency, time_zone, settings, created_at, updated_at
"""
ORIGINS = """
SELECT DISTINCT jsonb_array_elements_text(settings -> 'cors_origins') FROM program
"""
PAGE = """
SELECT id, name, currency, time_zone, settings, created_at, updated_at
  FROM program WHERE id > $1 ORDER BY id LIMIT $2
"""


class Program(msgspec.Struct, frozen=True, kw_only=True):
    """A program as it is stored and shown."""

    id: str
    name: str
    currency: str
    time_zone: str
    settings: ProgramSettings
    created_at: dt.datetime
    updated_at: dt.datetime


async def add(
    db: Db, program_id: str, *, name: str, currency: str, time_zone: str, settings: ProgramSettings
) -> Program:
    """Store a new program."""
    row = await db.fetchrow(INSERT, program_id, name, currency, time_zone, _json(settings))
    return _program(row)


async def get(db: Db, program_id: str) -> Program:
    """The program, or ProgramNotFound."""
    return _program(await db.fetchrow(SELECT, program_id))


async def lock(db: Db, program_id: str) -> Program:
    """The program, which nobody else changes before the transaction ends; ProgramNotFound."""
    return _program(await db.fetchrow(SELECT_FOR_UPDATE, program_id))


async def change(db: Db, program_id: str, changes: Mapping[str, object]) -> Program:
    """Replace the named fields, in the caller's transaction; ProgramNotFound."""
    present = await lock(db, program_id)
    new = msgspec.structs.replace(present, **changes)
    row = await db.fetchrow(
        UPDATE, program_id, new.name, new.currency, new.time_zone, _json(new.settings)
    )
    return _program(row)


async def origins(db: Db) -> frozenset[str]:
    """All origins that any program names."""
    return frozenset(row[0] for row in await db.fetch(ORIGINS))


async def page(db: Db, *, after: str, limit: int) -> list[Program]:
    """Up to `limit` programs with ids beyond `after`, oldest first."""
    return [_program(row) for row in await db.fetch(PAGE, after, limit)]


def _json(settings: ProgramSettings) -> str:
    return msgspec.json.encode(settings).decode()


def _program(row: asyncpg.Record | None) -> Program:
    if row is None:
        raise errors.ProgramNotFound
    settings = msgspec.json.decode(row["settings"], type=ProgramSettings)
    return Program(**{**row, "settings": settings})
