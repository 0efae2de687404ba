"""An HTTP client that asks again until it has an answer, each time with the same key."""

from __future__ import annotations

import asyncio
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, NamedTuple, TypeVar

import aiohttp
import msgspec

T = TypeVar("T")

#: For whoever was killed to come back.
PATIENCE_S: Final = 45.0
PAUSE_S: Final = 0.1
TIMEOUT: Final = aiohttp.ClientTimeout(total=10.0)


class Reply(NamedTuple):
    """A whole answer; a body that is JSON is decoded."""

    status: int
    headers: Mapping[str, str]
    body: Any


class Surprise(Exception):
    """An answer that must not be given."""


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | None = None,
) -> Reply:
    """Send a request until it is answered by something else than to come again; TimeoutError."""
    deadline, problem = time.monotonic() + PATIENCE_S, ""
    while time.monotonic() < deadline:
        try:
            async with session.request(
                method, url, headers=headers, data=body, allow_redirects=False, timeout=TIMEOUT
            ) as answer:
                raw = await answer.read()
                is_json = answer.content_type.endswith(("/json", "+json"))
                decoded = msgspec.json.decode(raw) if is_json and raw else raw
                reply = Reply(answer.status, answer.headers, decoded)
                if not is_passing(reply):
                    return reply
                problem = repr(raw[:200])
        except (aiohttp.ClientError, TimeoutError) as error:
            problem = repr(error)
        await asyncio.sleep(PAUSE_S)
    message = f"{method} {url} was not answered: {problem}"
    raise TimeoutError(message)


def is_passing(reply: Reply) -> bool:
    """Whether to ask again: somebody is away, or an earlier try has not ended."""
    return reply.status == 503 or (
        reply.status == 409 and reply.body.get("code") == "request_in_flight"
    )


async def until(look: Callable[[], Awaitable[T | None]], what: str) -> T:
    """What `look` finds, as soon as that is something; TimeoutError."""
    deadline = time.monotonic() + PATIENCE_S
    while (found := await look()) is None:
        if time.monotonic() > deadline:
            message = f"waited {PATIENCE_S} s in vain until {what}"
            raise TimeoutError(message)
        await asyncio.sleep(PAUSE_S)
    return found


class Caller:
    """Somebody who calls the API: with a token, or for a program."""

    def __init__(
        self, session: aiohttp.ClientSession, url: str, *, token: str = "", program: str = ""
    ) -> None:
        self._session = session
        self._url = url
        self.token = token
        self._headers = {"Content-Type": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        if program:
            self._headers["Stampgate-Program"] = program

    async def call(self, method: str, path: str, body: object = None) -> Reply:
        """Ask for something once, however often it takes."""
        headers = {**self._headers, "Idempotency-Key": uuid.uuid4().hex}
        packed = None if body is None else msgspec.json.encode(body)
        return await ask(self._session, method, self._url + path, headers, packed)

    async def get(self, path: str) -> Any:
        """What is there."""
        return self._good(path, await self.call("GET", path))

    async def post(self, path: str, body: object) -> Any:
        """What came of it."""
        return self._good(path, await self.call("POST", path, body))

    async def put(self, path: str, body: object) -> Any:
        """What is there then."""
        return self._good(path, await self.call("PUT", path, body))

    async def patch(self, path: str, body: object) -> Any:
        """What is there then."""
        return self._good(path, await self.call("PATCH", path, body))

    def as_bearer(self, token: str) -> Caller:
        """Somebody else, who holds this token."""
        return Caller(self._session, self._url, token=token)

    def _good(self, path: str, reply: Reply) -> Any:
        if reply.status >= 300:
            raise Surprise(f"{path}: {reply.status} {reply.body!r}")
        return reply.body
