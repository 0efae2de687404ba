"""Servers told the same bytes in the same pieces, to compare their two lanes.

What a server says and whether it keeps the connection is looked at when it has come to rest: when
it has read all that was sent and waits for more. That is seen in its protocol, in this process.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import re
import socket
import struct
import termios
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from typing import Final, Literal, NamedTuple

import pytest
from aiohttp import web
from aiohttp.web_protocol import RequestHandler

from core.settings import Settings
from web import server

BOTH_LANES: Final = pytest.mark.parametrize(
    "fast_lane", [True, False], ids=["fast-lane", "ordinary-lane"]
)
REST_S_MAX: Final = 20.0

# How a client goes on after a piece: at once, when it was read, or when the server is at rest.
Pace = Literal["at once", "read", "rest"]
_ANSWER: Final = re.compile(rb"(?=HTTP/1\.[01] \d{3} )")


class Piece(NamedTuple):
    """Bytes that are sent together."""

    data: bytes
    pace: Pace = "rest"


class Said(NamedTuple):
    """What came back on a connection, and whether it is still open."""

    data: bytes
    is_open: bool

    def answers(self, mask: Callable[[bytes], bytes]) -> list[tuple[bytes, list[bytes], bytes]]:
        """Status lines, sorted headers without Date, and bodies; all but the Date masked."""
        return [_taken_apart(answer, mask) for answer in _ANSWER.split(self.data) if answer]

    @property
    def statuses(self) -> list[int]:
        """The status of each answer."""
        return [int(answer.split()[1]) for answer in _ANSWER.split(self.data) if answer]


class Line:
    """A connection of a client, in bytes, and the server's end of it."""

    def __init__(self, sock: socket.socket, protocol: server.Protocol) -> None:
        self.sock = sock
        self.protocol = protocol
        self.data = b""
        self.hears = asyncio.create_task(self.hear())

    async def say(self, piece: Piece) -> bool:
        """Send a piece at its pace; False when the server hung up."""
        try:
            await asyncio.get_running_loop().sock_sendall(self.sock, piece.data)
        except ConnectionError:
            return False
        if piece.pace == "read":
            await until(lambda: self._is_lost or self.is_read())
        elif piece.pace == "rest":
            await self.rest()
        return not self._is_lost

    async def rest(self) -> None:
        """Wait until the server has done all that it can do with what it got."""
        await until(lambda: self._is_lost or (self.is_read() and is_at_rest(self.protocol)))

    def is_read(self) -> bool:
        """Whether all bytes have left the two sockets between client and server."""
        transport = self.protocol.transport
        end = None if transport is None else transport.get_extra_info("socket")
        return end is None or not (
            _waiting(self.sock, termios.TIOCOUTQ) or _waiting(end, termios.FIONREAD)
        )

    async def end(self) -> Said:
        """Hang up and tell what was heard; `is_open` is how it was before."""
        transport = self.protocol.transport
        is_open = transport is not None and not transport.is_closing()
        if transport is not None:
            transport.close()
        await self.is_over()
        self.sock.close()
        return Said(self.data, is_open)

    async def is_over(self) -> None:
        """Wait until the server has hung up."""
        done, _ = await asyncio.wait({self.hears}, timeout=REST_S_MAX)
        assert done, "the server does not hang up"

    @property
    def _is_lost(self) -> bool:
        return self.protocol.transport is None

    async def hear(self) -> None:
        loop = asyncio.get_running_loop()
        with contextlib.suppress(ConnectionError):
            while data := await loop.sock_recv(self.sock, 65_536):
                self.data += data


class Speaker:
    """A server that listens, and the connections it has."""

    def __init__(self, made: server.Server, port: int, stop: Callable[[], Awaitable[None]]) -> None:
        self.server = made
        self.port = port
        self._stop = stop

    async def call(self) -> Line:
        """Connect."""
        sock = socket.socket()
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", self.port))
        own = sock.getsockname()

        def mine() -> list[server.Protocol]:
            return [p for p in self._protocols() if p.peername == own]

        await until(lambda: bool(mine()))
        return Line(sock, mine()[0])

    async def hear(self, pieces: Iterable[Piece]) -> Said:
        """What the server says to these pieces on one connection."""
        line = await self.call()
        try:
            for piece in pieces:
                if not await line.say(piece):
                    break
            await line.rest()
        finally:
            said = await line.end()
        return said

    async def stop(self) -> None:
        """Stop as a process does that has waited for its clients long enough."""
        self.server.is_stopping = True
        await self._stop()

    def _protocols(self) -> list[server.Protocol]:
        return [p for p in self.server.connections if isinstance(p, server.Protocol)]


@contextlib.asynccontextmanager
async def speaking(
    handler: server.Handler, settings: Settings, protocol: type[server.Protocol]
) -> AsyncIterator[Speaker]:
    """The server as production builds it, on a port of this process."""
    made = server.build(handler, settings=settings, protocol=protocol)
    runner = web.ServerRunner(made, shutdown_timeout=1)
    await runner.setup()
    sock = socket.create_server(("127.0.0.1", 0), backlog=256)
    await web.SockSite(runner, sock).start()
    try:
        yield Speaker(made, sock.getsockname()[1], runner.cleanup)
    finally:
        await runner.cleanup()


def is_at_rest(protocol: server.Protocol) -> bool:
    """Whether nothing happens on this connection before its client speaks."""
    if getattr(protocol, "_is_busy", False):
        return False
    if protocol._current_request is not None:
        return reads_a_body(protocol)
    waiter = protocol._waiter
    return waiter is not None and not waiter.done() and not protocol._messages


def reads_a_body(protocol: RequestHandler) -> bool:
    """Whether a handler waits for a body, or more of it."""
    request = protocol._current_request
    return request is not None and getattr(request.content, "_waiter", None) is not None


async def until(is_so: Callable[[], bool]) -> None:
    """Let the loop run until it is so."""
    ends = time.monotonic() + REST_S_MAX
    while not is_so():
        if time.monotonic() > ends:
            pytest.fail("the server does not come to rest")
        await asyncio.sleep(0)


def cut(data: bytes, places: Iterable[int], pace: Pace = "rest") -> list[Piece]:
    """The bytes in pieces that end at these places."""
    ends = sorted({place for place in places if 0 < place < len(data)} | {len(data)})
    return [
        Piece(data[start:end], pace) for start, end in zip([0, *ends], ends, strict=False) if end
    ]


def _taken_apart(answer: bytes, mask: Callable[[bytes], bytes]) -> tuple[bytes, list[bytes], bytes]:
    head, _, body = answer.partition(b"\r\n\r\n")
    status, *headers = head.split(b"\r\n")
    kept = sorted(mask(line) for line in headers if not line.startswith(b"Date: "))
    assert len(kept) == len(headers) - 1, "an answer has one Date"
    if body:
        assert b"Content-Length: %d" % len(body) in headers
    return status, kept, mask(body)


def _waiting(sock: socket.socket, what: int) -> int:
    """Bytes in a buffer of the kernel; the socket may be gone."""
    try:
        packed = fcntl.ioctl(sock.fileno(), what, b"\0\0\0\0")
    except OSError:
        return 0
    return int(struct.unpack("i", packed)[0])
