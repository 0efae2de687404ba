"""Members of a program. A deleted member keeps its row, because the ledger goes on naming it."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping, Sequence
from typing import Annotated, Any, Final

import asyncpg
import msgspec
from msgspec import Meta

from core import errors, names
from core.keyring import KeyRing
from core.links import Name, Ref
from db import sealing
from db.pg import Db

# Doubles hold whole numbers exactly up to here, and so does every reader of JSON.
Whole = Annotated[int, Meta(ge=-(2**53), le=2**53)]
Text = Annotated[str, Meta(max_length=500)]
Attributes = Annotated[dict[Name, Text | Whole | float | bool | None], Meta(max_length=50)]

PROFILE: Final = "member.profile"
UPSERT_TRIES: Final = 5

INSERT = """
INSERT INTO member (id, program_id, external_id, profile, name, attributes)
SELECT id, $1, external_id, profile, name, attributes::jsonb
  FROM unnest($2::text[], $3::text[], $4::bytea[], $5::text[], $6::text[])
       AS item (id, external_id, profile, name, attributes)
    ON CONFLICT (program_id, external_id) DO NOTHING
RETURNING id, external_id, profile, name, attributes, created_at, updated_at, banned_at
"""
SELECT = """
SELECT id, external_id, profile, name, attributes, created_at, updated_at, banned_at FROM member
 WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL
"""
SELECT_FOR_UPDATE = """
SELECT id, external_id, profile, name, attributes, created_at, updated_at, banned_at FROM member
 WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL
   FOR NO KEY UPDATE
"""
SELECT_BY_EXTERNAL_ID_FOR_UPDATE = """
SELECT id, external_id, profile, name, attributes, created_at, updated_at, banned_at FROM member
 WHERE external_id = $2 AND program_id = $1 AND deleted_at IS NULL
   FOR NO KEY UPDATE
"""
UPDATE = """
UPDATE member SET external_id = $2, profile = $3, name = $4, attributes = $5, updated_at = now()
 WHERE id = $1
RETURNING id, external_id, profile, name, attributes, created_at, updated_at, banned_at
"""
# The external id may be given out again; the ledger knows the member by its own id.
DELETE = """
UPDATE member SET deleted_at = now(), external_id = NULL
 WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL
RETURNING id
"""
PAGE = """
SELECT id, external_id, profile, name, attributes, created_at, updated_at, banned_at FROM member
 WHERE program_id = $1 AND deleted_at IS NULL AND id > $2
   AND ($4::text IS NULL OR external_id = $4)
 ORDER BY id LIMIT $3
"""
EXISTS = """
SELECT EXISTS (SELECT FROM member WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL)
"""
BAN = "UPDATE member SET banned_at = $3 WHERE program_id = $1 AND id = $2"
# Shared, so that whoever bans the member waits for what was begun before.
IS_BANNED = """
SELECT banned_at IS NOT NULL FROM member WHERE program_id = $1 AND id = $2 FOR SHARE
"""
BANNED = """
SELECT id FROM member
 WHERE program_id = $1 AND id = ANY($2::text[]) AND banned_at IS NOT NULL
"""


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """A member as it is stored and shown."""

    id: str
    external_id: str | None
    name: str | None
    attributes: Attributes
    created_at: dt.datetime
    updated_at: dt.datetime
    banned_at: dt.datetime | None = None


class NewMember(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller says of a member."""

    external_id: Ref | None = None
    name: names.Name | None = None
    attributes: Attributes = {}


class Profile(msgspec.Struct, frozen=True):
    """What is known of the person: this is what is sealed."""

    name: str | None
    attributes: Attributes


_encode_profile: Final = msgspec.json.Encoder().encode
_decode_profile: Final = msgspec.json.Decoder(Profile).decode


async def add(db: Db, ring: KeyRing, program_id: str, member_id: str, new: NewMember) -> Member:
    """Store a new member; ExternalIdTaken, ProgramNotFound."""
    added = await add_many(db, ring, program_id, [(member_id, new)])
    if not added:
        raise errors.ExternalIdTaken
    return added[member_id]


async def add_many(
    db: Db, ring: KeyRing, program_id: str, items: Sequence[tuple[str, NewMember]]
) -> dict[str, Member]:
    """Store members by their ids; those whose external id is taken are left out."""
    is_plain = not await sealing.is_sealing(db)
    try:
        rows = await db.fetch(
            INSERT,
            program_id,
            [member_id for member_id, _ in items],
            [new.external_id for _, new in items],
            [sealed(ring, member_id, new.name, new.attributes) for member_id, new in items],
            [new.name if is_plain else None for _, new in items],
            [_json(new.attributes if is_plain else {}) for _, new in items],
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return {row["id"]: _member(ring, row) for row in rows}


async def upsert(db: Db, ring: KeyRing, program_id: str, member_id: str, new: NewMember) -> Member:
    """Store a new member, or replace what is known of the one with this external id.

    Unavailable when the external id went from hand to hand meanwhile.
    """
    for _ in range(UPSERT_TRIES):
        if added := await add_many(db, ring, program_id, [(member_id, new)]):
            return added[member_id]
        row = await db.fetchrow(SELECT_BY_EXTERNAL_ID_FOR_UPDATE, program_id, new.external_id)
        if row is not None:
            return await _update(db, ring, _member(ring, row), msgspec.structs.asdict(new))
    raise errors.Unavailable


async def get(db: Db, ring: KeyRing, program_id: str, member_id: str) -> Member:
    """The member, or MemberNotFound."""
    return _member(ring, await db.fetchrow(SELECT, program_id, member_id))


async def exists(db: Db, program_id: str, member_id: str) -> bool:
    """Whether the program has this member and it was not deleted."""
    return bool(await db.fetchval(EXISTS, program_id, member_id))


async def change(
    db: Db, ring: KeyRing, program_id: str, member_id: str, changes: Mapping[str, Any]
) -> Member:
    """Replace the named fields, in the caller's transaction; MemberNotFound, ExternalIdTaken."""
    present = _member(ring, await db.fetchrow(SELECT_FOR_UPDATE, program_id, member_id))
    return await _update(db, ring, present, changes)


async def delete(db: Db, program_id: str, member_id: str) -> None:
    """Delete the member, whose account stays in the ledger; MemberNotFound."""
    if await db.fetchval(DELETE, program_id, member_id) is None:
        raise errors.MemberNotFound


async def ban(
    db: Db, ring: KeyRing, program_id: str, member_id: str, at: dt.datetime | None
) -> tuple[Member, bool]:
    """Ban the member from this moment on, or with None no more; and whether that changes anything.
    MemberNotFound."""
    present = _member(ring, await db.fetchrow(SELECT_FOR_UPDATE, program_id, member_id))
    if (present.banned_at is None) == (at is None):
        return present, False
    await db.execute(BAN, program_id, member_id, at)
    return msgspec.structs.replace(present, banned_at=at), True


async def check_ban(db: Db, program_id: str, member_id: str) -> None:
    """MemberBanned; nobody bans the member before the caller's transaction ends."""
    if await db.fetchval(IS_BANNED, program_id, member_id):
        raise errors.MemberBanned


async def banned(db: Db, program_id: str, member_ids: Collection[str]) -> set[str]:
    """Those of these members who are banned."""
    return {row["id"] for row in await db.fetch(BANNED, program_id, list(member_ids))}


async def page(
    db: Db,
    ring: KeyRing,
    program_id: str,
    *,
    after: str,
    limit: int,
    external_id: str | None = None,
) -> list[Member]:
    """Up to `limit` members with ids beyond `after`, oldest first."""
    rows = await db.fetch(PAGE, program_id, after, limit, external_id)
    return [_member(ring, row) for row in rows]


def sealed(ring: KeyRing, member_id: str, name: str | None, attributes: Attributes) -> bytes | None:
    """The stored form of a profile; None when nothing is known of the person."""
    if name is None and not attributes:
        return None
    text = _encode_profile(Profile(name, attributes)).decode()
    return sealing.seal(ring, text, PROFILE, member_id)


async def _update(db: Db, ring: KeyRing, present: Member, changes: Mapping[str, Any]) -> Member:
    new = msgspec.structs.replace(present, **changes)
    is_plain = not await sealing.is_sealing(db)
    try:
        row = await db.fetchrow(
            UPDATE,
            new.id,
            new.external_id,
            sealed(ring, new.id, new.name, new.attributes),
            new.name if is_plain else None,
            _json(new.attributes if is_plain else {}),
        )
    except asyncpg.UniqueViolationError:
        raise errors.ExternalIdTaken from None
    return _member(ring, row)


def _json(attributes: Attributes) -> str:
    return msgspec.json.encode(attributes).decode()


def _member(ring: KeyRing, row: asyncpg.Record | None) -> Member:
    if row is None:
        raise errors.MemberNotFound
    fields = dict(row)
    stored = fields.pop("profile")
    if stored is None:
        # Nothing is known, or it was written by 0.1.0.
        fields["attributes"] = msgspec.json.decode(fields["attributes"])
    else:
        profile = _decode_profile(sealing.unseal(ring, stored, PROFILE, fields["id"]))
        fields["name"], fields["attributes"] = profile.name, profile.attributes
    return Member(**fields)
