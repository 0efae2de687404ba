"""Sends messages to members and operators, each at most once.

What certainly was not sent is tried again; what may have been is not, and is left for a person to
decide about. What a message said that must stay secret is wiped with its end.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from core import templates
from core.errors import BadTemplate
from core.providers.protocols import Deferred, Refused, Sent, Unknown
from core.tasks import SendNotification
from core.templates import Message, Texts
from core.texts import builtin
from db import notifications, outbox
from db import templates as stored_templates
from db.notifications import Outgoing, Result
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
        if result.next_attempt_at_ms is not None:
            await outbox.put_off(db, row_id, result.next_attempt_at_ms)
        elif result.state in {"failed", "unknown"} and not result.is_forgotten:
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

    async def begin() -> None:
        async with tools.pool.acquire() as db:
            if not await notifications.begin(db, outgoing):
                raise Superseded

    try:
        message = await _message(tools, outgoing)
    except BadTemplate as error:
        return Ended(first, Refused(str(error)))
    return await chain.deliver(tools.send, message, begin)


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
    )


def _marked(outgoing: Outgoing, texts: Texts) -> Texts:
    """A test says that it is one."""
    if outgoing.recipient_kind != "test":
        return texts
    if outgoing.channel in templates.TITLED:
        return Texts(subject=TEST + texts.subject, text=texts.text, html=texts.html)
    return Texts(text=TEST + texts.text)
