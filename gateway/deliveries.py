"""`/v1/webhook-deliveries`: what was sent to webhook endpoints, and what came of it."""

from __future__ import annotations

from aiohttp import web

from core import errors
from core.links import Line
from db import deliveries
from db.deliveries import Delivery, DeliveryWithBody, State
from gateway import auditing, lists
from gateway.app import Call
from web import problem
from web.routing import Route


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries are asked for."""

    endpoint_id: Line | None = None
    state: State | None = None
    type: Line | None = None
    event_id: Line | None = None


async def list_all(call: Call) -> web.Response:
    """The program's deliveries, the newest first."""
    search = problem.decode_query(Search, call.query)
    program_id, before = call.principal.program_id, search.after("delivery")
    async with call.app.connection() as db:
        found = await deliveries.page(
            db,
            program_id,
            before=before,
            limit=search.limit + 1,
            endpoint_id=search.endpoint_id,
            state=search.state,
            event_type=search.type,
            event_id=search.event_id,
        )
    return problem.reply(lists.page(found, search.limit))


async def get(call: Call) -> web.Response:
    """One delivery, with the document that is sent."""
    async with call.app.connection() as db:
        return problem.reply(await deliveries.get(db, *_named(call)))


async def replay(call: Call) -> web.Response:
    """Deliver again, under the same webhook-id."""
    async with call.app.transaction() as db:
        delivery = await deliveries.replay(db, *_named(call))
        await auditing.record(call, db, "webhook_delivery.replay", delivery.id)
    return problem.reply(delivery, call.route.status)


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["delivery_id"]


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/webhook-deliveries",
        handler=list_all,
        name="list_webhook_deliveries",
        summary="List webhook deliveries, the newest first",
        scope="webhooks:read",
        query=Search,
        reply=lists.Page[Delivery],
    ),
    Route(
        method="GET",
        path="/v1/webhook-deliveries/{delivery_id}",
        handler=get,
        name="get_webhook_delivery",
        summary="Read a webhook delivery and its body",
        scope="webhooks:read",
        reply=DeliveryWithBody,
        errors=(errors.DeliveryNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/webhook-deliveries/{delivery_id}/replay",
        handler=replay,
        name="replay_webhook_delivery",
        summary="Deliver an event again, under the same webhook-id",
        scope="webhooks:write",
        reply=DeliveryWithBody,
        status=202,
        errors=(errors.DeliveryNotFound,),
        repeats="The receiver knows an event by its webhook-id.",
    ),
)
