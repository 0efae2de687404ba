"""How one of our processes serves HTTP: aiohttp's low-level server on a socket that we are given.

`Protocol` is the seam for the fast lane: `serve(…, protocol=…)` takes a subclass of it. Errors
that aiohttp finds itself (a malformed head, a fault in a handler) are answered here, as
problem+json, and logged without the address of the caller.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
import signal
import socket
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, Final, TypeVar

import uvloop
from aiohttp import http_exceptions, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import RequestHandler

from core.errors import BodyTooLarge, Refused, StampgateError
from core.settings import Settings
from web import child, problem

T = TypeVar("T")
Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]
Step = Callable[[], Awaitable[object]]

# The kernel cuts it to net.core.somaxconn.
BACKLOG: Final = 4096
HEAD_LINE_MAX: Final = 8190
HEADERS_MAX: Final = 128
# For a whole body, however large: no client may keep a request open for good.
BODY_S_MAX: Final = 30.0
LINGERING_S: Final = 1.0
POLL_S: Final = 0.01
# How long a process that nobody stands in for waits for its servers before it accepts anyway.
ABLE_S_MAX: Final = 1.0
STRICT_TRANSPORT: Final = "Strict-Transport-Security"

log: Final = logging.getLogger("stampgate.server")


class HeadTooLarge(Refused, code="head_too_large", status=431):
    """The request line or a header is too long."""


class BodyTooSlow(Refused, code="body_too_slow", status=408):
    """The body did not arrive in time."""


class Request(web.BaseRequest):
    """A request that ends its connection when the server is about to stop."""

    @property
    def keep_alive(self) -> bool:
        """Whether the connection stays open after the answer."""
        server = server_of(self)
        stopping = server is not None and server.is_stopping
        return not stopping and super().keep_alive

    async def _prepare_hook(self, response: web.StreamResponse) -> None:
        """The last step before aiohttp writes the head of an answer."""
        server = server_of(self)
        if server is not None and server.strict_transport:
            response.headers[STRICT_TRANSPORT] = server.strict_transport


class Protocol(RequestHandler):
    """aiohttp's protocol, answering its own errors in our form."""

    __slots__ = ()

    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,  # noqa: ARG002 - aiohttp's signature
    ) -> web.StreamResponse:
        """Answer an exception: ours by its own status, the parser's as 4xx, any other as 500."""
        if request.writer.output_size > 0:
            raise ConnectionError("the answer was already begun")
        answer = problem.problem(_as_error(status, exc))
        if answer.status == 500:
            log.error("a request failed", exc_info=exc)
        answer.force_close()
        return answer


class Server(web.Server):
    """aiohttp's low-level server with the protocol class as a parameter."""

    def __init__(
        self,
        handler: Handler,
        *,
        protocol: type[RequestHandler] = Protocol,
        strict_transport: str = "",
        **options: Any,
    ) -> None:
        super().__init__(handler, **options)
        self._protocol = protocol
        self.is_stopping = False
        #: The value of STRICT_TRANSPORT on all answers, and its line for those that are bytes.
        self.strict_transport = strict_transport
        self.strict_transport_line = _line(strict_transport)

    def __call__(self) -> RequestHandler:
        """A protocol for one connection."""
        return self._protocol(self, loop=self._loop, **self._kwargs)

    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> Request:
        return Request(message, payload, protocol, writer, task, self._loop)


def server_of(request: web.BaseRequest) -> Server | None:
    """The server that a request came to, if it is ours."""
    manager = request.protocol._manager  # noqa: SLF001 - the protocol's own back reference
    return manager if isinstance(manager, Server) else None


def _line(strict_transport: str) -> bytes:
    return (
        f"{STRICT_TRANSPORT}: {strict_transport}\r\n".encode("ascii") if strict_transport else b""
    )


def run(main: Coroutine[Any, Any, T]) -> T:
    """Run a process's main coroutine on uvloop."""
    return uvloop.run(main)


def build(
    handler: Handler, *, settings: Settings, protocol: type[RequestHandler] = Protocol
) -> Server:
    """The server as the settings want it, not yet on a socket."""
    return Server(
        handler,
        protocol=protocol,
        strict_transport=settings.strict_transport_security,
        access_log=None,
        tcp_keepalive=True,
        keepalive_timeout=settings.keepalive_timeout_s,
        lingering_time=LINGERING_S,
        max_line_size=HEAD_LINE_MAX,
        max_field_size=HEAD_LINE_MAX,
        max_headers=HEADERS_MAX,
        auto_decompress=False,
    )


async def serve(
    handler: Handler,
    sock: socket.socket,
    *,
    settings: Settings,
    protocol: type[RequestHandler] = Protocol,
    is_able: Callable[[], bool] = lambda: True,
    on_stop: Sequence[Step] = (),
) -> None:
    """Serve until SIGTERM or SIGINT; then stop accepting, finish what came, run `on_stop`.

    Accepts when `is_able`. What cannot be had for a while stops only the successor of a process
    that serves; any other begins without.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    able_s_max = math.inf if child.is_successor(os.environ) else ABLE_S_MAX
    try:
        await _poll(lambda: stop.is_set() or is_able(), able_s_max)
        if not stop.is_set():
            server = build(handler, settings=settings, protocol=protocol)
            await _serve_until(stop, server, sock, settings)
    finally:
        for step in on_stop:
            await step()


async def read_body(request: web.BaseRequest, limit: int) -> bytes:
    """The whole body, or raise BodyTooLarge as soon as it is known to exceed `limit` bytes.

    Refused means that the client left in the middle of it, or that its chunks make no sense.
    """
    declared = request.content_length
    if declared is not None and declared > limit:
        raise BodyTooLarge(f"The body may have {limit} bytes.")
    content = request.content
    if content.is_eof():
        body = content.read_nowait()
    else:
        body = await _read_slowly(request, limit)
    if len(body) > limit:
        raise BodyTooLarge(f"The body may have {limit} bytes.")
    return body


async def _read_slowly(request: web.BaseRequest, limit: int) -> bytes:
    """Read what has yet to arrive; stops at the first chunk that goes beyond `limit`."""
    if request.headers.get("Expect", "").lower() == "100-continue" and request.transport:
        request.transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    body = bytearray()
    try:
        async with asyncio.timeout(BODY_S_MAX):
            while len(body) <= limit and (chunk := await request.content.readany()):
                body += chunk
    except TimeoutError as error:
        raise BodyTooSlow from error
    except (ConnectionError, web.RequestPayloadError) as error:
        raise Refused("The body is cut off or badly chunked.") from error
    return bytes(body)


async def _serve_until(
    stop: asyncio.Event, server: Server, sock: socket.socket, settings: Settings
) -> None:
    # Of the time to stop, a fourth is for idle connections, two for handlers (aiohttp waits for
    # them, then again for those it has cancelled), and the last one for `on_stop`.
    quarter_s = settings.shutdown_timeout_s / 4
    runner = web.ServerRunner(server, shutdown_timeout=quarter_s)
    await runner.setup()
    site = web.SockSite(runner, sock, backlog=BACKLOG)
    try:
        await site.start()
        child.spare_collector()
        child.say_ready(os.environ)
        await stop.wait()
        server.is_stopping = True
        await site.stop()
        await _let_go(server, quarter_s)
    finally:
        await runner.cleanup()


async def _let_go(server: Server, grace_s: float) -> None:
    """Serve on until no connection is left, or those left have been silent for `grace_s`.

    A connection that is closed while a request is on its way to it loses that request. So none is
    closed before it has had time for one more, whose answer says `Connection: close`.
    """
    # For connections that the loop has accepted and not yet shown to the server.
    await asyncio.sleep(POLL_S)
    await _poll(lambda: not server.connections, grace_s)


async def _poll(is_so: Callable[[], bool], timeout_s: float) -> None:
    """Return when `is_so`, or when the time is over."""
    loop = asyncio.get_running_loop()
    ends = loop.time() + timeout_s
    while not is_so() and loop.time() < ends:  # noqa: ASYNC110 - what it waits for has no event
        await asyncio.sleep(POLL_S)


def _as_error(status: int, exc: BaseException | None) -> StampgateError:
    match exc:
        case StampgateError():
            return exc
        case http_exceptions.LineTooLong():
            return HeadTooLarge()
        case http_exceptions.HttpProcessingError() | web.RequestPayloadError():
            return Refused()
        case _ if 400 <= status < 500:
            return Refused()
        case _:
            return StampgateError()
