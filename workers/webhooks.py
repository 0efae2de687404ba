"""Delivers events to webhook endpoints, in the format and with the manners of Standard Webhooks.

A receiver may be told an event more than once, always under the same `webhook-id`.
"""

from __future__ import annotations

import email.utils
import random
from collections.abc import Sequence
from typing import Final

from core import signing
from core.http import HttpRequest, HttpResponse, OutboundError, OutboundRefused
from core.tasks import DeliverWebhook
from db import deliveries, outbox, webhooks
from db.deliveries import Outcome, Outgoing
from web import metrics
from workers import loop
from workers.broker import Tools

PURPOSE: Final = "webhook"
# The receiver's way to say that it wants nothing more.
GONE: Final = 410
USER_AGENT: Final = "Stampgate-Webhooks"
# An actor must end before its task is sent again.
TIMEOUT_S_MAX: Final = 30.0
RETRY_AFTER_S_MAX: Final = 86_400
# So that what failed together does not come back together.
JITTER: Final = 0.2


async def deliver(tools: Tools, row_id: int, task: DeliverWebhook) -> None:
    """Make one attempt, write down what came of it, and have the next one sent when it is due."""
    async with tools.pool.acquire() as db:
        outgoing = await deliveries.load(db, tools.ring, task.delivery_id)
        if outgoing is None or outgoing.state == "delivered":
            await outbox.done(db, row_id)
            return
    outcome = await attempt(tools, outgoing)
    metrics.webhook_deliveries.labels(outcome.state).inc()
    async with tools.pool.acquire() as db, db.transaction():
        await deliveries.record(db, task.delivery_id, outcome)
        if outcome.next_attempt_at_ms is not None:
            await outbox.put_off(db, row_id, outcome.next_attempt_at_ms)
        elif outcome.state == "failed" and outgoing.is_enabled and outcome.status != GONE:
            await outbox.bury(db, row_id, outcome.error or "failed")
        else:
            await outbox.done(db, row_id)
        if outcome.status == GONE:
            await webhooks.disable(db, outgoing.endpoint_id)


async def attempt(tools: Tools, outgoing: Outgoing) -> Outcome:
    """Send the event once, if it is time and the endpoint wants it."""
    delays_s, now_ms = tools.settings.webhook_delays_s, loop.now_ms()
    # What failed and was replayed has all its attempts again.
    made = 0 if outgoing.state == "failed" else outgoing.attempts
    if not outgoing.is_enabled:
        return Outcome("failed", made, error="the endpoint is disabled")
    first_at_ms = outgoing.created_at_ms + delays_s[0] * 1000
    if outgoing.state == "pending" and made == 0 and now_ms < first_at_ms:
        return Outcome("pending", made, next_attempt_at_ms=first_at_ms)
    answer = await _send(tools, outgoing, now_ms)
    return judge(answer, made + 1, delays_s, loop.now_ms(), random.random())


def judge(
    answer: HttpResponse | OutboundError,
    made: int,
    delays_s: Sequence[int],
    now_ms: int,
    chance: float,
) -> Outcome:
    """What follows from the answer to attempt number `made`; `chance` is in [0, 1)."""
    if isinstance(answer, OutboundError):
        status, error, wait_s = None, str(answer) or type(answer).__name__, 0.0
    else:
        status, error = answer.status, f"the endpoint answered {answer.status}"
        wait_s = _retry_after_s(answer, now_ms)
    if status is not None and 200 <= status < 300:
        return Outcome("delivered", made, status)
    is_final = status == GONE or isinstance(answer, OutboundRefused) or made >= len(delays_s)
    if is_final:
        return Outcome("failed", made, status, error)
    wait_s = max(wait_s, delays_s[made] * (1 + JITTER * chance))
    return Outcome("pending", made, status, error, now_ms + int(wait_s * 1000))


async def _send(tools: Tools, outgoing: Outgoing, now_ms: int) -> HttpResponse | OutboundError:
    signature = signing.sign(outgoing.secrets, outgoing.event_id, now_ms // 1000, outgoing.body)
    headers = {"content-type": "application/json", "user-agent": USER_AGENT, **signature}
    request = HttpRequest(
        method="POST",
        url=outgoing.url,
        purpose=PURPOSE,
        headers=headers,
        body=outgoing.body,
        timeout_s=min(tools.settings.webhook_timeout_s, TIMEOUT_S_MAX),
    )
    try:
        return await tools.send(request)
    except OutboundError as error:
        return error


def _retry_after_s(answer: HttpResponse, now_ms: int) -> float:
    """The wait that a busy receiver asks for (RFC 9110 §10.2.3), at most RETRY_AFTER_S_MAX."""
    text = answer.headers.get("retry-after", "")
    if answer.status not in {429, 502, 503, 504} or not text:
        return 0.0
    try:
        wait_s = float(text) if text.isdecimal() else _seconds_until(text, now_ms)
    except ValueError:
        return 0.0
    return min(max(wait_s, 0.0), RETRY_AFTER_S_MAX)


def _seconds_until(http_date: str, now_ms: int) -> float:
    return email.utils.parsedate_to_datetime(http_date).timestamp() - now_ms / 1000
