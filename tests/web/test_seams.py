"""What the fast lane relies on in aiohttp and that aiohttp does not promise.

If one of these fails with a new aiohttp, `web/fastlane.py` must be read again before the pin is
moved.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import NamedTuple

import msgspec
import pytest
from aiohttp import http_parser, web
from aiohttp.web_protocol import RequestHandler

from core.settings import Settings
from tests import lanes
from tests.lanes import Line, Piece, Speaker, until
from web import fastlane, server

SETTINGS = Settings(
    database_url="postgresql://nowhere/", redis_url="redis://nowhere", queue_url="redis://nowhere"
)
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


class Watched(server.Protocol):
    """Remembers what aiohttp has called."""

    __slots__ = ("chunks", "timers")

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.chunks: list[int] = []
        self.timers = 0
        super().connection_made(transport)

    def data_received(self, data: bytes) -> None:
        self.chunks.append(len(data))
        super().data_received(data)

    def _process_keepalive(self) -> None:
        self.timers += 1
        super()._process_keepalive()


class Place(NamedTuple):
    """A server whose answers wait at a gate."""

    speaker: Speaker
    gate: asyncio.Event

    async def call(self) -> tuple[Line, Watched]:
        line = await self.speaker.call()
        assert isinstance(line.protocol, Watched)
        return line, line.protocol


async def serving(keepalive_timeout_s: float = 60) -> AsyncIterator[Place]:
    gate = asyncio.Event()
    gate.set()

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        await gate.wait()
        return web.Response(body=b"a" * 1_000)

    chosen = msgspec.structs.replace(SETTINGS, keepalive_timeout_s=keepalive_timeout_s)
    async with lanes.speaking(answer, chosen, Watched) as speaker:
        yield Place(speaker, gate)


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    async for made in serving():
        yield made


@pytest.fixture
async def hasty() -> AsyncIterator[Place]:
    async for made in serving(keepalive_timeout_s=0.05):
        yield made


def test_names_are_there() -> None:
    for name in (
        *("_waiter", "_messages", "_upgraded", "_paused", "_close", "_force_close", "_manager"),
        *("_next_keepalive_close_time", "_keepalive_timeout", "_process_keepalive", "_loop"),
        *("_pause_transport_reading", "_resume_transport_reading", "transport", "force_close"),
    ):
        assert hasattr(RequestHandler, name), name
        assert name not in fastlane.FastLane.__slots__


def test_parser_is_the_one_that_the_lanes_are_compared_on() -> None:
    assert http_parser.HttpRequestParser.__module__ == "aiohttp._http_parser"


async def test_idle_connection_waits_and_a_busy_one_does_not(place: Place) -> None:
    line, protocol = await place.call()
    await until(lambda: protocol._waiter is not None)
    place.gate.clear()
    await line.say(Piece(GET, "read"))
    await until(lambda: protocol._current_request is not None)
    assert protocol._waiter is None
    await line.say(Piece(GET, "read"))
    assert len(protocol._messages) == 1
    place.gate.set()
    await line.rest()
    assert protocol._waiter is not None
    assert not protocol._waiter.done()
    assert not protocol._messages
    assert (await line.end()).statuses == [200, 200]


async def test_connection_in_the_middle_of_a_head_waits_as_an_idle_one_does(place: Place) -> None:
    line, protocol = await place.call()
    await line.say(Piece(GET[:-1]))
    assert protocol._waiter is not None
    assert not protocol._waiter.done()
    assert not protocol._messages
    await line.say(Piece(GET[-1:]))
    assert (await line.end()).statuses == [200]


async def test_declined_upgrade_shows_until_it_is_answered(place: Place) -> None:
    line, protocol = await place.call()
    place.gate.clear()
    upgrade = GET[:-2] + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    await line.say(Piece(upgrade, "read"))
    await until(lambda: protocol._current_request is not None)
    assert protocol._upgraded
    place.gate.set()
    await line.rest()
    assert not protocol._upgraded
    assert (await line.end()).statuses == [200]


async def test_bytes_that_were_kept_are_gone_on_with_by_an_empty_chunk(place: Place) -> None:
    line, protocol = await place.call()
    await line.say(Piece(GET * 80))
    assert 0 in protocol.chunks
    assert (await line.end()).statuses == [200] * 80


async def test_transport_stops_and_goes_on_reading(place: Place) -> None:
    line, protocol = await place.call()
    protocol._pause_transport_reading()
    sent = asyncio.create_task(line.say(Piece(GET)))
    await place.speaker.hear([Piece(GET)])
    assert not protocol.chunks
    protocol._resume_transport_reading()
    assert await sent
    assert protocol.chunks == [len(GET)]
    assert (await line.end()).statuses == [200]


async def test_client_that_does_not_read_shows_as_a_pause(place: Place) -> None:
    line, protocol = await place.call()
    protocol.pause_writing()
    assert protocol._paused
    place.gate.clear()
    await line.say(Piece(GET, "read"))
    place.gate.set()
    await until(lambda: protocol._drain_waiter is not None)
    protocol.resume_writing()
    assert not protocol._paused
    await line.rest()
    assert (await line.end()).statuses == [200]


async def test_end_of_a_connection_shows(place: Place) -> None:
    line, protocol = await place.call()
    await line.say(Piece(GET))
    assert not protocol._close
    assert isinstance(protocol._manager, server.Server)
    protocol.close()
    assert protocol._close
    assert not protocol._force_close
    protocol.force_close()
    assert protocol._force_close
    assert protocol.transport is None
    await line.end()
    await until(lambda: protocol._manager is None)


async def test_idle_time_counts_to_the_moment_that_was_set_last(hasty: Place) -> None:
    line, protocol = await hasty.call()
    protocol._next_keepalive_close_time = protocol._loop.time() + 0.2
    await until(lambda: protocol.transport is None)
    assert protocol._loop.time() >= protocol._next_keepalive_close_time
    assert protocol.timers == 2
    assert not (await line.end()).is_open
