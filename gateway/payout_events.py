"""`/webhooks/razorpayx`, `/webhooks/cashfree-payouts`: what providers say of payouts.

A call is verified over its bytes, kept once, and followed in the same transaction. Whatever it
says, a call that was kept is answered 200; anything else has the provider call again for a while.
"""

from __future__ import annotations

import logging
from typing import Any, Final

import msgspec
from aiohttp import web

from core import errors
from core.providers.payouts import cashfree, razorpayx
from db import payouts
from gateway import auditing
from gateway.app import Call, read
from gateway.lookups import moment
from web import metrics, problem
from web.routing import Route

log: Final = logging.getLogger(__name__)

BODY_MAX: Final = 512 * 1024
SLUG_AT: Final = "/webhooks/"


class Received(msgspec.Struct, frozen=True):
    """That the call was kept."""

    received: bool = True


async def receive(call: Call) -> web.Response:
    """Keep what the provider says, and do what follows."""
    slug = call.route.path.removeprefix(SLUG_AT)
    provider = call.app.payouts.get(slug)
    if provider is None:
        raise errors.ProviderNotFound
    body = await read(call)
    headers = {name.lower(): value for name, value in call.request.headers.items()}
    now_ms = call.app.now_ms()
    try:
        event = provider.event(headers, body, now_ms // 1000)
        body.decode()
    except errors.BadSignature:
        metrics.payout_calls.labels(slug, "bad_signature").inc()
        raise errors.SignatureInvalid from None
    except (errors.BadReply, UnicodeDecodeError):
        metrics.payout_calls.labels(slug, "unreadable").inc()
        raise errors.InvalidRequest("The call cannot be read.") from None
    async with call.app.transaction() as db:
        heard = await payouts.called(db, call.app.ring, slug, event, body, moment(now_ms))
        if heard is not None and heard.outcome in {"applied", "odd"} and event.news is not None:
            said = {"provider": slug, "state": event.news.state}
            await auditing.record(
                call, db, "withdrawal.news", event.news.id, after=said, program_id=heard.program_id
            )
    outcome = "repeated" if heard is None else heard.outcome
    if outcome == "odd":
        log.error("%s says what cannot be of %s", slug, event.news and event.news.id)
    metrics.payout_calls.labels(slug, outcome).inc()
    return problem.reply(Received())


def _route(slug: str) -> Route:
    return Route(
        method="POST",
        path=SLUG_AT + slug,
        handler=receive,
        name=f"hear_of_payouts_{slug.partition('-')[0]}",
        summary=f"What {slug} says of payouts, signed by it",
        body=dict[str, Any],
        reply=Received,
        body_limit=BODY_MAX,
        is_limited=False,
        repeats="A call is known by its id, and followed once.",
        errors=(errors.ProviderNotFound, errors.SignatureInvalid, errors.InvalidRequest,
                errors.Unavailable, errors.OutcomeUnknown),
    )  # fmt: skip


ROUTES: tuple[Route, ...] = (_route(razorpayx.SLUG), _route(cashfree.SLUG))
