"""The audit log: who changed what, written in the transaction of the change.

An entry is never changed and never deleted; its proof is in `core.chain`. Its place in the chain of
its program is given a moment later (`db.audit_chain`), so that writers do not wait for each other.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import asyncpg
import msgspec

from core import chain, ids
from core.keyring import KeyRing
from db.pg import Db

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_US: Final = dt.timedelta(microseconds=1)

INSERT: Final = """
INSERT INTO audit_entry
       (id, at, program_id, actor, actor_role, action, object_id, before, after, address,
        request_id, key, proof)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


PAGE: Final = """
SELECT id, at, program_id, actor, actor_role, action, object_id, before, after, address,
       request_id, key AS proven_with, proof, position, digest
  FROM audit_entry
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($3::text IS NULL OR actor = $3) AND ($4::text IS NULL OR object_id = $4)
   AND ($5::text IS NULL OR action = $5)
   AND at >= $6 AND at < $7
 ORDER BY id DESC LIMIT $8
"""
PAGE_OF_ALL: Final = """
SELECT id, at, program_id, actor, actor_role, action, object_id, before, after, address,
       request_id, key AS proven_with, proof, position, digest
  FROM audit_entry
 WHERE ($1::text IS NULL OR program_id = $1) AND ($2 = '' OR id < $2)
   AND ($3::text IS NULL OR actor = $3) AND ($4::text IS NULL OR object_id = $4)
   AND ($5::text IS NULL OR action = $5)
   AND at >= $6 AND at < $7
 ORDER BY id DESC LIMIT $8
"""
FOLLOWING: Final = """
SELECT id, at, program_id, actor, actor_role, action, object_id, before, after, address,
       request_id, key AS proven_with, proof, position, digest
  FROM audit_entry
 WHERE program_id = $1 AND id > $2 AND at >= $3 AND at < $4
 ORDER BY id LIMIT $5
"""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did. `program_id` is None for what concerns the whole installation.

    `actor` is an id, or a word for who has none ('anonymous', 'system'); `action` is `noun.verb`;
    `before` and `after` never hold secrets or what names a person; `address` is cut to its network.
    """

    program_id: str | None
    actor: str
    actor_role: str
    action: str
    object_id: str
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    address: str = ""
    request_id: str = ""
    at_ms: int


class Written(msgspec.Struct, frozen=True, kw_only=True):
    """An entry as it is shown. `position` and `digest` are null until it has its place in its
    chain; `proof` is an HMAC under a key derived from the field key named `proven_with`.
    """

    id: str
    at: dt.datetime
    program_id: str | None
    actor: str
    actor_role: str
    action: str
    object_id: str
    before: dict[str, Any] | None
    after: dict[str, Any] | None
    address: str
    request_id: str
    proven_with: str
    proof: str
    position: int | None
    digest: str | None


class Span(NamedTuple):
    """From when (inclusive) to when (exclusive) entries are asked for."""

    since: dt.datetime = EPOCH
    until: dt.datetime = dt.datetime.max.replace(tzinfo=dt.UTC)


EVER: Final = Span()


async def add(db: Db, ring: KeyRing, entry: Entry) -> str:
    """Write the entry, if the caller's transaction commits; returns its id."""
    content = chain.Content(
        id=ids.new("audit", entry.at_ms, secrets.token_bytes(ids.ENTROPY_BYTES)),
        at_us=entry.at_ms * 1000,
        program_id=entry.program_id or "",
        actor=entry.actor,
        actor_role=entry.actor_role,
        action=entry.action,
        object_id=entry.object_id,
        before=_json(entry.before),
        after=_json(entry.after),
        address=entry.address,
        request_id=entry.request_id,
    )
    entry_id, at_us, *rest = content
    await db.execute(INSERT, entry_id, EPOCH + at_us * _US, *rest, *chain.prove(ring, content))
    return entry_id


async def page(
    db: Db,
    program_id: str,
    *,
    before: str,
    limit: int,
    actor: str | None = None,
    object_id: str | None = None,
    action: str | None = None,
    span: Span = EVER,
) -> list[Written]:
    """Up to `limit` entries of the program, the newest first; those before the id `before`."""
    rows = await db.fetch(PAGE, program_id, before, actor, object_id, action, *span, limit)
    return [_written(row) for row in rows]


async def page_of_all(
    db: Db,
    program_id: str | None,
    *,
    before: str,
    limit: int,
    actor: str | None = None,
    object_id: str | None = None,
    action: str | None = None,
    span: Span = EVER,
) -> list[Written]:
    """As `page`; of all programs and the installation ('') when `program_id` is None."""
    rows = await db.fetch(PAGE_OF_ALL, program_id, before, actor, object_id, action, *span, limit)
    return [_written(row) for row in rows]


async def following(
    db: Db, program_id: str, *, after: str, limit: int, span: Span = EVER
) -> list[Written]:
    """Up to `limit` entries of the program beyond the id `after`, the oldest first."""
    return [_written(row) for row in await db.fetch(FOLLOWING, program_id, after, *span, limit)]


def _json(values: Mapping[str, object] | None) -> str | None:
    return None if values is None else msgspec.json.encode(values, order="sorted").decode()


def _written(row: asyncpg.Record) -> Written:
    values = dict(row)
    for name in ("before", "after"):
        values[name] = None if values[name] is None else msgspec.json.decode(values[name])
    for name in ("proof", "digest"):
        values[name] = None if values[name] is None else values[name].hex()
    return Written(**{**values, "program_id": values["program_id"] or None})
