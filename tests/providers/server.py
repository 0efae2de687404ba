"""What the local providers share: an authorization server as RFC 6749 and RFC 7636 describe it.

It checks the client, the redirect URI and the verifier, and gives each code out once. The person
agrees at once, or declines; `faults` are answers that the next requests get instead.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import secrets
import socket
import time
from collections.abc import AsyncIterator, Mapping
from typing import Any, NamedTuple, TypeVar
from urllib.parse import unquote, urlencode

import msgspec
from aiohttp import web

CLIENT_ID = "stampgate-client"
CLIENT_SECRET = "a-secret-with/and:and%in-it"
CODE_TTL_S = 60


class Person(msgspec.Struct, kw_only=True):
    """Who sits at the browser."""

    id: str = "10769150350006150715113082367"
    name: str | None = "Asha Rao"
    mail: str | None = "asha@example.test"
    is_mail_verified: bool = True


class Grant(msgspec.Struct):
    """What a code or a token stands for."""

    person: Person
    redirect_uri: str
    challenge: str
    nonce: str
    scope: str
    expires: float


class Fault(NamedTuple):
    """An answer that the next request gets instead; `is_cut` leaves half of the body out."""

    status: int = 500
    body: bytes = b"<h1>Service unavailable</h1>"
    is_cut: bool = False
    is_hanging: bool = False


class Refusal(Exception):
    """An OAuth error answer."""

    def __init__(self, error: str, status: int = 400) -> None:
        self.error = error
        self.status = status


class Server:
    """One provider. `url` is where it listens; `asked` lists the paths that were asked for."""

    authorize_path = "/authorize"
    token_path = "/token"
    is_secret_needed = True

    def __init__(self, url: str) -> None:
        self.url = url
        self.redirect_uris: set[str] = set()
        self.person = Person()
        self.is_declined = False
        self.faults: dict[str, list[Fault]] = {}
        self.asked: list[str] = []
        self.codes: dict[str, Grant] = {}
        self.access_tokens: dict[str, Grant] = {}
        self.refresh_tokens: dict[str, Grant] = {}
        self.last_authorization: dict[str, str] = {}
        self.released = asyncio.Event()
        self.was_asked = asyncio.Event()

    def routes(self) -> list[web.RouteDef]:
        return [
            web.get(self.authorize_path, self.authorize),
            web.post(self.token_path, self.token),
        ]

    def config(self) -> dict[str, Any]:
        """The provider's section in our providers file."""
        raise NotImplementedError

    @web.middleware
    async def middleware(self, request: web.Request, handler: Any) -> web.StreamResponse:
        self.asked.append(request.path)
        self.was_asked.set()
        faults = self.faults.get(request.path)
        if faults:
            return await self._fail(request, faults.pop(0))
        try:
            response: web.StreamResponse = await handler(request)
        except Refusal as refusal:
            return self.refuse(refusal)
        return response

    async def _fail(self, request: web.Request, fault: Fault) -> web.StreamResponse:
        if fault.is_hanging:
            await self.released.wait()
        if not fault.is_cut:
            return web.Response(
                status=fault.status, body=fault.body, content_type="application/json"
            )
        response = web.StreamResponse(status=fault.status)
        response.content_length = 2 * len(fault.body)
        await response.prepare(request)
        await response.write(fault.body)
        assert request.transport is not None
        request.transport.close()
        return response

    def refuse(self, refusal: Refusal) -> web.Response:
        """RFC 6749 §5.2."""
        body = {"error": refusal.error, "error_description": "no"}
        return web.json_response(body, status=refusal.status)

    async def authorize(self, request: web.Request) -> web.Response:
        query = dict(request.query)
        self.last_authorization = query
        redirect_uri = query.get("redirect_uri", "")
        # RFC 6749 §4.1.2.1: an address that is not registered is never redirected to.
        if query.get("client_id") != CLIENT_ID or redirect_uri not in self.redirect_uris:
            raise web.HTTPBadRequest(text="unknown client or redirect_uri")
        if query.get("response_type") != "code" or not query.get("state"):
            raise web.HTTPBadRequest(text="no code flow")
        if query.get("code_challenge_method") != "S256" or len(query["code_challenge"]) != 43:
            raise web.HTTPBadRequest(text="no S256 challenge")
        if self.is_declined:
            return _back(redirect_uri, {"error": "access_denied", "state": query["state"]})
        code = f"4/0A{secrets.token_urlsafe(24)}"
        self.codes[code] = Grant(
            msgspec.structs.replace(self.person),
            redirect_uri,
            query["code_challenge"],
            query.get("nonce", ""),
            query["scope"],
            time.time() + CODE_TTL_S,
        )
        return _back(redirect_uri, {"code": code, "state": query["state"]})

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        self.check_client(request, form)
        match form.get("grant_type"):
            case "authorization_code":
                return web.json_response(self.first_tokens(self.redeem(form)))
            case "refresh_token":
                return web.json_response(self.later_tokens(form.get("refresh_token", "")))
            case _:
                raise Refusal("unsupported_grant_type")

    def check_client(self, request: web.Request, form: Mapping[str, str]) -> None:
        """The client is known, by a secret in the form or in the header, or has none."""
        given = (form.get("client_id"), form.get("client_secret"))
        if (header := request.headers.get("Authorization")) is not None:
            given = _basic(header)
        if given[0] != CLIENT_ID or form.get("client_id", CLIENT_ID) != CLIENT_ID:
            raise Refusal("invalid_client", 401)
        if given[1] != (CLIENT_SECRET if self.is_secret_needed or given[1] else None):
            raise Refusal("invalid_client", 401)

    def redeem(self, form: Mapping[str, str]) -> Grant:
        """What the code stands for, once; a bad attempt uses it up too."""
        grant = self.codes.pop(form.get("code", ""), None)
        if grant is None or grant.expires < time.time():
            raise Refusal("invalid_grant")
        if form.get("redirect_uri") != grant.redirect_uri:
            raise Refusal("invalid_grant")
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        if base64.urlsafe_b64encode(digest).rstrip(b"=").decode() != grant.challenge:
            raise Refusal("invalid_grant")
        return grant

    def first_tokens(self, grant: Grant) -> dict[str, Any]:
        """The answer to a good code."""
        return {
            **self._access(grant),
            "refresh_token": self.keep(self.refresh_tokens, grant),
        }

    def later_tokens(self, refresh_token: str) -> dict[str, Any]:
        """The answer to a good refresh token."""
        grant = self.refresh_tokens.get(refresh_token)
        if grant is None:
            raise Refusal("invalid_grant")
        return self._access(grant)

    def _access(self, grant: Grant) -> dict[str, Any]:
        return {
            "access_token": self.keep(self.access_tokens, grant),
            "token_type": "Bearer",
            "expires_in": 3600,
            "scope": grant.scope,
        }

    @staticmethod
    def keep(where: dict[str, Grant], grant: Grant) -> str:
        token = secrets.token_urlsafe(32)
        where[token] = grant
        return token

    def bearer(self, request: web.Request) -> Grant:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        grant = self.access_tokens.get(token)
        if kind != "Bearer" or grant is None:
            raise Refusal("invalid_token", 401)
        return grant


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


def _back(redirect_uri: str, values: Mapping[str, str]) -> web.Response:
    joint = "&" if "?" in redirect_uri else "?"
    return web.Response(
        status=302, headers={"Location": f"{redirect_uri}{joint}{urlencode(values)}"}
    )


def _basic(header: str) -> tuple[str | None, str | None]:
    kind, _, encoded = header.partition(" ")
    if kind != "Basic":
        return None, None
    client_id, _, client_secret = base64.b64decode(encoded).decode().partition(":")
    return unquote(client_id), unquote(client_secret)
