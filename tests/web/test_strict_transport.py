"""`Strict-Transport-Security` on every answer, or on none."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from aiohttp import web

from core.errors import NotFound
from core.settings import Settings
from redirector.answers import Redirect
from tests import lanes
from web import fastlane, problem
from web.fastlane import FastLane

VALUE = "max-age=300; includeSubDomains"
LINE = f"Strict-Transport-Security: {VALUE}\r\n".encode()
SETTINGS = Settings(database_url="postgresql://x", redis_url="redis://x", queue_url="redis://x")


async def answer(request: web.BaseRequest) -> web.StreamResponse:
    match request.path:
        case "/plain":
            return web.Response(text="a")
        case "/redirect":
            return Redirect(302, b"https://example.com/", "no-referrer")
        case "/fault":
            raise ZeroDivisionError
        case _:
            return problem.problem(NotFound())


def take(connection: FastLane, chunk: bytes) -> bool:
    """The fast lane of this server: an answer, and a refusal."""
    if chunk.startswith(b"GET /fast "):
        connection.answer(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n")
        return True
    if chunk.startswith(b"GET /refused "):
        connection.answer(*fastlane.serialize(problem.problem(NotFound())))
        return True
    return False


@pytest.fixture(params=["", VALUE])
async def heard(request: pytest.FixtureRequest) -> AsyncIterator[tuple[str, lanes.Speaker]]:
    chosen = msgspec.structs.replace(SETTINGS, strict_transport_security=request.param)
    async with lanes.speaking(answer, chosen, fastlane.protocol(take)) as speaker:
        yield request.param, speaker


@pytest.mark.parametrize(
    "path", ["plain", "redirect", "fault", "none", "fast", "refused", "bad head"]
)
async def test_every_answer_has_it_once_or_not_at_all(
    heard: tuple[str, lanes.Speaker], path: str
) -> None:
    value, speaker = heard
    reader, writer = await asyncio.open_connection("127.0.0.1", speaker.port)
    writer.write(f"GET /{path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
    head = await reader.readuntil(b"\r\n\r\n")
    writer.close()
    assert head.count(LINE) == (1 if value else 0), head
    assert head.lower().count(b"strict-transport") == (1 if value else 0)
