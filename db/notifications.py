"""Messages to members and operators: what is to be sent, and what became of it.

    queued → sending → sent · refused · unknown · failed
       ↑________|  when it certainly was not sent

`sending` is written down before the first byte that can make a message arrive. Whatever is found in
that state was under way when its worker died: it may have arrived, and is not sent again blindly.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import msgspec

from core import errors, fields, ids, templates
from core.keyring import KeyRing
from core.providers.reports.report import Delivery
from db.pg import Db

RecipientKind = Literal["member", "operator", "test", "network"]
State = Literal["queued", "sending", "sent", "refused", "unknown", "failed"]

ERROR_LENGTH_MAX: Final = 500
#: Tests of its texts that a program may have sent in an hour: they go to whatever address is given.
TESTS_PER_HOUR: Final = 20

# A key that was used before adds nothing: no row, and no second message.
ADD: Final = """
WITH added AS (
    INSERT INTO notification
           (id, program_id, recipient_kind, recipient_id, channel, address, template, language,
            variables, dedupe_key, expires_at, notice_id)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, to_timestamp($11::bigint / 1000.0), $12)
        ON CONFLICT (program_id, dedupe_key) DO NOTHING
    RETURNING id
)
INSERT INTO outbox (task, payload)
SELECT 'send_notification', jsonb_build_object('notification_id', id) FROM added
RETURNING payload->>'notification_id'
"""

LOAD: Final = """
SELECT notification.id, notification.program_id, program.name AS program, recipient_kind,
       recipient_id, channel,
       address, template, language, variables, state, attempts, notice_id,
       (extract(epoch FROM notification.created_at) * 1000)::bigint AS created_at_ms,
       (extract(epoch FROM expires_at) * 1000)::bigint AS expires_at_ms
  FROM notification LEFT JOIN program ON program.id = program_id
 WHERE notification.id = $1
"""
# Of two workers that both believe the message to be theirs, one may go on.
BEGIN: Final = """
UPDATE notification SET state = 'sending', updated_at = now()
 WHERE id = $1 AND state = $2 AND attempts = $3
RETURNING id
"""
RECORD: Final = """
UPDATE notification
   SET state = $3, attempts = $4, provider = $5, provider_reference = $6, last_error = $7,
       next_attempt_at = to_timestamp($8::bigint / 1000.0),
       variables = CASE WHEN $9 THEN NULL ELSE variables END, updated_at = now()
 WHERE id = $1 AND attempts = $2
RETURNING id
"""

SELECT: Final = """
SELECT id, recipient_kind, recipient_id, channel, template, language, state, attempts, provider,
       provider_reference, last_error, delivery, delivery_detail, reported_at, next_attempt_at,
       expires_at, notice_id, created_at, updated_at
  FROM notification WHERE id = $2 AND program_id = $1
"""
PAGE: Final = """
SELECT id, recipient_kind, recipient_id, channel, template, language, state, attempts, provider,
       provider_reference, last_error, delivery, delivery_detail, reported_at, next_attempt_at,
       expires_at, notice_id, created_at, updated_at
  FROM notification
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR state = $4) AND ($5::text IS NULL OR channel = $5)
   AND ($6::text IS NULL OR template = $6) AND ($7::text IS NULL OR recipient_id = $7)
 ORDER BY id DESC LIMIT $3
"""
OF_NOTICE: Final = """
SELECT id, recipient_kind, recipient_id, channel, template, language, state, attempts, provider,
       provider_reference, last_error, delivery, delivery_detail, reported_at, next_attempt_at,
       expires_at, notice_id, created_at, updated_at
  FROM notification WHERE program_id = $1 AND notice_id = $2 ORDER BY created_at, id
"""
# Those who ask at once wait for each other.
LOCK_TESTS: Final = "SELECT pg_advisory_xact_lock(hashtextextended('template tests:' || $1, 0))"
TESTS_LATELY: Final = """
SELECT count(*) FROM notification
 WHERE program_id = $1 AND recipient_kind = 'test' AND created_at > now() - interval '1 hour'
"""
RESEND: Final = """
WITH again AS (
    UPDATE notification
       SET state = 'queued', attempts = 0, next_attempt_at = now(), updated_at = now()
     WHERE id = $2 AND program_id = $1 AND state IN ('refused', 'unknown', 'failed')
       AND variables IS NOT NULL
    RETURNING id
)
INSERT INTO outbox (task, payload)
SELECT 'send_notification', jsonb_build_object('notification_id', id) FROM again
RETURNING id
"""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """A message as operators see it: neither what it said nor where it went. `state` is what we
    did, `delivery` what the provider has reported since.
    """

    id: str
    recipient_kind: RecipientKind
    recipient_id: str
    channel: templates.Channel
    template: str
    language: str
    state: State
    attempts: int
    provider: str | None
    provider_reference: str | None
    last_error: str | None
    delivery: Delivery | None
    delivery_detail: str | None
    reported_at: dt.datetime | None
    next_attempt_at: dt.datetime | None
    expires_at: dt.datetime | None
    notice_id: str | None
    created_at: dt.datetime
    updated_at: dt.datetime


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which messages are asked for; None asks for all."""

    state: State | None = None
    channel: templates.Channel | None = None
    template: str | None = None
    recipient_id: str | None = None


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is wanted. `program_id` is None for platform staff; `address` is a mail
    address or an E.164 number; one message is sent for a `dedupe_key` of a program, however often
    it is added; after `expires_at_ms` it is not sent any more. `notice_id` is the notice that goes
    on by another channel when this message fails.
    """

    program_id: str | None
    recipient_kind: RecipientKind
    recipient_id: str
    channel: templates.Channel
    address: str
    template: str
    language: str
    variables: Mapping[str, templates.Value]
    dedupe_key: str
    expires_at_ms: int | None = None
    notice_id: str | None = None


class Outgoing(NamedTuple):
    """What an attempt needs to know. `program` is the program's name, None for platform staff;
    `variables` is None when they are no longer kept.
    """

    id: str
    program_id: str | None
    program: str | None
    recipient_kind: RecipientKind
    recipient_id: str
    channel: templates.Channel
    address: str
    template: str
    language: str
    variables: dict[str, templates.Value] | None
    state: State
    attempts: int
    created_at_ms: int
    expires_at_ms: int | None
    notice_id: str | None = None


class Result(NamedTuple):
    """What an attempt came to. `attempts` counts those made since the message was (re)queued;
    `is_forgotten` has its variables wiped.
    """

    state: State
    attempts: int
    provider: str
    reference: str | None = None
    error: str | None = None
    next_attempt_at_ms: int | None = None
    is_forgotten: bool = False


async def add(db: Db, ring: KeyRing, new: New) -> str | None:
    """Have a message sent if the caller's transaction commits; its id, or None when one was added
    under this dedupe key before. BadTemplate when the variables are not those of the template.
    """
    templates.check_values(new.template, new.channel, new.variables)
    notification_id = ids.new(
        "notification", time.time_ns() // 1_000_000, os.urandom(ids.ENTROPY_BYTES)
    )
    added = await db.fetchval(
        ADD,
        notification_id,
        new.program_id,
        new.recipient_kind,
        new.recipient_id,
        new.channel,
        _seal(ring, "address", notification_id, new.address),
        new.template,
        new.language,
        _seal(ring, "variables", notification_id, msgspec.json.encode(new.variables).decode()),
        new.dedupe_key,
        new.expires_at_ms,
        new.notice_id,
    )
    return None if added is None else str(added)


async def check_tests(db: Db, program_id: str) -> None:
    """Hold a program to TESTS_PER_HOUR, in the caller's transaction that adds one; RateLimited."""
    await db.execute(LOCK_TESTS, program_id)
    if await db.fetchval(TESTS_LATELY, program_id) >= TESTS_PER_HOUR:
        raise errors.RateLimited("Too many tests were sent in this hour.", retry_after_s=3_600)


async def get(db: Db, program_id: str, notification_id: str) -> Notification:
    """The message, or NotificationNotFound."""
    row = await db.fetchrow(SELECT, program_id, notification_id)
    if row is None:
        raise errors.NotificationNotFound
    return Notification(**row)


async def page(
    db: Db, program_id: str, *, before: str, limit: int, wanted: Wanted
) -> list[Notification]:
    """Up to `limit` messages, the newest first, with ids before `before` unless it is empty."""
    asked = (wanted.state, wanted.channel, wanted.template, wanted.recipient_id)
    rows = await db.fetch(PAGE, program_id, before, limit, *asked)
    return [Notification(**row) for row in rows]


async def of_notice(db: Db, program_id: str, notice_id: str) -> list[Notification]:
    """The messages of a notice, oldest first."""
    return [Notification(**row) for row in await db.fetch(OF_NOTICE, program_id, notice_id)]


async def resend(db: Db, program_id: str, notification_id: str) -> Notification:
    """Send again what ended without having certainly arrived, with all attempts anew;
    NotificationNotFound, NotResendable.
    """
    is_queued = await db.fetchval(RESEND, program_id, notification_id) is not None
    notification = await get(db, program_id, notification_id)
    if not is_queued:
        raise errors.NotResendable
    return notification


async def load(db: Db, ring: KeyRing, notification_id: str) -> Outgoing | None:
    """What to send to whom, or None when it is gone; BadField when no key of the ring opens it."""
    row = await db.fetchrow(LOAD, notification_id)
    if row is None:
        return None
    variables = None
    if row["variables"] is not None:
        said = _unseal(ring, "variables", notification_id, row["variables"])
        variables = msgspec.json.decode(said, type=dict[str, templates.Value])
    address = _unseal(ring, "address", notification_id, row["address"])
    return Outgoing(**{**row, "address": address, "variables": variables})


async def begin(db: Db, outgoing: Outgoing) -> bool:
    """Write down that the message is being sent; False when somebody else took it up since."""
    state, attempts = outgoing.state, outgoing.attempts
    return await db.fetchval(BEGIN, outgoing.id, state, attempts) is not None


async def record(db: Db, outgoing: Outgoing, result: Result) -> bool:
    """Write down what an attempt came to; False when somebody else has done so since."""
    recorded = await db.fetchval(
        RECORD,
        outgoing.id,
        outgoing.attempts,
        result.state,
        result.attempts,
        result.provider,
        result.reference,
        result.error and result.error[:ERROR_LENGTH_MAX],
        result.next_attempt_at_ms,
        result.is_forgotten,
    )
    return recorded is not None


def _seal(ring: KeyRing, column: str, notification_id: str, text: str) -> bytes:
    nonce = os.urandom(fields.NONCE_BYTES)
    return fields.seal(ring, text, f"notification.{column}:{notification_id}", nonce)


def _unseal(ring: KeyRing, column: str, notification_id: str, stored: bytes) -> str:
    return fields.unseal(ring, stored, f"notification.{column}:{notification_id}")
