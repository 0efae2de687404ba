"""What operators ask of the gateway: is it alive, can it work, which version is it."""

from __future__ import annotations

import asyncio
import importlib.metadata
from typing import Final, Literal

import msgspec
from aiohttp import web

from core import errors
from db import keys
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
    """What the gateway stands on; `degraded`: awards go on, what PostgreSQL decides does not, or
    some members' balances are being rebuilt.
    """

    status: Literal["ready", "degraded"]
    awards: Literal["open", "partly open"]
    postgresql: Literal["up", "away"]


async def version(_: Call) -> web.Response:
    """Which Stampgate this is."""
    return problem.reply(Version(importlib.metadata.version("stampgate")))


async def live(_: Call) -> web.Response:
    """200 as long as the loop turns."""
    return problem.reply(Live("live"), headers=FRESH)


async def ready(call: Call) -> web.Response:
    """200 while awards can be decided, which takes Redis alone; else 503."""
    count, has_postgresql = await asyncio.gather(_open_partitions(call), _has_postgresql(call))
    if count == 0:
        raise errors.NotOpen("Redis is away, or no worker has opened it yet.")
    is_open = count == keys.AWARD_PARTITIONS
    document = Ready(
        status="ready" if is_open and has_postgresql else "degraded",
        awards="open" if is_open else "partly open",
        postgresql="up" if has_postgresql else "away",
    )
    return problem.reply(document, headers=FRESH)


async def _open_partitions(call: Call) -> int:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S):
            return await call.app.points.open_partitions()
    except (TimeoutError, errors.StampgateError):
        return 0


async def _has_postgresql(call: Call) -> bool:
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_S), call.app.connection() as db:
            await db.execute("SELECT 1")
    except (TimeoutError, errors.Unavailable):
        return False
    return True


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
        is_limited=False,
    ),
    Route(
        method="GET",
        path="/health/ready",
        handler=ready,
        name="ready",
        summary="Whether awards can be decided",
        reply=Ready,
        errors=(errors.NotOpen,),
        is_limited=False,
    ),
)
