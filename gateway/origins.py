"""Pages of other origins that may call the API: each program names its own (CORS).

A page is known by its credential's program. The browser's preflight has no credential, so it is
told what holds for all programs: whether any of them names the origin. What a page is not allowed
to read, the browser keeps from it; no answer ever allows cookies, because there are none.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Final

from aiohttp import web
from multidict import CIMultiDict

from core import errors
from db import pg, programs
from gateway.rules import Rules
from web.headers import vary

FRESH_S: Final = 2.0
MAX_AGE_S: Final = 600

METHOD: Final = "Access-Control-Request-Method"
ALLOWED: Final = "Access-Control-Allow-Origin"
REQUEST_HEADERS: Final = ", ".join((
    *("Authorization", "X-API-Key", "Stampgate-Program", "Content-Type", "Idempotency-Key"),
    *("If-None-Match", "Accept-Language", "Request-Id", "X-Request-Id"),
))  # fmt: skip
ANSWER_HEADERS: Final = ", ".join((
    *("Request-Id", "RateLimit", "RateLimit-Policy", "Retry-After", "ETag", "Idempotent-Replayed"),
    *("Deprecation", "Sunset"),
))  # fmt: skip


class Origins:
    """The origins that the programs name, as this process knows them."""

    def __init__(self, pool: pg.Pool, rules: Rules) -> None:
        self._pool: Final = pool
        self._rules: Final = rules
        self._all: frozenset[str] = frozenset()
        self._read_at = -FRESH_S
        self._reading: asyncio.Task[None] | None = None

    async def allows(self, origin: str, program_id: str | None) -> bool:
        """Whether a page of this origin may read what is the program's; or, with None, what is
        nobody's. False when PostgreSQL is away and the answer was never known.
        """
        if program_id is None:
            return origin in await self._everyones()
        try:
            program = await self._rules.program(program_id)
        except errors.StampgateError:
            return False
        return origin in program.settings.cors_origins

    async def _everyones(self) -> frozenset[str]:
        if time.monotonic() - self._read_at >= FRESH_S:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.shield(self._reading)
        return self._all

    async def _read(self) -> None:
        try:
            async with self._pool.acquire(timeout=5) as db:
                self._all = await programs.origins(db)
        except pg.CONNECTION_ERRORS:
            # Those that were known stay good.
            pass
        finally:
            self._read_at = time.monotonic()
            self._reading = None


async def preflight(origins: Origins, origin: str, methods: Iterable[str]) -> web.Response:
    """What a browser is told before it lets a page call a path that takes these methods."""
    if not await origins.allows(origin, None):
        raise errors.OriginNotAllowed
    return web.Response(
        status=204,
        headers={
            ALLOWED: origin,
            "Access-Control-Allow-Methods": ", ".join(sorted(methods)),
            "Access-Control-Allow-Headers": REQUEST_HEADERS,
            "Access-Control-Max-Age": str(MAX_AGE_S),
            "Vary": f"{METHOD}, Access-Control-Request-Headers",
        },
    )


async def mark(
    origins: Origins, headers: CIMultiDict[str], origin: str | None, program_id: str | None
) -> None:
    """Let a page of an allowed origin read the answer."""
    vary(headers, "Origin")
    if origin is not None and await origins.allows(origin, program_id):
        headers[ALLOWED] = origin
        headers["Access-Control-Expose-Headers"] = ANSWER_HEADERS
        # What a page of another origin may read, it may also embed.
        headers["Cross-Origin-Resource-Policy"] = "cross-origin"
