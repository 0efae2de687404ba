"""`/webhooks/awin`, `/webhooks/impact`, `/webhooks/admitad`: pushes of networks that have a form of
their own.

They are taken as `/postback` takes calls, but for accounts at that network alone: an address that
was entered at another one shows with the first call.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web

from core import errors
from core.providers.affiliate import admitad, awin, impact
from gateway import postbacks
from gateway.app import Call
from web.routing import Route

PREFIX: Final = "/webhooks/"


async def receive(call: Call) -> web.Response:
    """Store the push, and answer what the network understands; NetworkNotFound for an account at
    another one."""
    slug = call.route.path.removeprefix(PREFIX).partition("/")[0]
    account = await call.app.receiving.account(call.params["network_id"])
    if account is None or account.network.provider != slug:
        raise errors.NetworkNotFound
    return await postbacks.receive(call)


ROUTES: tuple[Route, ...] = (
    *postbacks.called_at(PREFIX + awin.SLUG, receive, "awin", "What Awin pushes"),
    *postbacks.called_at(PREFIX + impact.SLUG, receive, "impact", "What Impact notifies of"),
    *postbacks.called_at(PREFIX + admitad.SLUG, receive, "admitad", "What Admitad posts back"),
)
