"""`/v1/me/push-subscriptions`: the devices and browsers of a member that pushes go to."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, pushing
from core.errors import BadSubscription
from core.providers.notifications import webpush
from core.pushing import Browser, Kind
from db import push_subscriptions
from db.push_subscriptions import Subscription
from gateway import auditing
from gateway.app import App, Call, read_as
from gateway.privacy import OWN, member_of
from web import problem
from web.routing import Route


class New(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A device's token, or a browser's subscription as its `toJSON()` has it."""

    kind: Kind
    token: Annotated[str, Meta(min_length=1, max_length=2048)] | None = None
    subscription: Browser | None = None

    def __repr__(self) -> str:
        return "New(…)"


class Subscriptions(msgspec.Struct, frozen=True):
    """All of them, and the public key with which browsers subscribe, if pushes go to browsers."""

    data: list[Subscription]
    public_key: str | None


_new = msgspec.json.Decoder(New)


async def add(call: Call) -> web.Response:
    """Have pushes go to a device or a browser."""
    wanted, app = await read_as(call, _new), call.app
    address = _address(app, wanted)
    program_id, member_id = member_of(call)
    async with app.transaction() as db:
        added = await push_subscriptions.add(
            db,
            app.ring,
            program_id,
            member_id,
            subscription_id=app.new_id("push"),
            kind=wanted.kind,
            address=address,
        )
        after = {"id": added.id, "kind": added.kind}
        await auditing.record(call, db, "push_subscription.create", member_id, after=after)
    return problem.reply(added, call.route.status)


async def list_all(call: Call) -> web.Response:
    """Where pushes to the member go."""
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        found = await push_subscriptions.of_member(db, program_id, member_id)
    return problem.reply(Subscriptions(found, _public_key(call.app)))


async def delete(call: Call) -> web.Response:
    """Have no pushes go there any more."""
    caller, subscription_id = call.principal, call.params["subscription_id"]
    async with call.app.transaction() as db:
        await push_subscriptions.delete(db, caller.program_id, caller.subject, subscription_id)
        before = {"id": subscription_id}
        await auditing.record(call, db, "push_subscription.delete", caller.subject, before)
    return web.Response(status=204)


def _address(app: App, wanted: New) -> str:
    """Where pushes go; ProviderNotFound, InvalidRequest."""
    config = app.notifiers.get(wanted.kind)
    if config is None:
        raise errors.ProviderNotFound
    try:
        if isinstance(config, webpush.Config):
            if wanted.subscription is None or wanted.token is not None:
                raise _bad("A browser has a subscription, and no token.", "/subscription")
            return pushing.of_browser(wanted.subscription, config.hosts)
        if wanted.token is None or wanted.subscription is not None:
            raise _bad("A device has a token, and no subscription.", "/token")
        assert wanted.kind != "webpush"
        return pushing.of_token(wanted.kind, wanted.token)
    except BadSubscription as error:
        pointer = "/token" if wanted.subscription is None else "/subscription"
        raise _bad(f"No push goes there: {error}.", pointer) from None


def _bad(detail: str, pointer: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": pointer}])


def _public_key(app: App) -> str | None:
    config = app.notifiers.get(webpush.SLUG)
    return webpush.public_key(config) if isinstance(config, webpush.Config) else None


PATH = "/v1/me/push-subscriptions"

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=PATH,
        handler=add,
        name="add_push_subscription",
        summary="Have pushes go to a device or a browser of the member who asks",
        scope=OWN,
        body=New,
        reply=Subscription,
        status=201,
        errors=(errors.ProviderNotFound, errors.MemberNotFound),
        repeats="One that is known is answered as it is.",
    ),
    Route(
        method="GET",
        path=PATH,
        handler=list_all,
        name="list_push_subscriptions",
        summary="List the devices and browsers that pushes go to",
        scope=OWN,
        reply=Subscriptions,
    ),
    Route(
        method="DELETE",
        path=f"{PATH}/{{subscription_id}}",
        handler=delete,
        name="delete_push_subscription",
        summary="Have no pushes go to a device or a browser any more",
        scope=OWN,
        status=204,
        errors=(errors.SubscriptionNotFound,),
    ),
)
