"""What providers report, written into the notifications it is about, and what follows from it."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

import asyncpg

from core import contacts as spelling
from core import fields, ids
from core.errors import InvalidRequest
from core.keyring import KeyRing
from core.providers.protocols import About
from core.providers.reports.report import LOST, ORDER, Delivery, Report
from core.templates import Channel
from db import contacts, notices, preferences
from db.pg import Db

# The latest message of each reference.
FIND: Final = """
SELECT DISTINCT ON (provider_reference) provider_reference, id FROM notification
 WHERE provider = $1 AND provider_reference = ANY($2::text[])
 ORDER BY provider_reference, id DESC
"""
# In one order, so that of two who report on the same messages one waits, never both.
LOCK: Final = """
SELECT id, program_id, recipient_kind, recipient_id, channel, address, state, provider, delivery,
       notice_id
  FROM notification WHERE id = ANY($1::text[]) ORDER BY id FOR UPDATE
"""
# Of rows that are locked. That a report came proves that it was sent.
MOVE: Final = """
UPDATE notification
   SET delivery = new.delivery, delivery_detail = nullif(new.detail, ''), reported_at = now(),
       updated_at = now(),
       variables = CASE WHEN state = 'unknown' THEN NULL ELSE variables END,
       state = CASE WHEN state = 'unknown' THEN 'sent' ELSE state END
  FROM unnest($1::text[], $2::text[], $3::text[]) AS new (id, delivery, detail)
 WHERE notification.id = new.id
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
    reports = list(found)
    named = await _named(db, provider, reports)
    rows = {row["id"]: row for row in await db.fetch(LOCK, sorted(set(named)))}
    reached: dict[str, Report] = {}
    moved = 0
    for one, notification_id in zip(reports, named, strict=True):
        row = rows.get(notification_id)
        if row is None or not _is_news(row, reached.get(notification_id), provider, one):
            continue
        if one.delivery is not None:
            reached[notification_id] = one
            moved += 1
        if row["recipient_kind"] == "member" and row["program_id"] is not None:
            await _learn(db, ring, row, one)
    if reached:
        values = [(one, last.delivery, last.detail) for one, last in reached.items()]
        await db.execute(MOVE, *map(list, zip(*values, strict=True)))
        await _pass_on(db, ring, rows, reached)
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


async def _named(db: Db, provider: str, reports: Sequence[Report]) -> list[str]:
    """The id of the message that each report is about; empty when it is none of ours."""
    references = {one.reference for one in reports if one.reference and not one.notification_id}
    found: dict[str, str] = {}
    if references:
        rows = await db.fetch(FIND, provider, sorted(references))
        found = {row["provider_reference"]: row["id"] for row in rows}
    named = [one.notification_id or found.get(one.reference, "") for one in reports]
    return [one if ids.is_id(one, "notification") else "" for one in named]


def _is_news(row: asyncpg.Record, last: Report | None, provider: str, one: Report) -> bool:
    """Whether a report is of the message's provider, and moves it; forward only."""
    if one.delivery is None:
        return bool(row["provider"] == provider)
    is_theirs = row["provider"] in (provider, None) or row["state"] in ("queued", "sending")
    present: Delivery | None = row["delivery"] if last is None else last.delivery
    return is_theirs and (present is None or ORDER.index(present) < ORDER.index(one.delivery))


async def _pass_on(
    db: Db, ring: KeyRing, rows: Mapping[str, asyncpg.Record], reached: Mapping[str, Report]
) -> None:
    """Let notices go on whose messages are lost, and note those whose message was sent."""
    moved = [rows[one] for one in reached if rows[one]["notice_id"] is not None]
    # In one order, as in LOCK.
    for row in sorted(moved, key=operator.itemgetter("notice_id")):
        program_id, notice_id = row["program_id"], row["notice_id"]
        if reached[row["id"]].delivery in LOST:
            await notices.go_on(db, ring, program_id, notice_id, row["channel"])
        elif row["state"] == "unknown":
            await notices.note_told(db, program_id, notice_id)


async def _learn(db: Db, ring: KeyRing, row: asyncpg.Record, one: Report) -> None:
    if one.about == "message":
        return
    address = fields.unseal(ring, row["address"], f"notification.address:{row['id']}")
    to_whom = row["program_id"], row["recipient_id"], row["channel"]
    await learn(db, ring, *to_whom, address, one.about, at_ms=one.at_ms)
