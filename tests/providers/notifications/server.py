"""What the local providers share: they listen, check who asks, and keep what they took."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, TypeVar

from aiohttp import web

from core.templates import Channel

SECRET = "a-secret-with/and:and%in-it"


class Fault(NamedTuple):
    """What the next request to the path gets; `is_taken` has the message taken all the same."""

    status: int = 500
    body: bytes = b"<h1>It went wrong</h1>"
    headers: Mapping[str, str] = {}
    is_cut: bool = False
    is_hanging: bool = False


class Refusal(Exception):
    """An error answer as this provider words it."""

    def __init__(self, status: int, body: Any, headers: Mapping[str, str] | None = None) -> None:
        self.status = status
        self.body = body
        self.headers = dict(headers or {})


class Server:
    """One provider. `taken` has the ids of the messages of ours that it took, in order."""

    slug = ""
    channel: Channel = "email"
    path = "/"
    address = "asha@example.test"

    def __init__(self, url: str) -> None:
        self.url = url
        self.taken: list[str] = []
        self.asked: list[str] = []
        self.faults: dict[str, list[Fault]] = {}
        self.released = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [web.post(self.path, self.take)]

    def config(self) -> dict[str, Any]:
        """The provider's section in our providers file."""
        raise NotImplementedError

    def wrong(self) -> dict[str, Any]:
        """The section with a credential that is not good."""
        raise NotImplementedError

    def yes(self) -> Fault:
        """The answer to a message that was taken."""
        raise NotImplementedError

    async def take(self, request: web.Request) -> web.Response:
        raise NotImplementedError

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        faults = self.faults.get(request.path)
        if faults:
            return await self._fail(request, faults.pop(0))
        try:
            response: web.StreamResponse = await handler(request)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status, headers=refusal.headers)
        return response

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.is_hanging:
            await self.released.wait()
        if not fault.is_cut:
            return web.Response(
                status=fault.status,
                body=fault.body,
                content_type="application/json",
                headers=fault.headers,
            )
        response = web.StreamResponse(status=fault.status, headers=fault.headers)
        response.content_length = len(fault.body) + 10
        await response.prepare(request)
        await response.write(fault.body[: len(fault.body) // 2])
        assert request.transport is not None
        request.transport.close()
        return response


S = TypeVar("S", bound=Server)


@contextlib.asynccontextmanager
async def running(kind: type[S]) -> AsyncIterator[S]:
    """A provider of this kind while the context lasts."""
    sock = socket.create_server(("127.0.0.1", 0))
    server = kind(f"http://127.0.0.1:{sock.getsockname()[1]}")
    app = web.Application(middlewares=[server.middleware])
    app.add_routes(server.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    try:
        yield server
    finally:
        server.released.set()
        await runner.cleanup()


def basic(request: web.Request) -> tuple[str, str]:
    """User and password of the request, as RFC 7617 has them."""
    kind, _, encoded = request.headers.get("Authorization", "").partition(" ")
    if kind != "Basic":
        return "", ""
    user, _, password = base64.b64decode(encoded).decode().partition(":")
    return user, password
