"""What the local providers of payouts share: effects by our id, faults on demand, signed calls."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, TypeVar

import aiohttp
import msgspec
from aiohttp import web

from core.withdrawals import News

#: A call that is not answered with a 2xx is made again, so often in all.
CALLS_MAX = 5


class Fault(NamedTuple):
    """What the next request gets; with `is_taken` it has its effect all the same."""

    status: int = 500
    body: bytes = b"<h1>It went wrong</h1>"
    headers: Mapping[str, str] = {}
    is_cut: bool = False
    is_hanging: bool = False
    is_taken: bool = False


class Refusal(Exception):
    """An error answer as this provider words it."""

    def __init__(self, status: int, body: Any) -> None:
        self.status = status
        self.body = body


class Kept(msgspec.Struct, kw_only=True):
    """A payout as the provider has it; `asked` is the body that made it."""

    id: str
    theirs: str
    amount_minor: int
    account: Mapping[str, str]
    name: str
    mode: str
    asked: bytes
    state: News = "under_way"
    utr: str = ""
    reason: str = ""


class Server:
    """One provider. `effects` has our id once for each time that money was moved or promised; of
    `faults` one is used up by each request to pay, of `look_faults` by each to look up. Where
    `hears` is set, every change is told there. `begins` is the state that new payouts have.
    `bodies` are those of requests to pay; `door` holds them back before their effect, `gate` the
    answers after it.
    """

    slug = ""

    def __init__(self, url: str) -> None:
        self.url = url
        self.kept: dict[str, Kept] = {}
        self.effects: list[str] = []
        self.asked: list[str] = []
        self.bodies: list[bytes] = []
        self.faults: list[Fault] = []
        self.look_faults: list[Fault] = []
        self.begins: News = "under_way"
        self.hears = ""
        self.calls = 0
        self.released = asyncio.Event()
        self.door, self.gate = asyncio.Event(), asyncio.Event()
        self.door.set()
        self.gate.set()

    def routes(self) -> list[web.RouteDef]:
        raise NotImplementedError

    def config(self) -> dict[str, Any]:
        """The provider's section in our providers file."""
        raise NotImplementedError

    def wrong(self) -> dict[str, Any]:
        """The section with a credential that is not good."""
        raise NotImplementedError

    def no(self, text: str) -> Fault:
        """The answer to a payout that it does not make."""
        raise NotImplementedError

    def used(self) -> Fault:
        """The answer when our id has been used before, for something else."""
        raise NotImplementedError

    def wire(self, one: Kept) -> dict[str, Any]:
        """The payout as its API has it."""
        raise NotImplementedError

    def listed(self, found: list[Kept]) -> bytes:
        """The answer to somebody who looks for a payout."""
        raise NotImplementedError

    def call(self, one: Kept, number: int, secret: str = "") -> tuple[dict[str, str], bytes]:
        """Headers and body of the call that tells of a change, signed, or with another secret."""
        raise NotImplementedError

    async def take(self, request: web.Request) -> dict[str, Any]:
        raise NotImplementedError

    async def find(self, request: web.Request) -> web.StreamResponse:
        raise NotImplementedError

    async def pay(self, request: web.Request) -> web.StreamResponse:
        self.asked.append("pay")
        self.bodies.append(await request.read())
        await self.door.wait()
        fault = self.faults.pop(0) if self.faults else None
        if fault is not None and not fault.is_taken:
            return await self._fail(request, fault)
        made = await self.take(request)
        await self.gate.wait()
        if fault is not None:
            return await self._fail(request, fault)
        return web.Response(body=msgspec.json.encode(made), content_type="application/json")

    async def look(self, request: web.Request) -> web.StreamResponse:
        self.asked.append("look")
        if self.look_faults:
            return await self._fail(request, self.look_faults.pop(0))
        return await self.find(request)

    def keep(self, one: Kept) -> Kept:
        """The payout's effect."""
        self.effects.append(one.id)
        self.kept[one.id] = one
        self.become(one, self.begins)
        return one

    def become(self, one: Kept, state: News) -> None:
        one.state = state
        if state in {"paid", "reversed"}:
            one.utr = f"{len(self.effects):012}"
        if state in {"failed", "reversed"}:
            one.reason = "The account is closed"

    async def settle(self, payout_id: str, state: News) -> None:
        """The payout reaches this state, and who wants to hear of it does."""
        self.become(self.kept[payout_id], state)
        if self.hears:
            await self.tell(self.kept[payout_id])

    async def tell(self, one: Kept) -> None:
        """Call until it is heard, each time with the same bytes."""
        self.calls += 1
        headers, body = self.call(one, self.calls)
        async with aiohttp.ClientSession() as session:
            for _ in range(CALLS_MAX):
                with contextlib.suppress(aiohttp.ClientError):
                    async with session.post(
                        self.hears, data=body, headers=headers, allow_redirects=False
                    ) as answer:
                        if 200 <= answer.status < 300:
                            return

    async def play(self, then: News, after_s: float) -> None:
        """Bring each payout there after so many seconds, until cancelled."""
        known: set[str] = set()
        while True:
            waiting = self.kept.keys() - known
            await asyncio.sleep(after_s)
            for payout_id in sorted(waiting):
                await self.settle(payout_id, then)
            known |= waiting

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        try:
            response: web.StreamResponse = await handler(request)
        except Refusal as refusal:
            return web.json_response(refusal.body, status=refusal.status)
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
async def running(kind: type[S], port: int = 0) -> AsyncIterator[S]:
    """A provider of this kind while the context lasts."""
    sock = socket.create_server(("127.0.0.1", port))
    server = kind(f"http://127.0.0.1:{sock.getsockname()[1]}")
    app = web.Application(middlewares=[server.middleware])
    app.add_routes(server.routes())
    runner = web.AppRunner(app, shutdown_timeout=0.1, access_log=None)
    await runner.setup()
    await web.SockSite(runner, sock).start()
    try:
        yield server
    finally:
        for event in (server.released, server.door, server.gate):
            event.set()
        await runner.cleanup()


def check(*, is_good: bool, status: int, body: Any) -> None:
    """Refuse what is not good."""
    if not is_good:
        raise Refusal(status, body)
