"""Sends messages to members and operators, each at most once.

What certainly was not sent is tried again; what may have been is not, and is left for a person to
decide about. What a message said that must stay secret is wiped with its end.
"""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Final

from core import fields, templates
from core import preferences as core_preferences
from core.contacts import Contact
from core.errors import BadTemplate
from core.preferences import Unsubscribe
from core.providers.protocols import Deferred, Refused, Sent, Unknown
from core.tasks import SendNotification
from core.templates import Message, Texts
from core.texts import builtin
from db import (
    contacts,
    notices,
    notifications,
    outbox,
    preferences,
    push_subscriptions,
    reports,
)
from db import templates as stored_templates
from db.notifications import Outgoing, Result
from db.pg import Db
from web import metrics
from workers import loop
from workers.broker import Tools
from workers.channels.chain import Ended

# What stands for the program's name where there is none.
PLATFORM: Final = "Stampgate"
TEST: Final = "[Test] "
# So that what was put off together does not come back together.
JITTER: Final = 0.2

NOBODY_KNOWS: Final = Unknown("the worker ended while it was being sent")
TOO_LATE: Final = "it was of no more use"
# What stands for the provider where none was asked.
NOBODY: Final = "none"
UNWANTED: Final = "its recipient does not want such messages"
UNREACHABLE: Final = "nothing arrives at this address any more"
QUIET: Final = "it is its recipient's quiet hours"
NOT_SET_UP: Final = "no provider is set up that takes it"


class Superseded(Exception):
    """Somebody else took the message up meanwhile."""


async def send(tools: Tools, row_id: int, task: SendNotification) -> None:
    """Make one attempt, write down what came of it, and have the next one made when it is due."""
    async with tools.pool.acquire() as db:
        outgoing = await notifications.load(db, tools.ring, task.notification_id)
        if outgoing is None or outgoing.state == "sent" or outgoing.variables is None:
            await outbox.done(db, row_id)
            return
    try:
        ended = await attempt(tools, outgoing)
    except Superseded:
        # Whoever took it up ends it; the row is looked at again should they not.
        return
    delays_s = tools.settings.notification_delays_s
    result = judge(outgoing, ended, delays_s, loop.now_ms(), random.random())
    metrics.notifications.labels(result.provider, result.state).inc()
    async with tools.pool.acquire() as db, db.transaction():
        if not await notifications.record(db, outgoing, result):
            return
        await _learn(db, tools, outgoing, ended)
        may_arrive = await _pass_on(db, tools, outgoing, result)
        if result.next_attempt_at_ms is not None:
            await outbox.put_off(db, row_id, result.next_attempt_at_ms)
        elif result.state in {"failed", "unknown"} and not (result.is_forgotten or may_arrive):
            await outbox.bury(db, row_id, result.error or result.state)
        else:
            await outbox.done(db, row_id)


async def attempt(tools: Tools, outgoing: Outgoing) -> Ended:
    """Try to send it once, unless it was being sent before; Superseded."""
    chain = tools.channels[outgoing.channel]
    first = chain.slugs[0]
    if outgoing.state == "sending":
        return Ended(first, NOBODY_KNOWS)
    if _is_too_late(outgoing, loop.now_ms()):
        return Ended(first, Deferred(TOO_LATE))
    held_back = await _held_back(tools, outgoing, loop.now_ms())
    if held_back is not None:
        return held_back

    async def begin() -> None:
        async with tools.pool.acquire() as db:
            if not await notifications.begin(db, outgoing):
                raise Superseded

    try:
        message = await _message(tools, outgoing)
    except BadTemplate as error:
        return Ended(first, Refused(str(error)))
    if outgoing.notice_id is not None and not chain.is_set_up_for(message):
        return Ended(NOBODY, Refused(NOT_SET_UP))
    return await chain.deliver(tools.send, message, begin)


async def _held_back(tools: Tools, outgoing: Outgoing, now_ms: int) -> Ended | None:
    """What comes of a message that its member does not want, or not now; None for all others."""
    topic = templates.KINDS[outgoing.template].topic
    program_id, channel = outgoing.program_id, outgoing.channel
    if outgoing.recipient_kind != "member" or topic == "security" or program_id is None:
        return None
    kind = reports.CONTACTS.get(channel)
    hashes = [] if kind is None else contacts.hashes(tools.ring, Contact(kind, outgoing.address))
    async with tools.pool.acquire() as db:
        standing = await preferences.standing(
            db,
            program_id,
            outgoing.recipient_id,
            topic=topic,
            channel=channel,
            hashes=hashes,
            now_ms=now_ms,
        )
    if standing.is_unwanted:
        return Ended(NOBODY, Refused(UNWANTED))
    if standing.is_unreachable:
        return Ended(NOBODY, Refused(UNREACHABLE))
    if standing.quiet_until_ms is not None:
        wait_s = (standing.quiet_until_ms - now_ms) / 1000
        return Ended(NOBODY, Deferred(QUIET, wait_s), is_counted=False)
    return None


async def _pass_on(db: Db, tools: Tools, outgoing: Outgoing, result: Result) -> bool:
    """Let the notice go on by its next channel when this message has failed; whether its member may
    hear of it without anybody's doing."""
    program_id, notice_id = outgoing.program_id, outgoing.notice_id
    if program_id is None or notice_id is None:
        return False
    if result.state == "sent":
        await notices.note_told(db, program_id, notice_id)
    if result.state not in {"refused", "failed"}:
        return False
    return await notices.go_on(db, tools.ring, program_id, notice_id, outgoing.channel)


async def _learn(db: Db, tools: Tools, outgoing: Outgoing, ended: Ended) -> None:
    """Note what a refusal says about where the message should have gone."""
    outcome, program_id = ended.outcome, outgoing.program_id
    if not isinstance(outcome, Refused) or outgoing.recipient_kind != "member":
        return
    if program_id is None:
        return
    if outgoing.channel == "push" and outcome.about == "address":
        await push_subscriptions.forget(db, tools.ring, program_id, outgoing.address)
    else:
        await reports.learn(
            db,
            tools.ring,
            program_id,
            outgoing.recipient_id,
            outgoing.channel,
            outgoing.address,
            outcome.about,
        )


def _unsubscribe_url(tools: Tools, outgoing: Outgoing) -> str:
    """The link that ends such mails; none for what is always sent, or without a public address."""
    topic = templates.KINDS[outgoing.template].topic
    is_to_member = outgoing.recipient_kind == "member" and outgoing.program_id is not None
    if topic == "security" or not is_to_member or not tools.settings.gateway_url:
        return ""
    wish = Unsubscribe(outgoing.program_id or "", outgoing.recipient_id, topic, outgoing.channel)
    token = core_preferences.token(tools.ring, wish, os.urandom(fields.NONCE_BYTES))
    return f"{tools.settings.public_gateway_url}/u/{token}"


def judge(
    outgoing: Outgoing, ended: Ended, delays_s: Sequence[int], now_ms: int, chance: float
) -> Result:
    """What follows from the outcome of an attempt; `chance` is in [0, 1)."""
    provider, outcome, is_counted = ended
    # What had ended and is sent again at somebody's wish has all its attempts again.
    made = int(is_counted) + (outgoing.attempts if outgoing.state in {"queued", "sending"} else 0)
    is_secret = bool(templates.KINDS[outgoing.template].secret)
    match outcome:
        case Sent():
            return Result("sent", made, provider, outcome.reference or None, is_forgotten=True)
        case Refused():
            return Result("refused", made, provider, error=outcome.reason, is_forgotten=is_secret)
        case Unknown():
            return Result("unknown", made, provider, error=outcome.reason, is_forgotten=is_secret)
        case Deferred():
            if made < len(delays_s):
                wait_s = max(outcome.retry_after_s, delays_s[made] * (1 + JITTER * chance))
                next_ms = now_ms + int(wait_s * 1000)
                if not _is_too_late(outgoing, next_ms):
                    reason = outcome.reason
                    return Result(
                        "queued", made, provider, error=reason, next_attempt_at_ms=next_ms
                    )
            return Result("failed", made, provider, error=outcome.reason, is_forgotten=is_secret)


def _is_too_late(outgoing: Outgoing, at_ms: int) -> bool:
    return outgoing.expires_at_ms is not None and at_ms >= outgoing.expires_at_ms


async def _message(tools: Tools, outgoing: Outgoing) -> Message:
    """What to send: the texts in the best language there is, filled in; BadTemplate."""
    name, channel = outgoing.template, outgoing.channel
    async with tools.pool.acquire() as db:
        own = await stored_templates.own(
            db, outgoing.program_id, name, channel, templates.languages(outgoing.language)
        )
    language, texts = builtin.choose(own, name, channel, outgoing.language)
    values = {**(outgoing.variables or {}), templates.PROGRAM: outgoing.program or PLATFORM}
    filled = templates.fill_in(_marked(outgoing, texts), values)
    return Message(
        id=outgoing.id,
        channel=channel,
        address=outgoing.address,
        sender=outgoing.program or "",
        subject=filled.subject,
        text=filled.text,
        html=filled.html,
        template=name,
        language=language,
        variables=values,
        created_at_ms=outgoing.created_at_ms,
        unsubscribe_url=_unsubscribe_url(tools, outgoing),
    )


def _marked(outgoing: Outgoing, texts: Texts) -> Texts:
    """A test says that it is one."""
    if outgoing.recipient_kind != "test":
        return texts
    if outgoing.channel in templates.TITLED:
        return Texts(subject=TEST + texts.subject, text=texts.text, html=texts.html)
    return Texts(text=TEST + texts.text)
