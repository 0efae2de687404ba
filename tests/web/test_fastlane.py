"""The fast lane's own rules about connections, with a hot route that answers when it is told to."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import NamedTuple

import pytest
from aiohttp import web

from core.settings import Settings
from tests import lanes
from tests.lanes import Piece, Speaker
from web import fastlane
from web.fastlane import FastLane

HOT = b"GET /hot HTTP/1.1\r\nHost: x\r\n\r\n"
FAULTY = b"GET /faulty HTTP/1.1\r\nHost: x\r\n\r\n"
OTHER = b"GET /other HTTP/1.1\r\nHost: x\r\n\r\n"


class Place(NamedTuple):
    """A server, and the connections that wait for `answer`."""

    speaker: Speaker
    waiting: list[FastLane]

    def answer(self) -> None:
        """Answer them all, as a batch does that was recorded."""
        waiting, self.waiting[:] = self.waiting[:], []
        for connection in waiting:
            connection.answer(b"HTTP/1.1 204 No Content\r\n")


@pytest.fixture
async def place() -> AsyncIterator[Place]:
    waiting: list[FastLane] = []

    def take(connection: FastLane, chunk: bytes) -> bool:
        if chunk == FAULTY:
            raise RuntimeError
        if chunk == HOT:
            connection.begin()
            waiting.append(connection)
        return chunk == HOT

    async def answer(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(body=b"other")

    settings = Settings(
        database_url="postgresql://nowhere/", redis_url="redis://nowhere", queue_url="redis://none"
    )
    async with lanes.speaking(answer, settings, fastlane.protocol(take)) as speaker:
        yield Place(speaker, waiting)


async def test_answers_keep_the_order_of_their_requests(place: Place) -> None:
    line = await place.speaker.call()
    await line.say(Piece(HOT, "read"))
    await line.say(Piece(OTHER + HOT, "read"))
    await line.say(Piece(OTHER, "at once"))
    assert line.data == b""
    place.answer()
    await line.rest()
    assert (await line.end()).statuses == [204, 200, 200, 200]


async def test_while_an_answer_is_due_one_chunk_is_held_and_the_rest_not_read(place: Place) -> None:
    line = await place.speaker.call()
    await line.say(Piece(HOT, "read"))
    await line.say(Piece(HOT, "read"))
    assert isinstance(line.protocol, FastLane)
    assert line.protocol._held == HOT
    transport = line.protocol.transport
    assert transport is not None
    assert not transport.is_reading()
    await line.say(Piece(HOT, "at once"))
    for _ in range(3):
        await lanes.until(lambda: len(place.waiting) == 1)
        place.answer()
    await line.rest()
    assert transport.is_reading()
    assert (await line.end()).statuses == [204, 204, 204]


async def test_fault_in_what_was_held_ends_only_its_own_connection(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    faulty, well = await place.speaker.call(), await place.speaker.call()
    for line in (faulty, well):
        await line.say(Piece(HOT, "read"))
    await faulty.say(Piece(FAULTY, "read"))
    place.answer()
    await faulty.is_over()
    await well.rest()
    assert (await faulty.end()) == lanes.Said(faulty.data, is_open=False)
    assert (await well.end()).statuses == [204]
    assert [record.message for record in caplog.records] == ["a connection failed"]


@pytest.mark.parametrize(
    ("chunk", "is_whole"),
    [
        (HOT, True),
        (HOT * 2, False),
        (HOT[:-1], False),
        (HOT + b"x", False),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab", True),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\na", False),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nabc", False),
        (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: \xb2\r\n\r\nab", False),
        (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", False),
        (b"CONNECT /x HTTP/1.1\r\nHost: x\r\n\r\n", False),
        (b"GET / HTTP/1.1\r\n\r\n", False),
        (b"", False),
    ],
)
def test_only_a_chunk_that_ends_with_its_request_is_whole(chunk: bytes, is_whole: bool) -> None:  # noqa: FBT001 - a parameter
    assert fastlane.is_whole(chunk) is is_whole
