"""Members of a program. A deleted member keeps its row, because the ledger goes on naming it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Annotated

import asyncpg
import msgspec
from msgspec import Meta

from core import errors
from core.links import Line, Name, Ref
from db.pg import Db

# Doubles hold whole numbers exactly up to here, and so does every reader of JSON.
Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Text = Annotated[str, Meta(max_length=500)]
Attributes = Annotated[dict[Name, Text | Whole | float | bool | None], Meta(max_length=50)]

INSERT = """
INSERT INTO member (id, program_id, external_id, name, attributes)
SELECT id, $1, external_id, name, attributes::jsonb
  FROM unnest($2::text[], $3::text[], $4::text[], $5::text[])
       AS item (id, external_id, name, attributes)
    ON CONFLICT (program_id, external_id) DO NOTHING
RETURNING id, external_id, name, attributes, created_at, updated_at
"""
UPSERT = """
INSERT INTO member (id, program_id, external_id, name, attributes)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (program_id, external_id) DO UPDATE
   SET name = excluded.name, attributes = excluded.attributes, updated_at = now()
RETURNING id, external_id, name, attributes, created_at, updated_at
"""
SELECT = """
SELECT id, external_id, name, attributes, created_at, updated_at FROM member
 WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL
"""
SELECT_FOR_UPDATE = """
SELECT id, external_id, name, attributes, created_at, updated_at FROM member
 WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL
   FOR NO KEY UPDATE
"""
UPDATE = """
UPDATE member SET external_id = $2, name = $3, attributes = $4, updated_at = now()
 WHERE id = $1
RETURNING id, external_id, name, attributes, created_at, updated_at
"""
# The external id may be given out again; the ledger knows the member by its own id.
DELETE = """
UPDATE member SET deleted_at = now(), external_id = NULL
 WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL
RETURNING id
"""
PAGE = """
SELECT id, external_id, name, attributes, created_at, updated_at FROM member
 WHERE program_id = $1 AND deleted_at IS NULL AND id > $2
   AND ($4::text IS NULL OR external_id = $4)
 ORDER BY id LIMIT $3
"""
EXISTS = """
SELECT EXISTS (SELECT FROM member WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL)
"""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member as it is stored and shown."""

    id: str
    external_id: str | None
    name: str | None
    attributes: Attributes
    created_at: dt.datetime
    updated_at: dt.datetime


class NewMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller says of a member."""

    external_id: Ref | None = None
    name: Line | None = None
    attributes: Attributes = {}


async def add(db: Db, program_id: str, member_id: str, new: NewMember) -> Member:
    """Store a new member; ExternalIdTaken, ProgramNotFound."""
    added = await add_many(db, program_id, [(member_id, new)])
    if not added:
        raise errors.ExternalIdTaken
    return added[member_id]


async def add_many(
    db: Db, program_id: str, items: Sequence[tuple[str, NewMember]]
) -> dict[str, Member]:
    """Store members by their ids; those whose external id is taken are left out."""
    try:
        rows = await db.fetch(
            INSERT,
            program_id,
            [member_id for member_id, _ in items],
            [new.external_id for _, new in items],
            [new.name for _, new in items],
            [_json(new.attributes) for _, new in items],
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return {row["id"]: _member(row) for row in rows}


async def upsert(db: Db, program_id: str, member_id: str, new: NewMember) -> Member:
    """Store a new member, or replace what is known of the one with this external id."""
    try:
        row = await db.fetchrow(
            UPSERT, member_id, program_id, new.external_id, new.name, _json(new.attributes)
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return _member(row)


async def get(db: Db, program_id: str, member_id: str) -> Member:
    """The member, or MemberNotFound."""
    return _member(await db.fetchrow(SELECT, program_id, member_id))


async def exists(db: Db, program_id: str, member_id: str) -> bool:
    """Whether the program has this member and it was not deleted."""
    return bool(await db.fetchval(EXISTS, program_id, member_id))


async def change(db: Db, program_id: str, member_id: str, changes: Mapping[str, object]) -> Member:
    """Replace the named fields, in the caller's transaction; MemberNotFound, ExternalIdTaken."""
    present = _member(await db.fetchrow(SELECT_FOR_UPDATE, program_id, member_id))
    new = msgspec.structs.replace(present, **changes)
    try:
        row = await db.fetchrow(UPDATE, member_id, new.external_id, new.name, _json(new.attributes))
    except asyncpg.UniqueViolationError:
        raise errors.ExternalIdTaken from None
    return _member(row)


async def delete(db: Db, program_id: str, member_id: str) -> None:
    """Delete the member, whose account stays in the ledger; MemberNotFound."""
    if await db.fetchval(DELETE, program_id, member_id) is None:
        raise errors.MemberNotFound


async def page(
    db: Db, program_id: str, *, after: str, limit: int, external_id: str | None = None
) -> list[Member]:
    """Up to `limit` members with ids beyond `after`, oldest first."""
    return [_member(row) for row in await db.fetch(PAGE, program_id, after, limit, external_id)]


def _json(attributes: Attributes) -> str:
    return msgspec.json.encode(attributes).decode()


def _member(row: asyncpg.Record | None) -> Member:
    if row is None:
        raise errors.MemberNotFound
    return Member(**{**row, "attributes": msgspec.json.decode(row["attributes"])})
