"""An HTTP client that measures: raw requests over keep-alive connections, one at a time on each.

The closed loop sends when an answer is there, so a server that stalls is asked less and looks
better than it is. The open loop sends at a fixed rate whatever happens, and measures from the
moment at which a request should have left (Gil Tene's "coordinated omission").
"""

from __future__ import annotations

import array
import asyncio
import collections
import contextlib
import ctypes
import gc
import os
import re
import struct
import time
from collections.abc import AsyncIterator, Iterator
from typing import Final, NamedTuple, cast

from loadtests import measured
from loadtests.measured import Measured

# How often the open loop looks what is due. The loop's own timers count whole milliseconds.
TICK_S: Final = 0.000_25
# After the end, for the answers that are still out.
LAST_ANSWERS_S: Final = 5.0

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOCK_MONOTONIC: Final = 1


class Target(NamedTuple):
    """Where to send what, and the status that a good answer has."""

    host: str
    port: int
    requests: Iterator[bytes]
    status: int


class _Client(asyncio.Protocol):
    """One connection with at most one request on it."""

    def __init__(self, run: _Run) -> None:
        self._run = run
        self._answer = b""
        self.began: float | None = None
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without the base class.
        self.transport = cast("asyncio.Transport", transport)

    def send(self, request: bytes, began: float) -> None:
        self.began = began
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        answer = self._answer = self._answer + data
        head_end = answer.find(b"\r\n\r\n")
        if head_end < 0:
            return
        found = _LENGTH.search(answer, 0, head_end + 2)
        if len(answer) >= head_end + 4 + (int(found[1]) if found else 0):
            self._answer = b""
            self._run.answered(self, int(answer[9:12]))

    def connection_lost(self, _error: Exception | None) -> None:
        self._run.lost(self)


class _Run:
    """What both loops share: the connections, the clock, the figures."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._latencies = array.array("d")
        self._errors = 0
        self._clients: set[_Client] = set()
        self._out = 0
        self._quiet = asyncio.Event()
        self._is_over = False
        self._stall_s = 0.0

    @contextlib.asynccontextmanager
    async def connected(self, connections: int) -> AsyncIterator[None]:
        """Open the connections; the collector rests meanwhile, for its pauses would be measured."""
        loop = asyncio.get_running_loop()
        for _ in range(connections):
            _, client = await loop.create_connection(
                lambda: _Client(self), self._target.host, self._target.port
            )
            self._clients.add(client)
        gc.collect()
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            clients, self._clients = self._clients, set()
            for client in clients:
                client.transport.abort()
            await asyncio.sleep(0)

    def send(self, client: _Client, began: float) -> bool:
        """Send the next request on a free connection; False when there is none left."""
        request = next(self._target.requests, None)
        if request is None:
            return False
        self._out += 1
        client.send(request, began)
        return True

    def answered(self, client: _Client, status: int) -> None:
        now = time.perf_counter()
        if client.began is not None:
            self._out -= 1
            if status == self._target.status:
                self._latencies.append(now - client.began)
            else:
                self._errors += 1
            client.began = None
        self.free(client, now)

    def lost(self, client: _Client) -> None:
        if client in self._clients:
            self._clients.remove(client)
            self._errors += 1
            if client.began is not None:
                self._out -= 1
            self._look_around()

    def free(self, client: _Client, now: float) -> None:
        """A connection has its answer."""
        raise NotImplementedError

    async def finish(self) -> None:
        """Send no more, and wait for what is out."""
        self._is_over = True
        self._look_around()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWERS_S):
                await self._quiet.wait()
        self._errors += self._out

    def _look_around(self) -> None:
        if self._is_over and not self._out:
            self._quiet.set()

    def summary(self, seconds: float) -> Measured:
        return measured.summarize(self._latencies, seconds, self._errors, self._stall_s)


class _Closed(_Run):
    def __init__(self, target: Target) -> None:
        super().__init__(target)
        self.exhausted = asyncio.Event()

    def begin(self) -> None:
        for client in tuple(self._clients):
            self.free(client, time.perf_counter())

    def free(self, client: _Client, now: float) -> None:
        if self._is_over or not self.send(client, now):
            self.exhausted.set()
            self._look_around()


class _Open(_Run):
    def __init__(self, target: Target, rate: float) -> None:
        super().__init__(target)
        self._rate = rate
        self._began = 0.0
        self._due = 0
        self._waiting: collections.deque[float] = collections.deque()
        self._idle: list[_Client] = []

    def begin(self) -> None:
        self._idle = list(self._clients)
        self._began = time.perf_counter()

    def tick(self, ticks: int) -> None:
        """So many ticks have passed since the last call; more than one is a stall of ours."""
        now = time.perf_counter()
        self._stall_s = max(self._stall_s, (ticks - 1) * TICK_S)
        if self._is_over:
            return
        due = int((now - self._began) * self._rate)
        self._waiting.extend(self._began + number / self._rate for number in range(self._due, due))
        self._due = due
        while self._waiting and self._idle:
            self.send(self._idle.pop(), self._waiting.popleft())

    def free(self, client: _Client, _now: float) -> None:
        if self._waiting and not self._is_over:
            self.send(client, self._waiting.popleft())
        else:
            self._idle.append(client)
            self._look_around()

    async def finish(self) -> None:
        # What should have left and did not is as bad as no answer.
        self._errors += len(self._waiting)
        self._waiting.clear()
        await super().finish()


async def closed_loop(target: Target, *, connections: int, seconds: float) -> Measured:
    """Ask again on each connection as soon as it has answered, until the time or the requests
    are over."""
    run = _Closed(target)
    async with run.connected(connections):
        began = time.perf_counter()
        run.begin()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await run.exhausted.wait()
        await run.finish()
        return run.summary(time.perf_counter() - began)


async def open_loop(target: Target, *, connections: int, seconds: float, rate: float) -> Measured:
    """Send `rate` requests a second; one that finds no free connection waits, and that counts."""
    run = _Open(target, rate)
    loop = asyncio.get_running_loop()
    async with run.connected(connections):
        timer = _timer(TICK_S)
        run.begin()
        loop.add_reader(timer, lambda: run.tick(struct.unpack("Q", os.read(timer, 8))[0]))
        try:
            await asyncio.sleep(seconds)
            await run.finish()
        finally:
            loop.remove_reader(timer)
            os.close(timer)
        return run.summary(seconds)


def _timer(interval_s: float) -> int:
    """A file descriptor that is readable at each interval; timerfd_create(2)."""
    libc = ctypes.CDLL(None, use_errno=True)
    timer: int = libc.timerfd_create(_CLOCK_MONOTONIC, os.O_NONBLOCK | os.O_CLOEXEC)
    nanoseconds = int(interval_s * 1e9)
    schedule = (ctypes.c_long * 4)(0, nanoseconds, 0, nanoseconds)
    if timer < 0 or libc.timerfd_settime(timer, 0, schedule, None) != 0:
        raise OSError(ctypes.get_errno(), "timerfd")
    return timer
