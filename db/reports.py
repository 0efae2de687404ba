"""What providers report, written into the notification it is about, and what follows from it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import asyncpg

from core import contacts as spelling
from core import fields, ids
from core.errors import InvalidRequest
from core.keyring import KeyRing
from core.providers.protocols import About
from core.providers.reports.report import ORDER, Report
from core.templates import Channel
from db import contacts, preferences
from db.pg import Db

FIND: Final = """
SELECT id FROM notification WHERE provider = $1 AND provider_reference = $2
 ORDER BY id DESC LIMIT 1
"""
# Forward only; and that a report came proves that it was sent.
MOVE: Final = """
UPDATE notification
   SET delivery = $3, delivery_detail = nullif($4, ''), reported_at = now(), updated_at = now(),
       variables = CASE WHEN state = 'unknown' THEN NULL ELSE variables END,
       state = CASE WHEN state = 'unknown' THEN 'sent' ELSE state END
 WHERE id = $1 AND (provider = $2 OR provider IS NULL OR state IN ('queued', 'sending'))
   AND coalesce(array_position($5::text[], delivery), 0) < array_position($5::text[], $3)
RETURNING id, program_id, recipient_kind, recipient_id, channel, address
"""
SELECT: Final = """
SELECT id, program_id, recipient_kind, recipient_id, channel, address FROM notification
 WHERE id = $1 AND provider = $2
"""
HOLDERS: Final = """
SELECT program_id, member_id FROM member_contact
 WHERE channel = 'phone' AND hash = ANY($1::bytea[]) ORDER BY program_id, member_id
"""
#: By which contact a channel reaches people.
CONTACTS: Final[dict[Channel, spelling.Channel]] = {"email": "email", "sms": "phone"}


async def apply(db: Db, ring: KeyRing, provider: str, found: Iterable[Report]) -> int:
    """Write reports down in the caller's transaction, those of messages that there are; how many
    moved one.
    """
    moved = 0
    for one in found:
        row = await _move(db, provider, one)
        if row is None:
            continue
        moved += one.delivery is not None
        if row["recipient_kind"] == "member" and row["program_id"] is not None:
            address = fields.unseal(ring, row["address"], f"notification.address:{row['id']}")
            await learn(
                db,
                ring,
                row["program_id"],
                row["recipient_id"],
                row["channel"],
                address,
                one.about,
                at_ms=one.at_ms,
            )
    return moved


async def learn(
    db: Db,
    ring: KeyRing,
    program_id: str,
    member_id: str,
    channel: Channel,
    address: str,
    about: About,
    *,
    at_ms: int | None = None,
) -> None:
    """Note what a provider says about a member's address, in the caller's transaction: nothing
    arrives there any more, or its owner wants nothing more.
    """
    if about == "opt_out":
        await preferences.say(
            db, program_id, member_id, "all", channel, said_by="provider", at_ms=at_ms
        )
    kind = CONTACTS.get(channel)
    if about == "address" and kind is not None:
        contact = spelling.Contact(kind, address)
        await contacts.mark_unreachable(db, ring, program_id, member_id, contact)


async def wish(
    db: Db, ring: KeyRing, channel: Channel, number: str, *, is_stop: bool, at_ms: int
) -> int:
    """Note in all programs what the owner of a number wrote to ours; for how many members."""
    try:
        contact = spelling.phone(number)
    except InvalidRequest:
        return 0
    holders = await db.fetch(HOLDERS, contacts.hashes(ring, contact))
    for row in holders:
        await preferences.say(
            db,
            row["program_id"],
            row["member_id"],
            "all",
            channel,
            is_wanted=not is_stop,
            said_by="provider",
            at_ms=at_ms,
        )
    return len(holders)


async def _move(db: Db, provider: str, one: Report) -> asyncpg.Record | None:
    notification_id = one.notification_id
    if not notification_id and one.reference:
        notification_id = await db.fetchval(FIND, provider, one.reference) or ""
    if not ids.is_id(notification_id, "notification"):
        return None
    if one.delivery is None:
        return await db.fetchrow(SELECT, notification_id, provider)
    return await db.fetchrow(MOVE, notification_id, provider, one.delivery, one.detail, list(ORDER))
