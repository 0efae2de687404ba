"""Telling a member something, in the transaction that it is about: once for an event, by one
channel after the other until it is out.

The next channel is decided where the failure of the last one is written down, in that transaction,
with the notice locked: of two that report a failure, or that say it twice, one goes on.
"""

from __future__ import annotations

import datetime as dt
import os
import time
from collections.abc import Mapping
from typing import Final

import asyncpg
import msgspec

from core import errors, ids, templates
from core import notices as rules_
from core.keyring import KeyRing
from core.notices import Name, NoticeRules, State
from core.templates import Channel
from db import consents, contacts, notifications, preferences, programs, push_subscriptions, sealing
from db.notifications import Notification
from db.pg import Db

VARIABLES: Final = "notice.variables"

# An erasure waits for it, and finds it.
ADD: Final = """
INSERT INTO notice (id, program_id, member_id, template, language, variables, dedupe_key)
SELECT $3, program_id, id, $4, $5, $6, $7 FROM member
 WHERE program_id = $1 AND id = $2 AND deleted_at IS NULL
   FOR KEY SHARE
    ON CONFLICT (program_id, dedupe_key) DO NOTHING
RETURNING id, program_id, member_id, template, language, variables, state, tried, created_at,
          updated_at
"""
LOCK: Final = """
SELECT id, program_id, member_id, template, language, variables, state, tried, created_at,
       updated_at
  FROM notice WHERE program_id = $1 AND id = $2
   FOR UPDATE
"""
SELECT: Final = """
SELECT id, member_id, template, language, state, tried, created_at, updated_at
  FROM notice WHERE program_id = $1 AND id = $2
"""
PAGE: Final = """
SELECT id, member_id, template, language, state, tried, created_at, updated_at
  FROM notice
 WHERE program_id = $1 AND ($2 = '' OR id < $2)
   AND ($4::text IS NULL OR state = $4) AND ($5::text IS NULL OR template = $5)
   AND ($6::text IS NULL OR member_id = $6)
 ORDER BY id DESC LIMIT $3
"""
MOVE: Final = """
UPDATE notice SET state = $3, tried = $4, updated_at = now() WHERE program_id = $1 AND id = $2
"""
# What is under way may arrive, and so may what nobody knows of.
IS_OPEN: Final = """
SELECT EXISTS (SELECT FROM notification
                WHERE program_id = $1 AND notice_id = $2 AND channel = $3
                  AND state IN ('queued', 'sending', 'sent', 'unknown')
                  AND (delivery IS NULL OR delivery NOT IN ('undelivered', 'bounced')))
"""
TOLD: Final = """
UPDATE notice SET state = 'told', updated_at = now()
 WHERE program_id = $1 AND id = $2 AND state <> 'told'
   AND EXISTS (SELECT FROM notification
                WHERE program_id = $1 AND notice_id = $2 AND state = 'sent'
                  AND (delivery IS NULL OR delivery NOT IN ('undelivered', 'bounced')))
"""


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a member is to be told; once for a `dedupe_key`, however often it is wanted."""

    program_id: str
    member_id: str
    template: Name
    variables: Mapping[str, templates.Value]
    dedupe_key: str
    language: str = templates.DEFAULT_LANGUAGE


class NoticeRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A notice as operators see it, not what it said. `tried` has its channels, in order; `told` is
    one that a provider has taken, `unreachable` one for which no channel is left.
    """

    id: str
    member_id: str
    template: str
    language: str
    state: State
    tried: list[Channel]
    created_at: dt.datetime
    updated_at: dt.datetime


class NoticeWithMessages(NoticeRecord, frozen=True, kw_only=True):
    """A notice, and what became of its messages, oldest first."""

    notifications: list[Notification]


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which notices are asked for; None asks for all."""

    state: State | None = None
    template: str | None = None
    member_id: str | None = None


async def tell(db: Db, ring: KeyRing, notice: Notice) -> None:
    """Have it sent, if the caller's transaction commits, by the first channel of the order that
    reaches the member. That there is none is written down."""
    rules = await _rules(db, notice.program_id)
    if not rules.order(notice.template):
        return
    notice_id = ids.new("notice", time.time_ns() // 1_000_000, os.urandom(ids.ENTROPY_BYTES))
    said = msgspec.json.encode(notice.variables).decode()
    row = await db.fetchrow(
        ADD,
        *(notice.program_id, notice.member_id, notice_id, notice.template, notice.language),
        *(sealing.seal(ring, said, VARIABLES, notice_id), notice.dedupe_key),
    )
    if row is not None:
        await _next(db, ring, rules, row)


async def go_on(db: Db, ring: KeyRing, program_id: str, notice_id: str, channel: Channel) -> bool:
    """Have the member told by the next channel once all messages of this one have failed, in the
    transaction that writes the last failure down; whether the notice may still arrive."""
    row = await db.fetchrow(LOCK, program_id, notice_id)
    if row is None:
        return False
    if row["tried"][-1] != channel:
        return bool(row["state"] != "unreachable")
    if await db.fetchval(IS_OPEN, program_id, notice_id, channel):
        return True
    return await _next(db, ring, await _rules(db, program_id), row)


async def note_told(db: Db, program_id: str, notice_id: str) -> None:
    """Write down that a message of the notice is out, unless it is known to be lost."""
    await db.execute(TOLD, program_id, notice_id)


async def get(db: Db, program_id: str, notice_id: str) -> NoticeWithMessages:
    """The notice, or NoticeNotFound."""
    row = await db.fetchrow(SELECT, program_id, notice_id)
    if row is None:
        raise errors.NoticeNotFound
    found = await notifications.of_notice(db, program_id, notice_id)
    return NoticeWithMessages(**row, notifications=found)


async def page(
    db: Db, program_id: str, *, before: str, limit: int, wanted: Wanted
) -> list[NoticeRecord]:
    """Up to `limit` notices, the newest first, with ids before `before` unless it is empty."""
    asked = (wanted.state, wanted.template, wanted.member_id)
    rows = await db.fetch(PAGE, program_id, before, limit, *asked)
    return [NoticeRecord(**row) for row in rows]


async def _rules(db: Db, program_id: str) -> NoticeRules:
    return (await programs.get(db, program_id)).settings.notices


async def _next(db: Db, ring: KeyRing, rules: NoticeRules, row: asyncpg.Record) -> bool:
    """Take the next channel of a notice that is new, or locked; False when there is none."""
    program_id, notice_id, tried = row["program_id"], row["id"], row["tried"]
    ways = await _ways(db, ring, rules, row)
    channel = rules_.following(rules.order(row["template"]), tried, ways)
    if channel is None:
        await db.execute(MOVE, program_id, notice_id, "unreachable", tried)
        return False
    said = sealing.unseal(ring, row["variables"], VARIABLES, notice_id)
    variables = msgspec.json.decode(said, type=dict[str, templates.Value])
    for number, address in enumerate(ways[channel], 1):
        new = notifications.New(
            program_id=program_id,
            recipient_kind="member",
            recipient_id=row["member_id"],
            channel=channel,
            address=address,
            template=row["template"],
            language=row["language"],
            variables=variables,
            dedupe_key=f"{notice_id}_{channel}_{number}",
            notice_id=notice_id,
        )
        await notifications.add(db, ring, new)
    await db.execute(MOVE, program_id, notice_id, "open", [*tried, channel])
    return True


async def _ways(
    db: Db, ring: KeyRing, rules: NoticeRules, row: asyncpg.Record
) -> dict[Channel, list[str]]:
    """Where each channel that the member wants reaches the member: by contacts that were proved, by
    devices, with the consent that it needs. None of them is empty."""
    program_id, member_id = row["program_id"], row["member_id"]
    kind = templates.KINDS[row["template"]]
    is_security = kind.topic == "security"
    found = {
        one.channel: [one.address]
        for one in await contacts.of_member(db, ring, program_id, member_id)
        if one.verified_at is not None and (is_security or one.unreachable_at is None)
    }
    email, phone = found.get("email", []), found.get("phone", [])
    devices = await push_subscriptions.addresses(db, ring, program_id, member_id)
    ways: dict[Channel, list[str]] = {
        "push": devices, "whatsapp": phone, "email": email, "sms": phone,
    }  # fmt: skip
    given = {
        one.purpose for one in await consents.latest(db, program_id, member_id) if one.is_given
    }
    unwanted: set[Channel] = set()
    if not is_security:
        unwanted = await preferences.unwanted(db, program_id, member_id, kind.topic)
    return {
        channel: addresses
        for channel, addresses in ways.items()
        if addresses
        and channel in kind.channels
        and channel not in unwanted
        and (channel not in rules.with_consent or channel in given)
    }
