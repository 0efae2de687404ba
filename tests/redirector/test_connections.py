"""Connections with clients that are slow, idle, half closed or gone, and at the stop, in both
lanes."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import struct
from collections.abc import Iterator

from prometheus_client import REGISTRY

from db.redis import Connection
from deploy.local.redis_server import Redis
from tests.lanes import BOTH_LANES, Line, Piece, Speaker, until
from tests.redirector.conftest import Publish, Redirector, Start, recorded
from tests.redirector.test_lanes import HALF, PLAIN
from web import metrics
from web.fastlane import FastLane

pytestmark = BOTH_LANES

WRITE_BUFFER_MAX = 256 * 1024
READ_BUFFER_MAX = 512 * 1024


@contextlib.contextmanager
def stalled(redis_server: Redis) -> Iterator[None]:
    """Redis does not answer."""
    assert redis_server.process is not None
    redis_server.process.send(signal.SIGSTOP)
    try:
        yield
    finally:
        redis_server.process.send(signal.SIGCONT)


async def begun(speaker: Speaker) -> Line:
    """A connection with a request that has been accepted and waits for Redis."""
    line = await speaker.call()
    await line.say(Piece(PLAIN, "read"))
    await until(lambda: is_under_way(line))
    return line


def is_under_way(line: Line) -> bool:
    return bool(getattr(line.protocol, "_is_busy", False)) or line.protocol._request_in_progress


async def test_client_that_never_reads_is_not_buffered_without_bound(
    redirector: Redirector, publish: Publish
) -> None:
    await publish("demo")
    await redirector.get("/r/demo")
    line = await redirector.speaker.call()
    line.hears.cancel()
    transport = line.protocol.transport
    assert transport is not None
    between = transport.get_extra_info("socket")
    buffer(line.sock, between, 32 * 1024)
    buffer(between, line.sock, 64 * 1024)
    sent = await flood(line)
    assert transport.get_write_buffer_size() > 0
    assert transport.get_write_buffer_size() < WRITE_BUFFER_MAX
    assert len(line.protocol._messages) <= 64
    if isinstance(line.protocol, FastLane):
        assert len(line.protocol._held) < READ_BUFFER_MAX
    buffer(line.sock, between, 1024 * 1024)
    line.hears = asyncio.create_task(line.hear())
    await line.rest()
    assert (await line.end()).statuses == [302] * (sent // len(PLAIN))


def buffer(reader: socket.socket, writer: socket.socket, size: int) -> None:
    """How much the kernel keeps of what is on its way, on either side."""
    reader.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, size)
    writer.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)


async def flood(line: Line) -> int:
    """Send until the server's writing is paused and nothing more is taken; how many bytes were."""
    sent = since = 0
    while since < 500 or not line.protocol._paused:
        try:
            sent += line.sock.send(PLAIN[sent % len(PLAIN) :])
            since = 0
        except BlockingIOError:
            since += 1
        await asyncio.sleep(0 if since < 400 else 0.001)
    return sent


async def test_idle_connection_is_closed(start: Start, publish: Publish) -> None:
    await publish("demo")
    redirector = await start(keepalive_timeout_s=0.2)
    await redirector.get("/r/demo")
    for pieces in ([], [Piece(PLAIN)], [Piece(PLAIN), Piece(PLAIN)], [Piece(PLAIN), Piece(HALF)]):
        line = await redirector.speaker.call()
        # On a busy machine it may have been idle for too long already between two pieces.
        heard = [await line.say(piece) for piece in pieces]
        await line.is_over()
        said = await line.end()
        assert not said.is_open
        asked = [piece.data == PLAIN for piece in pieces]
        least = sum(map(min, heard, asked))
        assert said.statuses == [302] * len(said.statuses)
        assert least <= len(said.statuses) <= sum(asked)


async def test_connection_that_waits_for_its_answer_is_not_idle(
    start: Start, publish: Publish, redis_server: Redis
) -> None:
    await publish("demo")
    redirector = await start(keepalive_timeout_s=0.1, click_deadline_ms=20_000)
    await redirector.get("/r/demo")
    with stalled(redis_server):
        line = await begun(redirector.speaker)
        ends = line.protocol._loop.time() + 0.3
        await until(lambda: line.protocol._loop.time() > ends)
        assert line.protocol.transport is not None
    await line.is_over()
    assert (await line.end()).statuses == [302]


async def test_stop_answers_what_was_accepted_and_ends_its_connection(
    start: Start, publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    await publish("demo")
    redirector = await start(click_deadline_ms=20_000)
    await redirector.get("/r/demo")
    with stalled(redis_server):
        lines = [await begun(redirector.speaker) for _ in range(3)]
        stopping = asyncio.create_task(redirector.speaker.stop())
        await until(lambda: all(line.protocol._close for line in lines))
    await stopping
    for line in lines:
        await line.is_over()
        said = await line.end()
        assert said.statuses == [302]
        assert b"\r\nConnection: close\r\n" in said.data
    assert len(await recorded(connection)) == 4


async def test_request_on_an_open_connection_is_told_that_it_is_the_last(
    redirector: Redirector, publish: Publish, redis_server: Redis
) -> None:
    await publish("demo")
    await redirector.get("/r/demo")
    idle, waiting = await redirector.speaker.call(), await redirector.speaker.call()
    await idle.say(Piece(PLAIN))
    with stalled(redis_server):
        await waiting.say(Piece(PLAIN, "read"))
        await until(lambda: is_under_way(waiting))
        redirector.speaker.server.is_stopping = True
    await idle.say(Piece(PLAIN))
    for line, count in ((idle, 2), (waiting, 1)):
        await line.is_over()
        said = await line.end()
        assert said.statuses == [302] * count
        assert said.data.count(b"\r\nConnection: close\r\n") == 1
        assert not said.is_open


async def test_client_that_is_gone_before_its_answer_harms_nobody(
    start: Start, publish: Publish, connection: Connection, redis_server: Redis
) -> None:
    await publish("demo")
    redirector = await start(click_deadline_ms=20_000)
    await redirector.get("/r/demo")
    with stalled(redis_server):
        lines = [await begun(redirector.speaker) for _ in range(4)]
        for line, ending in zip(lines, ("reset", "close", "half", "garbage"), strict=True):
            await leave(line, ending)
        await until(lambda: all(is_gone(line) for line in lines[:3]))
        patient = await begun(redirector.speaker)
    await patient.rest()
    assert (await patient.end()).statuses == [302]
    for line in lines:
        await line.is_over()
        await line.end()
    assert len(await recorded(connection)) == 6
    assert all(is_gone(line) for line in lines)


async def leave(line: Line, ending: str) -> None:
    """Leave, or stay with something that no request is."""
    match ending:
        case "reset":
            line.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            line.hears.cancel()
            await line.is_over()
            line.sock.close()
        case "close":
            line.sock.shutdown(socket.SHUT_RDWR)
        case "half":
            line.sock.shutdown(socket.SHUT_WR)
        case _:
            line.sock.send(b"\x00\x01\r\n\r\n")


def is_gone(line: Line) -> bool:
    return line.protocol.transport is None


async def test_lanes_count_the_same(redirector: Redirector, publish: Publish) -> None:
    await publish("demo")
    await redirector.get("/r/demo")
    names = {
        "stampgate_http_requests_total": {
            "app": "redirector",
            "route": "redirect",
            "status": "302",
        },
        "stampgate_http_request_seconds_count": {"app": "redirector", "route": "redirect"},
        "stampgate_clicks_total": {"class": "human"},
        "stampgate_clicks_recorded_total": {"outcome": "redis"},
        "stampgate_link_cache_lookups_total": {"outcome": "hit"},
    }

    def counted() -> list[float]:
        metrics.publish(redirector.state._tallies)
        return [REGISTRY.get_sample_value(name, labels) or 0 for name, labels in names.items()]

    before = counted()
    for _ in range(5):
        await redirector.speaker.hear([Piece(PLAIN)])
    await redirector.speaker.hear([Piece(PLAIN.replace(b"GET", b"HEAD"))])
    after = [new - old for new, old in zip(counted(), before, strict=True)]
    assert after == [6, 6, 5, 5, 6]
