"""What operators ask of the gateway: is it alive, can it work, which version is it."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import Final

import msgspec
from aiohttp import web

from core import errors
from db import redis
from gateway.app import Call
from web import problem
from web.routing import Route

CHECK_TIMEOUT_S: Final = 1.0
FRESH: Final = {"Cache-Control": "no-store"}


class Version(msgspec.Struct, frozen=True):
    """Which Stampgate this is."""

    version: str


class Live(msgspec.Struct, frozen=True):
    """The process runs."""

    status: str


class Ready(msgspec.Struct, frozen=True):
    """What the gateway stands on; `degraded`: awards go on, what PostgreSQL decides does not."""

    status: str
    redis: str
    postgresql: str


async def version(_: Call) -> web.Response:
    """Which Stampgate this is."""
    return problem.reply(Version(importlib.metadata.version("stampgate")))


async def live(_: Call) -> web.Response:
    """200 as long as the loop turns."""
    return problem.reply(Live("live"), headers=FRESH)


async def ready(call: Call) -> web.Response:
    """200 while awards can be decided, which takes Redis alone; else 503."""
    has_redis, has_postgresql = await asyncio.gather(_has_redis(call), _has_postgresql(call))
    status = "ready" if has_postgresql else "degraded"
    if not has_redis:
        raise errors.Unavailable("Redis is away.")
    return problem.reply(Ready(status, _word(has_redis), _word(has_postgresql)), headers=FRESH)


async def _has_redis(call: Call) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            await redis.ping(call.app.redis)
    except (TimeoutError, errors.StampgateError):
        return False
    return True


async def _has_postgresql(call: Call) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), call.app.connection() as db:
            await db.execute("SELECT 1")
    except (TimeoutError, errors.Unavailable):
        return False
    return True


def _word(is_up: bool) -> str:  # noqa: FBT001 - one fact, one word
    return "up" if is_up else "away"


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/version",
        handler=version,
        name="version",
        summary="Which Stampgate this is",
        reply=Version,
    ),
    Route(
        method="GET",
        path="/health/live",
        handler=live,
        name="live",
        summary="Whether the process runs",
        reply=Live,
    ),
    Route(
        method="GET",
        path="/health/ready",
        handler=ready,
        name="ready",
        summary="Whether awards can be decided",
        reply=Ready,
        errors=(errors.Unavailable,),
    ),
)
