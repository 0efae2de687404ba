"""An HTTP client that measures: raw requests over keep-alive connections, one at a time on each.

The closed loop sends when an answer is there, so a server that stalls is asked less and looks
better than it is. The open loop sends at a fixed rate whatever happens, and measures from the
moment at which a request should have left (Gil Tene's "coordinated omission").

It blocks, and asks the kernel itself: an event loop would cost several times as much a request, and
the generator shares its core with Redis.
"""

from __future__ import annotations

import array
import collections
import contextlib
import gc
import re
import select
import socket
import time
from collections.abc import Iterator
from typing import Final, NamedTuple

from loadtests import measured
from loadtests.measured import Measured

# After the end, for the answers that are still out.
LAST_ANSWERS_S: Final = 5.0
READ_BYTES: Final = 1 << 18

_LENGTH: Final = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSE: Final = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)


class Target(NamedTuple):
    """Where to send what, and the status that a good answer has."""

    host: str
    port: int
    requests: Iterator[bytes]
    status: int


class _Client:
    """One connection with at most one request on it, which should have left at `began`."""

    __slots__ = ("answer", "began", "is_last", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.began = 0.0
        self.answer = b""
        # The server has said that it answers no more here.
        self.is_last = False

    def send(self, request: bytes) -> None:
        sent = self.sock.send(request)
        if sent < len(request):
            self.sock.setblocking(True)
            self.sock.sendall(request[sent:])
            self.sock.setblocking(False)

    def read(self) -> int | None:
        """The status of the answer when all of it is here; ConnectionError at the end."""
        data = self.sock.recv(READ_BYTES)
        if not data:
            raise ConnectionResetError
        answer = self.answer = self.answer + data if self.answer else data
        head_end = answer.find(b"\r\n\r\n")
        if head_end < 0:
            return None
        found = _LENGTH.search(answer, 0, head_end + 2)
        if len(answer) < head_end + 4 + (int(found[1]) if found else 0):
            return None
        self.answer = b""
        self.is_last = _CLOSE.search(answer, 0, head_end + 2) is not None
        return int(answer[9:12])


class _Run:
    """The connections, the clock, the figures."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._latencies = array.array("d")
        self._errors = 0
        self._epoll = select.epoll()
        self._clients: dict[int, _Client] = {}
        self._idle: collections.deque[_Client] = collections.deque()
        self._is_exhausted = False
        self._stall_s = 0.0

    @contextlib.contextmanager
    def connected(self, connections: int) -> Iterator[None]:
        """Open the connections; the collector rests meanwhile, for its pauses would be measured."""
        for _ in range(connections):
            self._connect()
        gc.collect()
        gc.disable()
        try:
            yield
        finally:
            gc.enable()
            for client in self._clients.values():
                client.sock.close()
            self._epoll.close()

    def closed(self, seconds: float) -> Measured:
        """Ask again on each connection as soon as it has answered."""
        started = time.perf_counter()
        ends = started + seconds
        while (now := time.perf_counter()) < ends and self._clients:
            while self._idle and self._send(now):
                pass
            if self._is_exhausted and not self._out:
                break
            self._read(ends - now)
        self._finish()
        return self._summary(time.perf_counter() - started)

    def open(self, seconds: float, rate: float) -> Measured:
        """Send what is due; what finds no free connection waits, and the wait counts."""
        started, sent = time.perf_counter(), 0
        ends = started + seconds
        while (now := time.perf_counter()) < ends:
            while self._idle and (due := started + sent / rate) <= now:
                self._stall_s = max(self._stall_s, now - due if sent else 0.0)
                self._send(due)
                sent += 1
            wait_s = started + sent / rate - now if self._idle else ends - now
            self._read(min(wait_s, ends - now))
        # What should have left and did not is as bad as no answer.
        self._errors += max(0, int(seconds * rate) - sent)
        self._finish()
        return self._summary(seconds)

    @property
    def _out(self) -> int:
        return len(self._clients) - len(self._idle)

    def _send(self, began: float) -> bool:
        """Send the next request on a free connection; False when there is none left."""
        request = next(self._target.requests, None)
        if request is None:
            self._is_exhausted = True
            return False
        client = self._idle.popleft()
        client.began = began
        try:
            client.send(request)
        except OSError:
            self._lose(client)
        return True

    def _read(self, wait_s: float) -> None:
        """Take in the answers that are there, or wait; epoll alone counts whole milliseconds."""
        ready = self._epoll.poll(0)
        if not ready and wait_s > 0:
            select.select([self._epoll], [], [], wait_s)
            ready = self._epoll.poll(0)
        for descriptor, _ in ready:
            client = self._clients[descriptor]
            try:
                status = client.read()
            except OSError:
                self._lose(client)
                continue
            if status is None:
                continue
            if status == self._target.status:
                self._latencies.append(time.perf_counter() - client.began)
            else:
                self._errors += 1
            if client.is_last:
                self._reconnect(client)
            else:
                self._idle.append(client)

    def _connect(self) -> None:
        sock = socket.create_connection((self._target.host, self._target.port))
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self._clients[sock.fileno()] = client = _Client(sock)
        self._epoll.register(sock, select.EPOLLIN)
        self._idle.append(client)

    def _lose(self, client: _Client) -> None:
        """The server has hung up: in order where nothing was asked, else a request went with it."""
        if client in self._idle:
            self._idle.remove(client)
        else:
            self._errors += 1
        self._reconnect(client)

    def _reconnect(self, client: _Client) -> None:
        """As any client does; where nobody listens any more, there is a connection less."""
        self._epoll.unregister(client.sock)
        del self._clients[client.sock.fileno()]
        client.sock.close()
        with contextlib.suppress(ConnectionError):
            self._connect()

    def _finish(self) -> None:
        """Send no more, and wait for what is out."""
        ends = time.perf_counter() + LAST_ANSWERS_S
        while self._out and (left := ends - time.perf_counter()) > 0:
            self._read(left)
        self._errors += self._out

    def _summary(self, seconds: float) -> Measured:
        return measured.summarize(self._latencies, seconds, self._errors, self._stall_s)


def closed_loop(target: Target, *, connections: int, seconds: float) -> Measured:
    """Ask again on each connection as soon as it has answered, until the time or the requests
    are over."""
    run = _Run(target)
    with run.connected(connections):
        return run.closed(seconds)


def open_loop(target: Target, *, connections: int, seconds: float, rate: float) -> Measured:
    """Send `rate` requests a second; one that finds no free connection waits, and that counts."""
    run = _Run(target)
    with run.connected(connections):
        return run.open(seconds, rate)
