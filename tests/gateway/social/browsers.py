"""A browser between an app, the gateway and a provider, all on this machine.

The gateway has a public name that does not resolve here: the browser knows where that really is.
"""

from __future__ import annotations

import secrets
from http.cookies import SimpleCookie
from typing import NamedTuple

import aiohttp
import msgspec
from multidict import CIMultiDictProxy
from yarl import URL

from core.providers.social import flow
from tests.gateway.conftest import Answer, Client, bearer

PUBLIC = "https://gate.example.test"
APP = "https://app.example.test/signed-in?tab=1"


class Went(NamedTuple):
    """One answer that a browser got."""

    status: int
    headers: CIMultiDictProxy[str]
    location: str
    cookie: str
    body: bytes

    @property
    def target(self) -> URL:
        return URL(self.location, encoded=True)

    @property
    def code(self) -> str:
        """The word of a problem."""
        return str(msgspec.json.decode(self.body)["code"])


class Browser:
    """Keeps cookies as a browser does, also those that want https."""

    def __init__(self, session: aiohttp.ClientSession, gateway: str) -> None:
        self.session = session
        self.gateway = gateway
        self.cookies: dict[str, str] = {}

    async def go(self, url: str) -> Went:
        """Ask for an address and do not follow where the answer leads."""
        is_ours = url.startswith(PUBLIC)
        real = url.replace(PUBLIC, self.gateway, 1)
        cookies = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        headers = {"Cookie": cookies} if is_ours and cookies else {}
        async with self.session.get(
            URL(real, encoded=True), headers=headers, allow_redirects=False
        ) as response:
            body = await response.read()
            cookie = response.headers.get("Set-Cookie", "")
            if is_ours:
                self.cookies |= {name: one.value for name, one in SimpleCookie(cookie).items()}
            location = response.headers.get("Location", "")
            return Went(response.status, response.headers, location, cookie, body)


class Attempt:
    """One sign-in of an app: its verifier and its state."""

    def __init__(self, browser: Browser, program_id: str, provider: str) -> None:
        self.browser = browser
        self.program_id = program_id
        self.provider = provider
        self.verifier = flow.secret(secrets.token_bytes(32))
        self.app_state = "state & of the app"

    def start_url(self, **changes: str | None) -> str:
        values = {
            "program": self.program_id,
            "redirect_uri": APP,
            "code_challenge": flow.challenge(self.verifier),
            "state": self.app_state,
            **changes,
        }
        query = {name: value for name, value in values.items() if value is not None}
        return flow.with_query(f"{PUBLIC}/v1/auth/oauth/{self.provider}/start", query)

    async def to_provider(self) -> str:
        """Where `start` sends the browser."""
        went = await self.browser.go(self.start_url())
        assert went.status == 302, went.body
        return went.location

    async def to_callback(self) -> str:
        """Where the provider sends it then."""
        went = await self.browser.go(await self.to_provider())
        assert went.status == 302, went.body
        assert went.location.startswith(f"{PUBLIC}/v1/auth/oauth/{self.provider}/callback?")
        return went.location

    async def to_app(self) -> dict[str, str]:
        """What the app is told in the end."""
        return self.told(await self.browser.go(await self.to_callback()))

    def told(self, went: Went) -> dict[str, str]:
        assert went.status == 302, went.body
        target = went.target
        assert str(target.with_query(None)) == APP.partition("?")[0]
        values = dict(target.query)
        assert (values.pop("tab"), values.pop("state")) == ("1", self.app_state)
        return values

    async def code(self) -> str:
        told = await self.to_app()
        assert list(told) == ["code"]
        return told["code"]

    async def redeem(self, code: str, **changes: str | None) -> Answer:
        program = changes.pop("program", self.program_id)
        body = {"code": code, "code_verifier": self.verifier, **changes}
        caller = Client(self.browser.session, self.browser.gateway, {})
        return await caller.post("/v1/auth/oauth/redeem", body, Stampgate_Program=program)

    async def member(self) -> Client:
        """Sign in; the caller that one is then."""
        answer = await self.redeem(await self.code())
        assert answer.status == 200, answer.body
        return Client(
            self.browser.session, self.browser.gateway, bearer(answer.body["access_token"])
        )
