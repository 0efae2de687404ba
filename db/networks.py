"""A program's accounts at affiliate networks."""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Mapping
from typing import Any, Final, Literal

import asyncpg
import msgspec

from core import errors
from core.keyring import KeyRing
from core.networks import Rules
from core.providers.affiliate import table
from core.providers.affiliate.protocol import AffiliateNetwork
from db import sealing
from db.pg import Db

CREDENTIALS: Final = "network.credentials"

INSERT: Final = """
INSERT INTO network (id, program_id, provider, name, config, rules, credentials, token_hash)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
SELECT: Final = """
SELECT id, program_id, provider, name, state, config, rules, credentials, token_hash,
       previous_token_hash, previous_token_until, sync_from, sync_to, sync_cursor, synced_until,
       last_synced_at, next_sync_at, sync_failures, last_error, created_at, updated_at
  FROM network WHERE program_id = $1 AND id = $2
"""
LOCK: Final = """
SELECT id, program_id, provider, name, state, config, rules, credentials, token_hash,
       previous_token_hash, previous_token_until, sync_from, sync_to, sync_cursor, synced_until,
       last_synced_at, next_sync_at, sync_failures, last_error, created_at, updated_at
  FROM network WHERE program_id = $1 AND id = $2
   FOR NO KEY UPDATE
"""
PAGE: Final = """
SELECT id, program_id, provider, name, state, config, rules, credentials, token_hash,
       previous_token_hash, previous_token_until, sync_from, sync_to, sync_cursor, synced_until,
       last_synced_at, next_sync_at, sync_failures, last_error, created_at, updated_at
  FROM network WHERE program_id = $1 AND id > $2 ORDER BY id LIMIT $3
"""
# Held, so that a link is made as the account is when it is stored; reports go on meanwhile.
LINKING: Final = """
SELECT id, provider, config FROM network WHERE program_id = $1 AND id = ANY($2::text[])
 ORDER BY id FOR KEY SHARE
"""
LOCK_TO_CHANGE: Final = """
SELECT id FROM network WHERE program_id = $1 AND id = $2 FOR UPDATE
"""
# A postback and a task know the id alone; it was given out by us.
PROGRAM_OF: Final = "SELECT program_id FROM network WHERE id = $1"
UPDATE: Final = """
UPDATE network
   SET name = $3, state = $4, config = $5, rules = $6, credentials = $7, updated_at = now()
 WHERE program_id = $1 AND id = $2
"""
ROTATE: Final = """
UPDATE network
   SET previous_token_hash = token_hash, previous_token_until = now() + make_interval(hours => $4),
       token_hash = $3, updated_at = now()
 WHERE program_id = $1 AND id = $2
"""
# Those that somebody works on are looked at the next time.
DUE: Final = """
SELECT program_id, id FROM network
 WHERE state = 'enabled' AND next_sync_at <= $1 AND provider = ANY($2::text[])
 ORDER BY next_sync_at, id LIMIT $3 FOR NO KEY UPDATE SKIP LOCKED
"""
ASK: Final = """
UPDATE network
   SET sync_from = $3, sync_to = $4, sync_cursor = NULL, next_sync_at = $5, last_error = NULL,
       sync_failures = 0
 WHERE program_id = $1 AND id = $2
"""
ADVANCE: Final = """
UPDATE network SET sync_cursor = $3, sync_failures = 0, last_error = $4
 WHERE program_id = $1 AND id = $2
"""
FINISH: Final = """
UPDATE network
   SET sync_from = NULL, sync_to = NULL, sync_cursor = NULL, sync_failures = 0, last_error = $3,
       last_synced_at = $4, synced_until = greatest(synced_until, sync_to), next_sync_at = $5
 WHERE program_id = $1 AND id = $2
"""
PUT_OFF: Final = "UPDATE network SET next_sync_at = $3 WHERE program_id = $1 AND id = $2"
FAIL: Final = """
UPDATE network SET sync_failures = sync_failures + 1, last_error = $3, next_sync_at = $4
 WHERE program_id = $1 AND id = $2
"""


class Network(msgspec.Struct, frozen=True, kw_only=True):
    """A network as it is stored; its credentials stay sealed until `made` opens them."""

    id: str
    program_id: str
    provider: str
    name: str
    state: Literal["enabled", "disabled"]
    config: dict[str, Any]
    rules: Rules
    credentials: bytes | None
    token_hash: bytes
    previous_token_hash: bytes | None
    previous_token_until: dt.datetime | None
    sync_from: dt.datetime | None
    sync_to: dt.datetime | None
    sync_cursor: str | None
    synced_until: dt.datetime | None
    last_synced_at: dt.datetime | None
    next_sync_at: dt.datetime
    sync_failures: int
    last_error: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


class New(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says of an account."""

    provider: str
    name: str
    config: Mapping[str, Any]
    rules: Rules
    credentials: Mapping[str, Any] | None


def made(ring: KeyRing, network: Network) -> AffiliateNetwork:
    """The provider of this account; BadSetting, BadField."""
    secrets = None
    if network.credentials is not None:
        text = sealing.unseal(ring, network.credentials, CREDENTIALS, network.id)
        secrets = msgspec.json.decode(text)
    return table.make(network.provider, network.config, secrets)


async def add(
    db: Db, ring: KeyRing, program_id: str, network_id: str, new: New, token_hash: bytes
) -> Network:
    """Store a new, enabled network; ProgramNotFound."""
    try:
        await db.execute(
            INSERT,
            *(network_id, program_id, new.provider, new.name, _json(new.config), _json(new.rules)),
            *(sealed(ring, network_id, new.credentials), token_hash),
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return await get(db, program_id, network_id)


async def get(db: Db, program_id: str, network_id: str) -> Network:
    """The network, or NetworkNotFound."""
    return _network(await db.fetchrow(SELECT, program_id, network_id))


async def lock(db: Db, program_id: str, network_id: str) -> Network:
    """The same, which nobody else changes, or has reports of, before the transaction ends."""
    return _network(await db.fetchrow(LOCK, program_id, network_id))


async def lock_to_change(db: Db, program_id: str, network_id: str) -> Network:
    """The same, while nobody makes a link through it either."""
    await db.fetch(LOCK_TO_CHANGE, program_id, network_id)
    return await get(db, program_id, network_id)


async def linking(
    db: Db, program_id: str, network_ids: Collection[str]
) -> dict[str, AffiliateNetwork]:
    """Those of these networks that there are, without credentials, to make links with, until the
    caller's transaction ends."""
    rows = await db.fetch(LINKING, program_id, list(network_ids))
    return {
        row["id"]: table.make(row["provider"], msgspec.json.decode(row["config"])) for row in rows
    }


async def page(db: Db, program_id: str, *, after: str, limit: int) -> list[Network]:
    """Up to `limit` networks with ids beyond `after`, oldest first."""
    return [_network(row) for row in await db.fetch(PAGE, program_id, after, limit)]


async def find_program(db: Db, network_id: str) -> str | None:
    """The program that a network belongs to, None when there is none of this id."""
    found: str | None = await db.fetchval(PROGRAM_OF, network_id)
    return found


async def change(db: Db, network: Network) -> Network:
    """Store what was changed of a locked network."""
    await db.execute(
        UPDATE,
        *(network.program_id, network.id, network.name, network.state, _json(network.config)),
        *(_json(network.rules), network.credentials),
    )
    return await get(db, network.program_id, network.id)


async def rotate(
    db: Db, program_id: str, network_id: str, token_hash: bytes, overlap_hours: int
) -> Network:
    """Take this token from now on, and the present one for some hours more; NetworkNotFound."""
    await db.execute(ROTATE, program_id, network_id, token_hash, overlap_hours)
    return await get(db, program_id, network_id)


async def due(db: Db, now: dt.datetime, providers: list[str], limit: int) -> list[tuple[str, str]]:
    """Program and network of those of these providers that are to be asked, locked."""
    rows = await db.fetch(DUE, now, providers, limit)
    return [(row["program_id"], row["id"]) for row in rows]


async def ask(
    db: Db, network: Network, start: dt.datetime, end: dt.datetime, again_at: dt.datetime
) -> None:
    """Have the window read from its start."""
    await db.execute(ASK, network.program_id, network.id, start, end, again_at)


async def advance(db: Db, network: Network, cursor: str, problem: str | None) -> None:
    """Note that a locked network's window was read up to `cursor`."""
    await db.execute(ADVANCE, network.program_id, network.id, cursor, problem)


async def finish(
    db: Db, network: Network, now: dt.datetime, next_at: dt.datetime, problem: str | None
) -> None:
    """Note that a locked network's window was read to its end."""
    await db.execute(FINISH, network.program_id, network.id, problem, now, next_at)


async def fail(db: Db, network: Network, problem: str, next_at: dt.datetime) -> None:
    """Note why a network could not be asked, and when it is asked again."""
    await db.execute(FAIL, network.program_id, network.id, problem, next_at)


async def put_off(db: Db, network: Network, next_at: dt.datetime) -> None:
    """Ask a locked network no sooner than then."""
    await db.execute(PUT_OFF, network.program_id, network.id, next_at)


def sealed(ring: KeyRing, network_id: str, credentials: Mapping[str, Any] | None) -> bytes | None:
    """The stored form of an account's secrets."""
    if credentials is None:
        return None
    text = msgspec.json.encode(credentials).decode()
    return sealing.seal(ring, text, CREDENTIALS, network_id)


def _json(value: object) -> str:
    return msgspec.json.encode(value).decode()


def _network(row: asyncpg.Record | None) -> Network:
    if row is None:
        raise errors.NetworkNotFound
    config = msgspec.json.decode(row["config"])
    rules = msgspec.json.decode(row["rules"], type=Rules)
    return Network(**{**row, "config": config, "rules": rules})
