"""Our providers, set up for the local ones, and a client that gives up soon."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any, NamedTuple

import aiohttp
import msgspec
import pytest
import uvloop
from yarl import URL

from core.http import HttpRequest, HttpResponse
from core.providers.social import builtin, flow
from core.providers.social.flow import Ask, Proven, Reply, SocialProvider
from tests.providers import server
from tests.providers.facebook import Facebook
from tests.providers.google import Google
from tests.providers.server import Server
from tests.providers.spotify import Spotify
from web.outbound import Outbound

KINDS: dict[str, type[Server]] = {"google": Google, "spotify": Spotify, "facebook": Facebook}
CALLBACK = "https://gate.example.test/v1/auth/oauth/callback"
STATE = flow.secret(b"s" * 32)
NONCE = flow.secret(b"n" * 32)
VERIFIER = flow.secret(b"v" * 32)
PATIENCE_S = 20.0
#: With a server that is known to keep silent.
SILENCE_S = 0.3


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What production runs on."""
    return {"uvloop": uvloop.new_event_loop}


class Setup(NamedTuple):
    """A provider of ours, the server that it speaks to, and the client between them."""

    ours: SocialProvider
    theirs: Server
    outbound: Outbound

    async def send(self, request: HttpRequest) -> HttpResponse:
        faults = [fault for faults in self.theirs.faults.values() for fault in faults]
        is_silent = any(fault.is_hanging for fault in faults)
        timeout_s = SILENCE_S if is_silent else PATIENCE_S
        return await self.outbound.send(msgspec.structs.replace(request, timeout_s=timeout_s))

    async def code(self) -> str:
        """What the browser brings back."""
        ask = Ask(CALLBACK, STATE, NONCE, flow.challenge(VERIFIER))
        brought = await browse(self.ours.authorize_url(ask))
        assert brought["state"] == STATE
        return brought["code"]

    async def prove(self, code: str, **changes: Any) -> Proven:
        reply = Reply(code, CALLBACK, VERIFIER, NONCE, now_s())
        return await self.ours.prove(self.send, reply._replace(**changes))

    async def sign_in(self) -> Proven:
        return await self.prove(await self.code())


def now_s() -> int:
    return int(time.time())


async def browse(url: str) -> dict[str, str]:
    """Agree, and read what is brought back."""
    async with (
        aiohttp.ClientSession() as browser,
        browser.get(URL(url, encoded=True), allow_redirects=False) as response,
    ):
        assert response.status == 302, await response.text()
        target = URL(response.headers["Location"], encoded=True)
    assert str(target.with_query(None)) == CALLBACK
    return dict(target.query)


@pytest.fixture(params=KINDS)
async def setup(request: pytest.FixtureRequest) -> AsyncIterator[Setup]:
    """Each provider in turn, or the one that the test names."""
    async with server.running(KINDS[request.param]) as theirs:
        theirs.redirect_uris.add(CALLBACK)
        ours = builtin.make({request.param: theirs.config()})[request.param]
        outbound = Outbound(allow="127.0.0.1")
        yield Setup(ours, theirs, outbound)
        await outbound.close()
