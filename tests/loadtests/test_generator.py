"""The generator against a small server of this process."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest

from loadtests import generator, measured
from loadtests.generator import Target
from loadtests.measured import Measured

REQUEST = b"GET /%d HTTP/1.1\r\nHost: localhost\r\n\r\n"
FOUND = b"HTTP/1.1 302 Found\r\nContent-Length: 0\r\n\r\n"
Answer = Callable[[int], Awaitable[bytes]]


async def found(_number: int) -> bytes:
    return FOUND


@asynccontextmanager
async def server(answer: Answer) -> AsyncIterator[tuple[int, list[int]]]:
    """A server's port, and the numbers that it was asked for; an empty answer hangs up."""
    asked: list[int] = []
    serving: list[asyncio.Task[None] | None] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving.append(asyncio.current_task())
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                number = re.match(rb"GET /(\d+)", head)
                assert number is not None
                asked.append(int(number[1]))
                reply = await answer(asked[-1])
                if not reply:
                    break
                for part in (reply[:20], reply[20:]):
                    writer.write(part)
                    await asyncio.sleep(0)
                if b"Connection: close" in reply:
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    listening = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with listening:
        yield listening.sockets[0].getsockname()[1], asked
        # Who called last is let in before it closes, or that connection would be left half made.
        for _ in range(20):
            await asyncio.sleep(0)
    await asyncio.gather(*(task for task in serving if task is not None))


def target(port: int, count: int | None = None) -> Target:
    numbers = itertools.count() if count is None else range(count)
    return Target("127.0.0.1", port, (REQUEST % number for number in numbers), 302)


def assert_kept_rate(asked: list[int], figures: Measured, due: int) -> None:
    """Each request that was due was sent once, or counts as an error: on a busy machine the last
    ones become due when the time is over."""
    assert sorted(asked) == list(range(len(asked)))
    assert len(asked) + figures.errors == due
    assert len(asked) > due / 2


async def test_closed_loop_sends_every_request_once() -> None:
    async with server(found) as (port, asked):
        figures = await asyncio.to_thread(
            generator.closed_loop, target(port, 500), connections=8, seconds=30
        )
    assert sorted(asked) == list(range(500))
    assert figures.errors == 0
    assert figures.per_second > 0
    assert 0 < figures.p50_ms <= figures.p99_ms <= figures.max_ms


async def test_closed_loop_ends_with_its_time() -> None:
    async with server(found) as (port, asked):
        figures = await asyncio.to_thread(
            generator.closed_loop, target(port), connections=2, seconds=0.2
        )
    assert asked
    assert figures.errors == 0


async def test_bodies_are_read_to_their_end() -> None:
    body = b"x" * 100_000

    async def with_body(_number: int) -> bytes:
        return b"HTTP/1.1 302 Found\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)

    async with server(with_body) as (port, asked):
        figures = await asyncio.to_thread(
            generator.closed_loop, target(port, 20), connections=2, seconds=30
        )
    assert (len(asked), figures.errors) == (20, 0)


async def test_another_status_is_an_error() -> None:
    async def sometimes(number: int) -> bytes:
        return FOUND if number % 2 else FOUND.replace(b"302", b"503")

    async with server(sometimes) as (port, _):
        figures = await asyncio.to_thread(
            generator.closed_loop, target(port, 40), connections=4, seconds=30
        )
    assert figures.errors == 20


async def test_a_server_that_hangs_up_is_an_error_and_is_asked_again() -> None:
    async def sometimes(number: int) -> bytes:
        return FOUND if number % 2 else b""

    async with server(sometimes) as (port, asked):
        figures = await asyncio.to_thread(
            generator.closed_loop, target(port, 40), connections=3, seconds=30
        )
    assert sorted(asked) == list(range(40))
    assert figures.errors == 20


async def test_a_connection_that_ends_in_order_is_replaced() -> None:
    async def last(number: int) -> bytes:
        return FOUND if number % 2 else FOUND.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")

    async with server(last) as (port, asked):
        figures = await asyncio.to_thread(
            generator.open_loop, target(port), connections=3, seconds=1.0, rate=100
        )
    assert_kept_rate(asked, figures, 100)


async def test_open_loop_keeps_its_rate() -> None:
    async with server(found) as (port, asked):
        figures = await asyncio.to_thread(
            generator.open_loop, target(port), connections=8, seconds=1.0, rate=200
        )
    assert_kept_rate(asked, figures, 200)


async def test_open_loop_counts_the_time_that_a_request_had_to_wait() -> None:
    """One connection, held up once: those that were due meanwhile are late as well."""

    async def stalling(number: int) -> bytes:
        if number == 20:
            await asyncio.sleep(0.3)
        return FOUND

    async with server(stalling) as (port, asked):
        figures = await asyncio.to_thread(
            generator.open_loop, target(port), connections=1, seconds=1.0, rate=100
        )
    assert_kept_rate(asked, figures, 100)
    assert figures.max_ms >= 300
    # About thirty were due during the stall; a closed loop would have seen a single slow one.
    assert figures.p99_ms >= 200


def test_percentiles_are_of_the_nearest_rank() -> None:
    ordered = [float(number) for number in range(1, 101)]
    assert measured.percentile(ordered, 50) == 50
    assert measured.percentile(ordered, 99) == 99
    assert measured.percentile(ordered, 100) == 100
    assert measured.percentile([], 50) == 0
    assert measured.percentile([7.0], 1) == 7


def test_the_median_keeps_the_worst_maximum_and_all_errors() -> None:
    rounds = [
        measured.Measured(100, 1, 2, 30, 1),
        measured.Measured(300, 3, 4, 5, 0, 9),
        measured.Measured(200, 2, 9, 6, 2),
    ]
    assert measured.median(rounds) == measured.Measured(200, 2, 4, 30, 3, 9)


@pytest.mark.parametrize("connections", [1, 16])
async def test_no_connection_carries_two_requests_at_once(connections: int) -> None:
    open_requests = peak = 0

    async def counting(_number: int) -> bytes:
        nonlocal open_requests, peak
        open_requests += 1
        peak = max(peak, open_requests)
        await asyncio.sleep(0)
        open_requests -= 1
        return FOUND

    async with server(counting) as (port, _):
        await asyncio.to_thread(
            generator.closed_loop, target(port, 200), connections=connections, seconds=30
        )
    assert peak <= connections
