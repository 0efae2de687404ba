"""Steady load in raw bytes: requests leave when they are due, however long the answers take.

As a process of its own: `steady.py PORT PATH keep|close PER_S SECONDS CONNECTIONS`.
"""

from __future__ import annotations

import asyncio
import contextlib
import sys
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Final, cast

import msgspec
import uvloop

TICK_S: Final = 0.001
LAST_ANSWER_S: Final = 10.0


@dataclass
class Outcome:
    """What a load came to; times in milliseconds."""

    sent: int
    statuses: dict[int, int]
    errors: dict[str, int]
    opened: int
    p50_ms: float
    p99_ms: float
    max_ms: float
    # How late the generator itself was, at its worst.
    stall_ms: float


class Steady:
    """What a load on a port of this machine came to.

    Kept connections are used in turn; one whose answer says `Connection: close` is replaced, as
    is one that was closed while no request was under way. All else counts as an error.
    """

    def __init__(self, port: int, path: str, *, keeps: bool) -> None:
        self.statuses: Counter[int] = Counter()
        self.errors: Counter[str] = Counter()
        self.latencies_s: list[float] = []
        self.opened = 0
        self.stall_s = 0.0
        self.keeps = keeps
        self.idle: deque[_Connection] = deque()
        self._port = port
        self._connecting: set[asyncio.Task[None]] = set()
        close = "" if keeps else "Connection: close\r\n"
        self.request = (
            f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUser-Agent: Mozilla/5.0 Firefox/128.0\r\n"
            f"Accept: text/html\r\n{close}\r\n"
        ).encode()
        self._under_way = 0
        self._all_answered = asyncio.Event()

    @property
    def answered(self) -> int:
        """Requests that got an answer."""
        return self.statuses.total()

    @property
    def sent(self) -> int:
        """Requests that were due, when the load is over."""
        return self.answered + self.errors.total()

    async def run(self, per_s: float, seconds: float, connections: int = 1) -> None:
        """Send at a rate for a while, and wait for the last answers."""
        if self.keeps:
            await asyncio.gather(*(self._connect(None) for _ in range(connections)))
        started, sent = time.monotonic(), 0
        while (elapsed := time.monotonic() - started) < seconds:
            while sent < elapsed * per_s:
                due = started + sent / per_s
                self.stall_s = max(self.stall_s, time.monotonic() - due)
                sent += 1
                self._send(due)
            await asyncio.sleep(TICK_S)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(LAST_ANSWER_S):
                await self._all_answered.wait()
        if self._under_way:
            self.errors["no answer"] = self._under_way
        for connection in self.idle:
            connection.close()

    def outcome(self) -> Outcome:
        """The load in numbers."""
        in_order = sorted(self.latencies_s) or [0.0]
        p50, p99 = (in_order[int(len(in_order) * share)] for share in (0.5, 0.99))
        times = (p50, p99, in_order[-1], self.stall_s)
        return Outcome(
            self.sent,
            dict(self.statuses),
            dict(self.errors),
            self.opened,
            *(round(1000 * seconds, 2) for seconds in times),
        )

    def done(self, due: float, outcome: int | str) -> None:
        """A request got a status, or an error."""
        self._under_way -= 1
        if not self._under_way:
            self._all_answered.set()
        if isinstance(outcome, int):
            self.statuses[outcome] += 1
            self.latencies_s.append(time.monotonic() - due)
        else:
            self.errors[outcome] += 1

    def _send(self, due: float) -> None:
        self._under_way += 1
        self._all_answered.clear()
        if self.idle:
            self.idle.popleft().send(due)
        else:
            task = asyncio.create_task(self._connect(due))
            self._connecting.add(task)
            task.add_done_callback(self._connecting.discard)

    async def _connect(self, due: float | None) -> None:
        loop = asyncio.get_running_loop()
        self.opened += 1
        try:
            await loop.create_connection(lambda: _Connection(self, due), "127.0.0.1", self._port)
        except OSError as error:
            if due is None:
                raise
            self.done(due, f"connect: {type(error).__name__}")


class _Connection(asyncio.Protocol):
    """A connection with at most one request under way, due at `_due`."""

    def __init__(self, load: Steady, due: float | None) -> None:
        self._load = load
        self._due = due
        self._received = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        if self._due is None:
            self._load.idle.append(self)
        else:
            self._transport.write(self._load.request)

    def send(self, due: float) -> None:
        self._due = due
        self._transport.write(self._load.request)

    def close(self) -> None:
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, end, body = self._received.partition(b"\r\n\r\n")
        if not end or self._due is None:
            return
        lowered = head.lower()
        _, _, length = lowered.partition(b"content-length: ")
        if len(body) < int(length.partition(b"\r\n")[0] or 0):
            return
        due, self._due, self._received = self._due, None, b""
        self._load.done(due, int(head[9:12]))
        if self._load.keeps and b"\r\nconnection: close" not in lowered:
            self._load.idle.append(self)
        else:
            self._transport.close()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._due is not None:
            self._load.done(self._due, f"closed: {type(exc).__name__ if exc else 'EOF'}")
            self._due = None
        elif self in self._load.idle:
            self._load.idle.remove(self)


async def main(port: str, path: str, kind: str, *numbers: str) -> None:
    load = Steady(int(port), path, keeps=kind == "keep")
    per_s, seconds, connections = map(int, numbers)
    await load.run(per_s, seconds, connections)
    sys.stdout.buffer.write(msgspec.json.encode(load.outcome()))


if __name__ == "__main__":
    uvloop.run(main(*sys.argv[1:]))
