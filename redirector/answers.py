"""The answers of the click path, put together from bytes made beforehand.

A redirect is written straight to the transport: aiohttp's own response would build and serialize
a header map for each click.
"""

from __future__ import annotations

from typing import Final

from aiohttp import web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.helpers import rfc822_formatted_time

from web import server

_STATUS_LINES: Final = {
    302: b"HTTP/1.1 302 Found\r\nLocation: ",
    303: b"HTTP/1.1 303 See Other\r\nLocation: ",
    307: b"HTTP/1.1 307 Temporary Redirect\r\nLocation: ",
}
_HEADERS: Final = (
    b"\r\nCache-Control: private, no-store\r\nReferrer-Policy: %b"
    b"\r\nX-Robots-Tag: noindex\r\nContent-Length: 0\r\n"
)
_heads: dict[str, bytes] = {}


def redirect_head(status: int, location: bytes, referrer_policy: str) -> bytes:
    """Status line and headers of a redirect but for Date and Connection; `location` is ASCII."""
    headers = _heads.get(referrer_policy)
    if headers is None:
        headers = _heads[referrer_policy] = _HEADERS % referrer_policy.encode("ascii")
    return b"".join((_STATUS_LINES[status], location, headers))


class Redirect(web.StreamResponse):
    """A redirect; `cookie` is a whole Set-Cookie value."""

    def __init__(
        self, status: int, location: bytes, referrer_policy: str, cookie: str = ""
    ) -> None:
        # The base's constructor would make the header map that this class does without.
        self._status = status
        self._head = redirect_head(status, location, referrer_policy)
        if cookie:
            self._head += b"Set-Cookie: %b\r\n" % cookie.encode("ascii")

    async def prepare(self, request: web.BaseRequest) -> AbstractStreamWriter | None:
        """Write the head; aiohttp calls it once."""
        transport = request.transport
        if transport is None:
            raise ConnectionResetError("the client went away")
        self._keep_alive = request.keep_alive
        if not self._keep_alive:
            connection = "Connection: close\r\n"
        elif request.version.minor == 0:
            connection = "Connection: keep-alive\r\n"
        else:
            connection = ""
        manager = server.server_of(request)
        if manager is not None:
            self._head += manager.strict_transport_line
        tail = f"{connection}Date: {rfc822_formatted_time()}\r\n\r\n"
        transport.write(self._head + tail.encode("ascii"))
        await request.writer.drain()
        return None

    async def write_eof(self, data: bytes = b"") -> None:
        """Nothing is left to write."""


def refuse_prefetch(status: int) -> web.Response:
    """What a prefetch gets: nothing to keep, so that the real visit asks again."""
    return web.Response(
        status=status, headers={"Cache-Control": "no-store", "X-Robots-Tag": "noindex"}
    )
