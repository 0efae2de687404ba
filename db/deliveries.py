"""Deliveries of events to webhook endpoints: what was sent, what came of it, what is to come."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal, NamedTuple

import msgspec

from core import errors
from core.keyring import KeyRing
from db import webhooks
from db.pg import Db

State = Literal["pending", "delivered", "failed"]

ERROR_LENGTH_MAX: Final = 500

SELECT: Final = """
SELECT id, endpoint_id, event_id, type, state, attempts, last_status, last_error,
       next_attempt_at, created_at, updated_at, body
  FROM webhook_delivery WHERE id = $2 AND program_id = $1
"""
PAGE: Final = """
SELECT id, endpoint_id, event_id, type, state, attempts, last_status, last_error,
       next_attempt_at, created_at, updated_at
  FROM webhook_delivery
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR endpoint_id = $4) AND ($5::text IS NULL OR state = $5)
   AND ($6::text IS NULL OR type = $6) AND ($7::text IS NULL OR event_id = $7)
 ORDER BY id DESC LIMIT $3
"""
# One that is still pending has its outbox row already.
REPLAY: Final = """
WITH delivery AS (
    UPDATE webhook_delivery
       SET state = 'pending', attempts = 0, next_attempt_at = now(), updated_at = now()
     WHERE id = $2 AND program_id = $1 AND state <> 'pending'
    RETURNING id
)
INSERT INTO outbox (task, payload)
SELECT 'deliver_webhook', jsonb_build_object('delivery_id', id) FROM delivery
"""
REPLAY_MANY: Final = """
WITH delivery AS (
    UPDATE webhook_delivery
       SET state = 'pending', attempts = 0, next_attempt_at = now(), updated_at = now()
     WHERE endpoint_id = $1 AND created_at >= $2 AND created_at < $3
       AND (state = 'failed' OR state = 'delivered' AND NOT $4)
    RETURNING id
)
INSERT INTO outbox (task, payload)
SELECT 'deliver_webhook', jsonb_build_object('delivery_id', id) FROM delivery
"""
LOAD: Final = """
SELECT delivery.event_id, delivery.body, delivery.state, delivery.attempts,
       (extract(epoch FROM delivery.created_at) * 1000)::bigint AS created_at_ms,
       endpoint.id AS endpoint_id, endpoint.url, endpoint.state = 'enabled' AS is_enabled,
       endpoint.secret, endpoint.sealed_secret, endpoint.previous_secret,
       endpoint.sealed_previous_secret, endpoint.previous_secret_until > now() AS has_previous
  FROM webhook_delivery AS delivery
  JOIN webhook_endpoint AS endpoint ON endpoint.id = delivery.endpoint_id
 WHERE delivery.id = $1
"""
RECORD: Final = """
UPDATE webhook_delivery
   SET state = $2, attempts = $3, last_status = $4, last_error = $5,
       next_attempt_at = to_timestamp($6::bigint / 1000.0), updated_at = now()
 WHERE id = $1
"""


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """A delivery as it is shown."""

    id: str
    endpoint_id: str
    event_id: str
    type: str
    state: State
    attempts: int
    last_status: int | None
    last_error: str | None
    next_attempt_at: dt.datetime | None
    created_at: dt.datetime
    updated_at: dt.datetime


class DeliveryWithBody(Delivery, frozen=True, kw_only=True):
    """A delivery with the JSON document that is sent."""

    body: msgspec.Raw


class Outgoing(NamedTuple):
    """What an attempt needs to know. `secrets` has the newest first."""

    event_id: str
    body: bytes
    state: State
    attempts: int
    created_at_ms: int
    endpoint_id: str
    url: str
    is_enabled: bool
    secrets: list[str]


class Outcome(NamedTuple):
    """What an attempt came to. `attempts` counts those made since the delivery was (re)queued."""

    state: State
    attempts: int
    status: int | None = None
    error: str | None = None
    next_attempt_at_ms: int | None = None


async def get(db: Db, program_id: str, delivery_id: str) -> DeliveryWithBody:
    """The delivery, or DeliveryNotFound."""
    row = await db.fetchrow(SELECT, program_id, delivery_id)
    if row is None:
        raise errors.DeliveryNotFound
    return DeliveryWithBody(**{**row, "body": msgspec.Raw(row["body"])})


async def page(
    db: Db,
    program_id: str,
    *,
    before: str,
    limit: int,
    endpoint_id: str | None = None,
    state: State | None = None,
    event_type: str | None = None,
    event_id: str | None = None,
) -> list[Delivery]:
    """Up to `limit` deliveries, the newest first, with ids before `before` unless it is empty."""
    rows = await db.fetch(PAGE, program_id, before, limit, endpoint_id, state, event_type, event_id)
    return [Delivery(**row) for row in rows]


async def replay(db: Db, program_id: str, delivery_id: str) -> DeliveryWithBody:
    """Deliver the event again, with all attempts anew; DeliveryNotFound."""
    await db.execute(REPLAY, program_id, delivery_id)
    return await get(db, program_id, delivery_id)


async def replay_many(
    db: Db, endpoint_id: str, since: dt.datetime, until: dt.datetime, *, only_failed: bool
) -> int:
    """Deliver what an endpoint was to be told from `since` until before `until`; returns how many.

    What is still pending is left alone.
    """
    status = await db.execute(REPLAY_MANY, endpoint_id, since, until, only_failed)
    return int(status.rsplit(" ", 1)[-1])


async def load(db: Db, ring: KeyRing, delivery_id: str) -> Outgoing | None:
    """What to send where, or None when the endpoint is gone."""
    row = await db.fetchrow(LOAD, delivery_id)
    if row is None:
        return None
    names = ("secret", "previous_secret") if row["has_previous"] else ("secret",)
    secrets = [webhooks.stored_secret(ring, row, name) for name in names]
    return Outgoing(
        **{name: row[name] for name in Outgoing._fields if name != "secrets"},
        secrets=[secret for secret in secrets if secret is not None],
    )


async def record(db: Db, delivery_id: str, outcome: Outcome) -> None:
    """Write down what an attempt came to."""
    error = outcome.error and outcome.error[:ERROR_LENGTH_MAX]
    await db.execute(
        RECORD,
        delivery_id,
        outcome.state,
        outcome.attempts,
        outcome.status,
        error,
        outcome.next_attempt_at_ms,
    )
