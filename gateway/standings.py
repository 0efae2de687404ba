"""`/v1/limits`: how many requests the caller has left."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from core import tokens
from core.limits import Standing, seconds
from gateway.app import Call
from web import problem
from web.routing import Route

#: Whoever has a credential, whatever else it may be used for.
ANY: Final = " ".join(scope for scope in (*tokens.OWN, *tokens.SCOPES) if scope != tokens.PLATFORM)
FRESH: Final = {"Cache-Control": "no-store"}


class Limit(msgspec.Struct, frozen=True, kw_only=True):
    """A limit, and where the caller stands: `left` of `quota`, all of it again after `reset_s`."""

    policy: str
    quota: int
    window_s: int
    left: int
    reset_s: int


class Limits(msgspec.Struct, frozen=True):
    """The limits of the caller; none for whoever has no limit."""

    data: list[Limit]


async def read(call: Call) -> web.Response:
    """Where the caller stands, this request counted."""
    standing = await call.app.rates.look(call.principal)
    data = [] if standing is None else [_shown(standing)]
    return problem.reply(Limits(data), headers=FRESH)


def _shown(standing: Standing) -> Limit:
    policy = standing.policy
    return Limit(
        policy=policy.name,
        quota=policy.quota,
        window_s=policy.window_s,
        left=standing.left,
        reset_s=seconds(standing.reset_us),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/limits",
        handler=read,
        name="read_limits",
        summary="How many requests the caller has left",
        scope=ANY,
        reply=Limits,
    ),
)
