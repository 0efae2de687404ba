"""Webhook endpoints of a program, and which events they are told."""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Iterable, Mapping, Sequence
from typing import Annotated, Any, Final, Literal, NamedTuple, get_args

import asyncpg
import msgspec
from msgspec import Meta

from core import errors, ids
from core.keyring import KeyRing
from core.links import Line
from db import sealing
from db.pg import Db

EventType = Literal[
    "award.created",
    "award.reversed",
    "click.recorded",
    "link.cap_reached",
    "withdrawal.requested",
    "withdrawal.approved",
    "withdrawal.rejected",
    "withdrawal.canceled",
    "withdrawal.completed",
    "withdrawal.unclear",
    "withdrawal.failed",
    "withdrawal.reversed",
    "conversion.created",
    "conversion.approved",
    "conversion.declined",
    "conversion.reversed",
    "claim.opened",
    "claim.decided",
    "balance.negative",
    "fraud.case_opened",
    "fraud.case_resolved",
    "referral.qualified",
    "referral.reversed",
    "referral.budget_exhausted",
]
EVENT_TYPES: Final[tuple[str, ...]] = get_args(EventType)
TEST_EVENT: Final = "webhook.test"
# What secrets are sealed for; a rotation moves one to the other column as it is.
SECRET: Final = "webhook_endpoint.secret"  # noqa: S105 - the name of the column

Url = Annotated[str, Meta(min_length=1, max_length=2048)]
EventTypes = Annotated[list[EventType], Meta(min_length=1, max_length=len(EVENT_TYPES))]

INSERT: Final = """
INSERT INTO webhook_endpoint (id, program_id, url, events, description, sealed_secret, secret)
VALUES ($1, $2, $3, $4, $5, $6, $7)
RETURNING id, url, events, state, description, previous_secret_until, created_at, updated_at
"""
SELECT: Final = """
SELECT id, url, events, state, description, previous_secret_until, created_at, updated_at
  FROM webhook_endpoint WHERE id = $2 AND program_id = $1
"""
SELECT_FOR_UPDATE: Final = """
SELECT id, url, events, state, description, previous_secret_until, created_at, updated_at
  FROM webhook_endpoint WHERE id = $2 AND program_id = $1
   FOR NO KEY UPDATE
"""
PAGE: Final = """
SELECT id, url, events, state, description, previous_secret_until, created_at, updated_at
  FROM webhook_endpoint WHERE program_id = $1 AND id > $2
 ORDER BY id LIMIT $3
"""
UPDATE: Final = """
UPDATE webhook_endpoint
   SET url = $2, events = $3, state = $4, description = $5, updated_at = now()
 WHERE id = $1
RETURNING id, url, events, state, description, previous_secret_until, created_at, updated_at
"""
ROTATE: Final = """
UPDATE webhook_endpoint
   SET previous_secret = secret, secret = $4,
       sealed_previous_secret = sealed_secret, sealed_secret = $3,
       previous_secret_until = now() + make_interval(hours => $5), updated_at = now()
 WHERE id = $2 AND program_id = $1
RETURNING id, url, events, state, description, previous_secret_until, created_at, updated_at
"""
# The deliveries go with it.
DELETE: Final = "DELETE FROM webhook_endpoint WHERE id = $2 AND program_id = $1 RETURNING id"
DISABLE: Final = """
UPDATE webhook_endpoint SET state = 'disabled', updated_at = now()
 WHERE id = $1 AND state = 'enabled'
"""

WANTED: Final = """
SELECT DISTINCT program_id, unnest(events) FROM webhook_endpoint WHERE state = 'enabled'
"""
LISTENERS: Final = """
SELECT program_id, id, events FROM webhook_endpoint
 WHERE program_id = ANY($1::text[]) AND state = 'enabled'
"""
# An endpoint that is deleted meanwhile drops out of the join: its foreign key must not fail the
# flusher's transaction.
QUEUE: Final = """
WITH item AS (
    SELECT item.* FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::bytea[])
           AS item (id, endpoint_id, event_id, type, body)
), delivery AS (
    INSERT INTO webhook_delivery
           (id, endpoint_id, program_id, event_id, type, body, next_attempt_at)
    SELECT item.id, endpoint.id, endpoint.program_id, item.event_id, item.type, item.body, now()
      FROM item JOIN webhook_endpoint AS endpoint ON endpoint.id = item.endpoint_id
       FOR KEY SHARE OF endpoint
        ON CONFLICT (endpoint_id, event_id) DO NOTHING
    RETURNING id
)
INSERT INTO outbox (task, payload)
SELECT 'deliver_webhook', jsonb_build_object('delivery_id', id) FROM delivery
"""


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint as it is shown; its secret is not."""

    id: str
    url: str
    events: list[str]
    state: Literal["enabled", "disabled"]
    description: str | None
    previous_secret_until: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime


class NewEndpoint(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a caller says of an endpoint."""

    url: Url
    events: EventTypes
    description: Line | None = None


class Event(NamedTuple):
    """Something that happened in a program; `id` stays the same however often it is queued."""

    program_id: str
    type: str
    id: str
    occurred_at_ms: int
    data: Mapping[str, object]


async def add(
    db: Db, ring: KeyRing, program_id: str, endpoint_id: str, new: NewEndpoint, secret: str
) -> Endpoint:
    """Store a new, enabled endpoint; ProgramNotFound."""
    try:
        row = await db.fetchrow(
            INSERT,
            endpoint_id,
            program_id,
            new.url,
            sorted(set(new.events)),
            new.description,
            sealed_secret(ring, endpoint_id, secret),
            None if await sealing.is_sealing(db) else secret,
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    return _endpoint(row)


async def get(db: Db, program_id: str, endpoint_id: str) -> Endpoint:
    """The endpoint, or EndpointNotFound."""
    return _endpoint(await db.fetchrow(SELECT, program_id, endpoint_id))


async def page(db: Db, program_id: str, *, after: str, limit: int) -> list[Endpoint]:
    """Up to `limit` endpoints with ids beyond `after`, oldest first."""
    return [_endpoint(row) for row in await db.fetch(PAGE, program_id, after, limit)]


async def lock(db: Db, program_id: str, endpoint_id: str) -> Endpoint:
    """The endpoint, which nobody else changes before the transaction ends; EndpointNotFound."""
    return _endpoint(await db.fetchrow(SELECT_FOR_UPDATE, program_id, endpoint_id))


async def change(db: Db, program_id: str, endpoint_id: str, changes: Mapping[str, Any]) -> Endpoint:
    """Replace the named fields, in the caller's transaction; EndpointNotFound."""
    present = await lock(db, program_id, endpoint_id)
    new = msgspec.structs.replace(present, **changes)
    events = sorted(set(new.events))
    row = await db.fetchrow(UPDATE, endpoint_id, new.url, events, new.state, new.description)
    return _endpoint(row)


async def rotate(
    db: Db, ring: KeyRing, program_id: str, endpoint_id: str, secret: str, overlap_hours: int
) -> Endpoint:
    """Sign with `secret` from now on, and with the present one for `overlap_hours` more."""
    sealed = sealed_secret(ring, endpoint_id, secret)
    plain = None if await sealing.is_sealing(db) else secret
    row = await db.fetchrow(ROTATE, program_id, endpoint_id, sealed, plain, overlap_hours)
    return _endpoint(row)


def sealed_secret(ring: KeyRing, endpoint_id: str, secret: str) -> bytes:
    """The stored form of a secret, be it the present or the previous one."""
    return sealing.seal(ring, secret, SECRET, endpoint_id)


def stored_secret(ring: KeyRing, row: asyncpg.Record, name: str) -> str | None:
    """The secret in a row's column `name`, sealed or as 0.1.0 wrote it; BadField."""
    sealed = row[f"sealed_{name}"]
    if sealed is None:
        plain: str | None = row[name]
        return plain
    return sealing.unseal(ring, sealed, SECRET, row["endpoint_id"])


async def delete(db: Db, program_id: str, endpoint_id: str) -> None:
    """Delete the endpoint and its deliveries; EndpointNotFound."""
    if await db.fetchval(DELETE, program_id, endpoint_id) is None:
        raise errors.EndpointNotFound


async def disable(db: Db, endpoint_id: str) -> None:
    """Tell the endpoint nothing more until it is enabled again."""
    await db.execute(DISABLE, endpoint_id)


async def wanted(db: Db) -> set[tuple[str, str]]:
    """(program id, event type) pairs that some enabled endpoint wants."""
    return {(row[0], row[1]) for row in await db.fetch(WANTED)}


async def queue_events(db: Db, events: Sequence[Event]) -> None:
    """Have each event delivered to the endpoints that want its type, if the caller commits.

    An event that an endpoint was told before is not told again, so queueing twice is harmless.
    """
    programs = list({event.program_id for event in events})
    listeners = await db.fetch(LISTENERS, programs) if programs else []
    if listeners:
        await _queue(
            db,
            (
                (row["id"], event)
                for row in listeners
                for event in events
                if event.program_id == row["program_id"] and event.type in row["events"]
            ),
        )


async def queue_test(db: Db, program_id: str, endpoint_id: str, event: Event) -> None:
    """Have a test event delivered to one endpoint, whatever it listens to; EndpointNotFound."""
    await get(db, program_id, endpoint_id)
    await _queue(db, [(endpoint_id, event)])


async def _queue(db: Db, items: Iterable[tuple[str, Event]]) -> None:
    rows = [
        (_delivery_id(event), endpoint_id, event.id, event.type, body(event))
        for endpoint_id, event in items
    ]
    if rows:
        await db.execute(QUEUE, *zip(*rows, strict=True))


def body(event: Event) -> bytes:
    """The event as Standard Webhooks writes it: type, timestamp, data."""
    moment = dt.datetime.fromtimestamp(event.occurred_at_ms / 1000, dt.UTC)
    return msgspec.json.encode({"type": event.type, "timestamp": moment, "data": event.data})


def _delivery_id(event: Event) -> str:
    return ids.new("delivery", event.occurred_at_ms, secrets.token_bytes(ids.ENTROPY_BYTES))


def _endpoint(row: asyncpg.Record | None) -> Endpoint:
    if row is None:
        raise errors.EndpointNotFound
    return Endpoint(**row)
