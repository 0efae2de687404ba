"""`/v1/webhook-endpoints`: who is told of what happens in a program."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Mapping
from typing import Annotated, Any, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, signing
from core.http import OutboundRefused
from db import deliveries, webhooks
from db.pg import Db
from db.webhooks import Endpoint, NewEndpoint
from gateway import answers, auditing, lists, patches
from gateway.app import Call, read, read_as
from web import outbound, problem
from web.routing import Route

Overlap = Annotated[int, Meta(ge=0, le=7 * 24)]
Moment = Annotated[dt.datetime, Meta(tz=True)]


class ChangeableEndpoint(NewEndpoint, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What may be changed of an endpoint."""

    state: Literal["enabled", "disabled"]


class EndpointWithSecret(Endpoint, frozen=True, kw_only=True):
    """An endpoint and its new secret, which is not shown again."""

    secret: str


class Rotation(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How long messages are signed with the old secret too."""

    overlap_hours: Overlap = 24


class Replay(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which deliveries to make again: those of events from `from` until before `to`."""

    since: Moment = msgspec.field(name="from")
    until: Moment = msgspec.field(name="to")
    only_failed: bool = True


class Replayed(msgspec.Struct, frozen=True):
    """How many deliveries are made again."""

    replayed: int


class Tested(msgspec.Struct, frozen=True):
    """The id of the test event, which is the `webhook-id` of its delivery."""

    event_id: str


EndpointPatch = patches.patch_of(ChangeableEndpoint)
_new = msgspec.json.Decoder(NewEndpoint)
_patch = msgspec.json.Decoder(EndpointPatch)
_rotation = msgspec.json.Decoder(Rotation)
_replay = msgspec.json.Decoder(Replay)


async def create(call: Call) -> web.Response:
    """Store an endpoint; its secret is in this answer alone."""
    body = await read(call)
    new = problem.decode(_new, body)
    _check_url(call, new.url)

    async def work(db: Db) -> EndpointWithSecret:
        secret, endpoint_id = _new_secret(), call.app.new_id("endpoint")
        stored = await webhooks.add(
            db, call.app.ring, call.principal.program_id, endpoint_id, new, secret
        )
        await auditing.record(call, db, "webhook_endpoint.create", endpoint_id, after=new)
        return _with_secret(stored, secret)

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """The program's endpoints, oldest first."""
    window = problem.decode_query(lists.Window, call.query)
    program_id, after = call.principal.program_id, window.after("endpoint")
    async with call.app.connection() as db:
        found = await webhooks.page(db, program_id, after=after, limit=window.limit + 1)
    return problem.reply(lists.page(found, window.limit))


async def get(call: Call) -> web.Response:
    """One endpoint."""
    async with call.app.connection() as db:
        return problem.reply(await webhooks.get(db, *_named(call)))


async def change(call: Call) -> web.Response:
    """Change the given fields."""
    wanted = patches.changes(await read_as(call, _patch))
    if "url" in wanted:
        _check_url(call, wanted["url"])
    return problem.reply(await _changed(call, "webhook_endpoint.change", wanted))


async def delete(call: Call) -> web.Response:
    """Delete an endpoint and the record of its deliveries."""
    async with call.app.transaction() as db:
        await webhooks.delete(db, *_named(call))
        await auditing.record(call, db, "webhook_endpoint.delete", call.params["endpoint_id"])
    return web.Response(status=204)


async def enable(call: Call) -> web.Response:
    """Tell the endpoint again what happens from now on."""
    return problem.reply(await _changed(call, "webhook_endpoint.enable", {"state": "enabled"}))


async def rotate_secret(call: Call) -> web.Response:
    """Make a new secret; for a while, messages carry signatures of both."""
    body = await read(call)
    rotation = problem.decode(_rotation, body or b"{}")

    async def work(db: Db) -> EndpointWithSecret:
        secret = _new_secret()
        rotated = await webhooks.rotate(
            db, call.app.ring, *_named(call), secret, rotation.overlap_hours
        )
        await auditing.record(
            call, db, "webhook_endpoint.rotate_secret", rotated.id, after=rotation
        )
        return _with_secret(rotated, secret)

    return await answers.once(call, body, work)


async def test(call: Call) -> web.Response:
    """Deliver a test event, whatever the endpoint listens to."""
    program_id, endpoint_id = _named(call)
    event = webhooks.Event(
        program_id,
        webhooks.TEST_EVENT,
        call.app.new_id("event"),
        call.app.now_ms(),
        {"endpoint": endpoint_id},
    )

    async def work(db: Db) -> Tested:
        await webhooks.queue_test(db, program_id, endpoint_id, event)
        await auditing.record(call, db, "webhook_endpoint.test", endpoint_id)
        return Tested(event.id)

    return await answers.once(call, b"", work)


async def replay(call: Call) -> web.Response:
    """Deliver again what an endpoint was to be told in some time."""
    wanted = await read_as(call, _replay)
    async with call.app.transaction() as db:
        endpoint = await webhooks.get(db, *_named(call))
        count = await deliveries.replay_many(
            db, endpoint.id, wanted.since, wanted.until, only_failed=wanted.only_failed
        )
        await auditing.record(
            call, db, "webhook_endpoint.replay", endpoint.id, after=Replayed(count)
        )
    return problem.reply(Replayed(count), call.route.status)


async def _changed(call: Call, action: str, wanted: Mapping[str, Any]) -> Endpoint:
    async with call.app.transaction() as db:
        before = await webhooks.lock(db, *_named(call))
        after = await webhooks.change(db, *_named(call), wanted)
        await auditing.record(call, db, action, after.id, before, after)
    return after


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["endpoint_id"]


def _new_secret() -> str:
    return signing.new_secret(os.urandom(signing.SECRET_BYTES))


def _with_secret(endpoint: Endpoint, secret: str) -> EndpointWithSecret:
    return EndpointWithSecret(**msgspec.structs.asdict(endpoint), secret=secret)


def _check_url(call: Call, url: str) -> None:
    """InvalidRequest for a URL that no event would be sent to."""
    try:
        outbound.Guard(call.app.settings.outbound_allow).url(url)
    except OutboundRefused as error:
        detail = f"Events are not sent there: {error}."
        raise errors.InvalidRequest(
            detail, errors=[{"detail": detail, "pointer": "/url"}]
        ) from None


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/webhook-endpoints",
        handler=create,
        name="create_webhook_endpoint",
        summary="Store a webhook endpoint; the only answer that has its secret",
        scope="webhooks:write",
        body=NewEndpoint,
        reply=EndpointWithSecret,
        status=201,
        errors=(errors.ProgramNotFound,),
        is_idempotent=True,
        is_key_optional=True,
        is_secret=True,
    ),
    Route(
        method="GET",
        path="/v1/webhook-endpoints",
        handler=list_all,
        name="list_webhook_endpoints",
        summary="List webhook endpoints, oldest first",
        scope="webhooks:read",
        query=lists.Window,
        reply=lists.Page[Endpoint],
    ),
    Route(
        method="GET",
        path="/v1/webhook-endpoints/{endpoint_id}",
        handler=get,
        name="get_webhook_endpoint",
        summary="Read a webhook endpoint",
        scope="webhooks:read",
        reply=Endpoint,
        errors=(errors.EndpointNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/webhook-endpoints/{endpoint_id}",
        handler=change,
        name="change_webhook_endpoint",
        summary="Change the given fields of a webhook endpoint",
        scope="webhooks:write",
        body=EndpointPatch,
        reply=Endpoint,
        errors=(errors.EndpointNotFound,),
    ),
    Route(
        method="DELETE",
        path="/v1/webhook-endpoints/{endpoint_id}",
        handler=delete,
        name="delete_webhook_endpoint",
        summary="Delete a webhook endpoint and the record of its deliveries",
        scope="webhooks:write",
        status=204,
        errors=(errors.EndpointNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/enable",
        handler=enable,
        name="enable_webhook_endpoint",
        summary="Enable a webhook endpoint that was disabled",
        scope="webhooks:write",
        reply=Endpoint,
        errors=(errors.EndpointNotFound,),
        repeats="What is enabled stays so.",
    ),
    Route(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/rotate-secret",
        handler=rotate_secret,
        name="rotate_webhook_secret",
        summary="Make a new secret; messages are signed with both for a while",
        scope="webhooks:write",
        body=Rotation,
        reply=EndpointWithSecret,
        errors=(errors.EndpointNotFound,),
        is_idempotent=True,
        is_key_optional=True,
        is_secret=True,
    ),
    Route(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/test",
        handler=test,
        name="test_webhook_endpoint",
        summary="Deliver a test event",
        scope="webhooks:write",
        reply=Tested,
        status=202,
        errors=(errors.EndpointNotFound,),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="POST",
        path="/v1/webhook-endpoints/{endpoint_id}/replay",
        handler=replay,
        name="replay_webhook_endpoint",
        summary="Deliver again what an endpoint was to be told in some time",
        scope="webhooks:write",
        body=Replay,
        reply=Replayed,
        status=202,
        errors=(errors.EndpointNotFound,),
        repeats="The receiver knows an event by its webhook-id.",
    ),
)
