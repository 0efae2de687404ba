"""A webhook receiver on a real socket, which checks signatures and answers as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import time
from collections.abc import AsyncIterator
from typing import NamedTuple

from aiohttp import web

from core import signing

SECRET = signing.new_secret(bytes(range(32)))


class Received(NamedTuple):
    """One request."""

    headers: dict[str, str]
    body: bytes

    @property
    def event_id(self) -> str:
        return self.headers["webhook-id"]

    def verify(self, secret: str) -> None:
        signing.verify([secret], self.headers, self.body, int(time.time()))


class Receiver:
    """Answers 204, or what stands first in `answers`; holds answers back while `gate` is shut."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.received: list[Received] = []
        self.answers: list[tuple[int, dict[str, str]]] = []
        self._more = asyncio.Condition()
        self.gate = asyncio.Event()
        self.gate.set()

    async def handle(self, request: web.Request) -> web.Response:
        headers = {name.lower(): value for name, value in request.headers.items()}
        async with self._more:
            self.received.append(Received(headers, await request.read()))
            self._more.notify_all()
        await self.gate.wait()
        status, answer_headers = self.answers.pop(0) if self.answers else (204, {})
        return web.Response(status=status, headers=answer_headers)

    async def wait_for(self, count: int) -> None:
        """Wait until `count` requests have come."""
        async with asyncio.timeout(30), self._more:
            await self._more.wait_for(lambda: len(self.received) >= count)


@contextlib.asynccontextmanager
async def receiver() -> AsyncIterator[Receiver]:
    """A receiver while the context lasts."""
    sock = socket.create_server(("127.0.0.1", 0))
    listening = Receiver(f"http://127.0.0.1:{sock.getsockname()[1]}/hook")
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", listening.handle)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    try:
        yield listening
    finally:
        listening.gate.set()
        await runner.cleanup()
