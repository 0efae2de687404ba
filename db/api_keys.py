"""API keys: rows whose secret is known to its bearer alone, and what each key was used for."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, Literal, NamedTuple

import asyncpg
import msgspec

from core import errors
from core.apikeys import Parts
from db.pg import Db

INSERT: Final = """
INSERT INTO api_key
       (id, program_id, name, prefix, hash, scopes, rate_per_minute, expires_at, created_by)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)
RETURNING id, name, prefix, scopes, rate_per_minute, created_by, created_at, updated_at, expires_at,
          last_used_at, revoked_at, previous_prefix, previous_until
"""
SELECT: Final = """
SELECT id, name, prefix, scopes, rate_per_minute, created_by, created_at, updated_at, expires_at,
       last_used_at, revoked_at, previous_prefix, previous_until
  FROM api_key WHERE id = $2 AND program_id = $1
"""
SELECT_FOR_UPDATE: Final = """
SELECT id, name, prefix, scopes, rate_per_minute, created_by, created_at, updated_at, expires_at,
       last_used_at, revoked_at, previous_prefix, previous_until
  FROM api_key WHERE id = $2 AND program_id = $1 FOR UPDATE
"""
PAGE: Final = """
SELECT id, name, prefix, scopes, rate_per_minute, created_by, created_at, updated_at, expires_at,
       last_used_at, revoked_at, previous_prefix, previous_until
  FROM api_key WHERE program_id = $1 AND id > $2
 ORDER BY id LIMIT $3
"""
UPDATE: Final = """
UPDATE api_key
   SET name = $3, scopes = $4, rate_per_minute = $5, expires_at = $6, updated_at = now()
 WHERE id = $2 AND program_id = $1
RETURNING id, name, prefix, scopes, rate_per_minute, created_by, created_at, updated_at, expires_at,
          last_used_at, revoked_at, previous_prefix, previous_until
"""
# An overlap of nothing leaves nothing behind.
ROTATE: Final = """
UPDATE api_key
   SET prefix = $3, hash = $4, updated_at = now(),
       previous_prefix = CASE WHEN $5 > 0 THEN prefix END,
       previous_hash = CASE WHEN $5 > 0 THEN hash END,
       previous_until = CASE WHEN $5 > 0 THEN now() + make_interval(hours => $5) END
 WHERE id = $2 AND program_id = $1
RETURNING id, name, prefix, scopes, rate_per_minute, created_by, created_at, updated_at, expires_at,
          last_used_at, revoked_at, previous_prefix, previous_until
"""
REVOKE: Final = """
UPDATE api_key SET revoked_at = coalesce(revoked_at, now()), updated_at = now()
 WHERE id = $2 AND program_id = $1
RETURNING id
"""
# Whoever shows a key has not said yet which program is theirs.
FIND: Final = """
SELECT id, program_id, prefix, hash, previous_prefix, previous_hash, previous_until, scopes,
       rate_per_minute, expires_at, revoked_at
  FROM api_key WHERE prefix = $1 OR previous_prefix = $1
"""
# Locked in the order of the ids, so that two processes do not wait for each other.
COUNT_USE: Final = """
WITH used AS (
    SELECT id, requests, to_timestamp(last_ms / 1000.0) AS last_at
      FROM unnest($1::text[], $2::bigint[], $3::bigint[]) AS used (id, requests, last_ms)
), locked AS MATERIALIZED (
    SELECT id FROM api_key WHERE id IN (SELECT id FROM used) ORDER BY id FOR NO KEY UPDATE
), counted AS (
    INSERT INTO api_key_usage (key_id, day, requests)
    SELECT id, (last_at AT TIME ZONE 'UTC')::date, requests FROM used JOIN locked USING (id)
        ON CONFLICT (key_id, day)
        DO UPDATE SET requests = api_key_usage.requests + excluded.requests
)
UPDATE api_key AS key SET last_used_at = greatest(key.last_used_at, used.last_at)
  FROM used JOIN locked USING (id) WHERE key.id = used.id
RETURNING key.id, program_id, prefix, hash, previous_prefix, previous_hash, previous_until, scopes,
          rate_per_minute, expires_at, revoked_at
"""
USAGE: Final = """
SELECT usage.day, usage.requests
  FROM api_key_usage AS usage JOIN api_key AS key ON key.id = usage.key_id
 WHERE usage.key_id = $2 AND key.program_id = $1 AND usage.day BETWEEN $3 AND $4
 ORDER BY usage.day
"""
DELETE_OLD_USAGE: Final = "DELETE FROM api_key_usage WHERE day < $1"

State = Literal["active", "expired", "revoked"]


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """A key as it is shown. The previous prefix is that of before a rotation, good until then."""

    id: str
    name: str
    prefix: str
    state: State
    scopes: list[str]
    rate_per_minute: int | None
    created_by: str
    created_at: dt.datetime
    updated_at: dt.datetime
    expires_at: dt.datetime | None
    last_used_at: dt.datetime | None
    revoked_at: dt.datetime | None
    previous_prefix: str | None
    previous_until: dt.datetime | None


class Draft(NamedTuple):
    """A key to be stored."""

    id: str
    parts: Parts
    name: str
    scopes: Sequence[str]
    rate_per_minute: int | None
    expires_at: dt.datetime | None
    created_by: str


class Known(NamedTuple):
    """What tells whether a credential is good, and what it is good for."""

    id: str
    program_id: str
    prefix: str
    digest: bytes
    previous_prefix: str | None
    previous_digest: bytes | None
    previous_until: dt.datetime | None
    scopes: Sequence[str]
    rate_per_minute: int | None
    expires_at: dt.datetime | None
    revoked_at: dt.datetime | None


class Use(NamedTuple):
    """How often a key was used since it was last counted, and when last, in Unix milliseconds."""

    requests: int
    last_ms: int


class Day(msgspec.Struct, frozen=True):
    """The requests of one UTC day."""

    day: dt.date
    requests: int


async def add(db: Db, program_id: str, draft: Draft) -> ApiKey:
    """Store a new key; ProgramNotFound."""
    try:
        row = await db.fetchrow(
            INSERT,
            draft.id,
            program_id,
            draft.name,
            *draft.parts,
            list(draft.scopes),
            draft.rate_per_minute,
            draft.expires_at,
            draft.created_by,
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return _api_key(row)


async def get(db: Db, program_id: str, key_id: str) -> ApiKey:
    """The key, or ApiKeyNotFound."""
    return _api_key(await db.fetchrow(SELECT, program_id, key_id))


async def lock(db: Db, program_id: str, key_id: str) -> ApiKey:
    """The key, kept from changing until the transaction ends; or ApiKeyNotFound."""
    return _api_key(await db.fetchrow(SELECT_FOR_UPDATE, program_id, key_id))


async def page(db: Db, program_id: str, *, after: str, limit: int) -> list[ApiKey]:
    """Up to `limit` keys with ids beyond `after`, oldest first."""
    return [_api_key(row) for row in await db.fetch(PAGE, program_id, after, limit)]


async def change(db: Db, program_id: str, key: ApiKey) -> ApiKey:
    """Store a locked key's name, scopes, rate and expiry."""
    row = await db.fetchrow(
        UPDATE, program_id, key.id, key.name, key.scopes, key.rate_per_minute, key.expires_at
    )
    return _api_key(row)


async def rotate(db: Db, program_id: str, key_id: str, parts: Parts, overlap_hours: int) -> ApiKey:
    """Give a key a new secret; the present one, and no older one, stays good for a while."""
    return _api_key(await db.fetchrow(ROTATE, program_id, key_id, *parts, overlap_hours))


async def revoke(db: Db, program_id: str, key_id: str) -> None:
    """Let the key open nothing from now on, which is so for ever; ApiKeyNotFound."""
    if await db.fetchval(REVOKE, program_id, key_id) is None:
        raise errors.ApiKeyNotFound


async def find(db: Db, prefix: str) -> Known | None:
    """The key with this visible part, of whatever program and state."""
    row = await db.fetchrow(FIND, prefix)
    return None if row is None else Known(*row)


async def count_use(db: Db, uses: Mapping[str, Use]) -> list[Known]:
    """Add to what is known of the keys' use; returns how the keys are now."""
    counts, moments = zip(*uses.values(), strict=True)
    return [Known(*row) for row in await db.fetch(COUNT_USE, list(uses), counts, moments)]


async def usage(
    db: Db, program_id: str, key_id: str, *, first: dt.date, last: dt.date
) -> list[Day]:
    """The days on which a key was used; empty for a key of another program."""
    rows = await db.fetch(USAGE, program_id, key_id, first, last)
    return [Day(row["day"], row["requests"]) for row in rows]


async def delete_old_usage(db: Db, before: dt.date) -> None:
    """Forget what was counted on days before `before`."""
    await db.execute(DELETE_OLD_USAGE, before)


def _api_key(row: asyncpg.Record | None) -> ApiKey:
    if row is None:
        raise errors.ApiKeyNotFound
    return ApiKey(**row, state=_state(row))


def _state(row: asyncpg.Record) -> State:
    if row["revoked_at"] is not None:
        return "revoked"
    expires_at = row["expires_at"]
    # The moment of the statement, as good as any: an answer is old when it is read.
    is_over = expires_at is not None and expires_at <= dt.datetime.now(dt.UTC)
    return "expired" if is_over else "active"
