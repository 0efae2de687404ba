"""`/health/live` and `/health/ready`: the process runs; the process can do its work."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from aiohttp import web

from core.errors import Unavailable
from web import problem

Check = Callable[[], Awaitable[object]]
DEADLINE_S: Final = 1.0

log: Final = logging.getLogger("stampgate.health")


class Health:
    """Both answers; the methods take whatever an app's handlers take, and do not look at it."""

    def __init__(self, checks: Mapping[str, Check], deadline_s: float = DEADLINE_S) -> None:
        """A check returns, or raises when what it stands for cannot be used."""
        self._checks = checks
        self._deadline_s = deadline_s

    async def live(self, _: object) -> web.Response:
        """200 as long as the loop turns."""
        return problem.reply({"status": "live"}, headers={"Cache-Control": "no-store"})

    async def ready(self, _: object) -> web.Response:
        """200, or 503 naming the checks that fail."""
        causes = await asyncio.gather(*map(self._cause, self._checks))
        failing = [
            {"check": name, "detail": cause}
            for name, cause in zip(self._checks, causes, strict=True)
            if cause is not None
        ]
        if failing:
            names = ", ".join(item["check"] for item in failing)
            return problem.problem(Unavailable(f"Not ready: {names}.", errors=failing))
        return problem.reply({"status": "ready"}, headers={"Cache-Control": "no-store"})

    async def _cause(self, name: str) -> str | None:
        """Why the check fails, without what it may know of addresses and passwords."""
        try:
            async with asyncio.timeout(self._deadline_s):
                await self._checks[name]()
        except TimeoutError:
            return f"no answer within {self._deadline_s:g} s"
        except Exception as error:
            log.warning("not ready: %s", name, exc_info=error)
            return type(error).__name__
        return None
