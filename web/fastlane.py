"""The fast lane: one plain request in one chunk, answered without a task or a request object.

It sits in front of aiohttp's protocol, on the same connection. A chunk that is exactly one
complete, plain, well-formed request for a hot route may be taken by the app's `take`; every other
byte goes to aiohttp. What keeps the two apart:

- Bytes are never split between the two parsers. Once a chunk was handed to aiohttp the connection
  is aiohttp's until that exchange has ended and the chunk is known to have ended on a message
  boundary; a chunk of which that is not known makes the connection aiohttp's for good.
- Answers never overtake each other. While an answer of the fast lane is on its way, what arrives
  is held and reading is paused, so that at most one chunk waits.
- A slow reader is not buffered without bound: while the transport asks to pause, requests go to
  aiohttp, which waits for it.
- What is taken must mean the same to aiohttp. `plain_headers` knows only heads that leave no room
  for a second reading: no folding, no repeated header, no bytes beyond ASCII, one Host.
- A connection ends as aiohttp would end it: when it has been idle for long, and after the answer
  that is due when the server stops.

It rests on names of aiohttp that are not public (`_waiter`, `_messages`, `_upgraded`, `_paused`,
`_close`, `_force_close`, `_manager`, `_next_keepalive_close_time`, `_keepalive_timeout`,
`_process_keepalive`, `_pause_transport_reading`, `_resume_transport_reading`, and that it calls
`data_received(b"")` to go on with what it has kept); tests/web/test_seams.py holds them.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import re
import time
from collections.abc import Callable
from typing import Any, Final

from aiohttp import web
from aiohttp.helpers import rfc822_formatted_time
from aiohttp.http import SERVER_SOFTWARE

from web import server

HEAD_MAX: Final = 8_000
HEADERS_MAX: Final = 64

# Possessive: a match is found or not in one pass, however a value is padded.
_LINE: Final = re.compile(rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([\t\x20-\x7e]*+)")
_HOST: Final = re.compile(rb"[A-Za-z0-9._~\-\[\]:]{1,255}")
_REQUEST: Final = re.compile(
    rb"(?:GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS) /[\x21\x24-\x7e]{0,4000} HTTP/1\.1\r\n"
)
_END: Final = b"\r\n\r\n"

# What may change the framing, the coding or the connection is aiohttp's business, and so is what
# it refuses by name.
_UNUSUAL: Final = frozenset({
    *(b"transfer-encoding", b"te", b"trailer", b"content-encoding", b"expect"),
    *(b"proxy-connection", b"upgrade", b"http2-settings", b"sec-websocket-key1"),
})  # fmt: skip

log: Final = logging.getLogger("stampgate.fastlane")

# Visitors' heads are alike; at most HEAD_MAX bytes each.
HEADS_REMEMBERED: Final = 1_024

Headers = dict[bytes, bytes]
_date: tuple[int, bytes] = (0, b"")


def plain_headers(block: bytes) -> Headers | None:
    """The headers of a block that begins after the request line and ends with its blank line.

    Names are in lower case. None when the block is not plain, or asks for anything but a simple
    exchange on a connection that stays open.
    """
    if len(block) > HEAD_MAX or not block.endswith(_END):
        return None
    lines = block[:-4].split(b"\r\n")
    if len(lines) > HEADERS_MAX:
        return None
    headers: Headers = {}
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            return None
        name = match[1].lower()
        if name in headers:
            return None
        headers[name] = match[2].rstrip(b" \t")
    host = headers.get(b"host")
    if host is None or _HOST.fullmatch(host) is None or not _UNUSUAL.isdisjoint(headers):
        return None
    if headers.get(b"connection", b"keep-alive").lower() != b"keep-alive":
        return None
    return headers


def is_whole(chunk: bytes) -> bool:
    """Whether a chunk is exactly one plain request, so that aiohttp is left on a boundary."""
    line = _REQUEST.match(chunk)
    end = chunk.find(_END)
    if line is None or end < 0 or end > HEAD_MAX:
        return False
    return _body_length(chunk[line.end() : end + 4]) == len(chunk) - end - 4


@functools.lru_cache(HEADS_REMEMBERED)
def _body_length(block: bytes) -> int | None:
    """The length of the body behind a plain header block; None when the block is not plain."""
    headers = plain_headers(block)
    if headers is None:
        return None
    length = headers.get(b"content-length", b"0")
    return int(length) if length.isdigit() and len(length) < 10 else None


def serialize(response: web.Response) -> tuple[bytes, bytes]:
    """A response that was not prepared as `FastLane.answer` takes it: with aiohttp's headers."""
    body = response.body if isinstance(response.body, bytes) else b""
    lines = [f"HTTP/1.1 {response.status} {response.reason}"]
    lines += [f"{name}: {value}" for name, value in response.headers.items()]
    lines += [f"Content-Length: {len(body)}", f"Server: {SERVER_SOFTWARE}", ""]
    return "\r\n".join(lines).encode("ascii"), body


def _date_line() -> bytes:
    """The header of this second, and the line that ends the head."""
    global _date
    second = int(time.time())
    if _date[0] != second:
        _date = (second, b"Date: %b\r\n\r\n" % rfc822_formatted_time().encode("ascii"))
    return _date[1]


class FastLane(server.Protocol):
    """A connection whose plain hot requests are answered without aiohttp. Subclasses `take`."""

    __slots__ = ("_always", "_answered", "_handed", "_held", "_is_busy", "_whole", "peer")

    def __init__(self, manager: web.Server, **options: Any) -> None:
        super().__init__(manager, **options)
        # Bytes went to aiohttp, and the exchange has not been seen to end.
        self._handed = False
        # All that went there since were whole requests.
        self._whole = True
        # An answer of the fast lane is on its way.
        self._is_busy = False
        self._held = b""
        self._answered: asyncio.Future[None] | None = None
        self._always = manager.strict_transport_line if isinstance(manager, server.Server) else b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The client is there; `peer` is its address, as aiohttp's `request.remote`."""
        super().connection_made(transport)
        name = transport.get_extra_info("peername")
        self.peer = str(name[0]) if isinstance(name, tuple) else str(name or "")

    def take(self, chunk: bytes) -> bool:
        """Take a chunk: call `answer` at once, or `begin` now and `answer` later; or say False."""
        raise NotImplementedError

    def data_received(self, data: bytes) -> None:
        """A chunk from the client: ours if it can be, else aiohttp's."""
        if not data:
            # aiohttp goes on with bytes that it has kept.
            super().data_received(data)
        elif self._is_busy:
            self._held += data
            self._pause_transport_reading()
        elif self._handed and not self._is_on_boundary():
            self._whole = self._whole and is_whole(data)
            super().data_received(data)
        elif self._is_open() and self.take(data):
            self._handed = False
        else:
            self._handed, self._whole = True, is_whole(data)
            super().data_received(data)

    def begin(self) -> None:
        """The answer to what was taken comes later."""
        self._is_busy = True

    def answer(self, head: bytes, body: bytes = b"") -> None:
        """Write the answer to what was taken, and go on with what came meanwhile.

        `head` lacks only Date and Connection, and the blank line.
        """
        was_busy, self._is_busy = self._is_busy, False
        is_last = self._is_ending()
        transport = self.transport
        if transport is not None and not transport.is_closing():
            connection = b"Connection: close\r\n" if is_last else b""
            transport.write(b"".join((head, self._always, connection, _date_line(), body)))
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        if is_last:
            self.force_close()
        elif was_busy and self._held:
            self._go_on()

    async def shutdown(self, timeout: float | None = 15.0) -> None:
        """Let the answer that is on its way leave, then end as aiohttp does."""
        if self._is_busy:
            self._answered = self._loop.create_future()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(timeout):
                    await self._answered
        await super().shutdown(timeout)

    def connection_lost(self, exc: BaseException | None) -> None:
        """The client is gone; nobody waits for its answer."""
        self._held = b""
        if self._answered is not None and not self._answered.done():
            self._answered.set_result(None)
        super().connection_lost(exc)

    def _process_keepalive(self) -> None:
        """A connection that waits for its answer is not idle."""
        if self._is_busy:
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        super()._process_keepalive()

    def _go_on(self) -> None:
        """Take in what was held. Its faults end this connection, as they do in the event loop;
        the caller has the answers of others to give."""
        held, self._held = self._held, b""
        self._resume_transport_reading()
        try:
            self.data_received(held)
        except Exception:
            log.exception("a connection failed")
            self.force_close()

    def _is_on_boundary(self) -> bool:
        """Whether aiohttp has answered all it was given and waits for the next request."""
        waiter = self._waiter
        return (
            self._whole
            and waiter is not None
            and not waiter.done()
            and not self._messages
            and not self._upgraded
        )

    def _is_open(self) -> bool:
        """Whether the connection goes on, and its client reads what it gets."""
        return not self._paused and not self._is_ending()

    def _is_ending(self) -> bool:
        """Whether the connection ends with the answer that is due."""
        manager = self._manager
        return (
            self._close
            or self._force_close
            or not isinstance(manager, server.Server)
            or manager.is_stopping
        )


def protocol(take: Callable[[FastLane, bytes], bool]) -> type[FastLane]:
    """The protocol class whose hot requests `take` takes."""

    class Lane(FastLane):
        __slots__ = ()

        def take(self, chunk: bytes) -> bool:
            return take(self, chunk)

    return Lane
