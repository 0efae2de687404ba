"""Requests over HTTP/2, for servers that speak nothing else (aiohttp does not).

One connection to each server is kept, and carries many requests at a time. Who goes away says which
requests were not looked at (RFC 9113 §6.8): those may be repeated, and no others.
"""

from __future__ import annotations

import asyncio
import ssl
from typing import Final, cast

from aiohttp.abc import AbstractResolver
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.exceptions import H2Error, ProtocolError
from yarl import URL

from core.http import (
    HttpRequest,
    HttpResponse,
    OutboundError,
    OutboundFailed,
    OutboundTooLarge,
    OutboundUnknown,
)

CONNECTIONS_MAX: Final = 64


class _Stream:
    """A request that waits for its answer."""

    def __init__(self, bytes_max: int) -> None:
        self.bytes_max = bytes_max
        self.answered: asyncio.Future[HttpResponse] = asyncio.get_running_loop().create_future()
        self.headers: dict[str, str] = {}
        self.body = bytearray()

    def end(self) -> None:
        if not self.answered.done():
            status = int(self.headers.get(":status", "0"))
            self.answered.set_result(HttpResponse(status, self.headers, bytes(self.body)))

    def fail(self, error: OutboundError) -> None:
        if not self.answered.done():
            self.answered.set_exception(error)


class Connection(asyncio.Protocol):
    """One connection; `is_open` while it takes requests."""

    def __init__(self) -> None:
        config = H2Configuration(client_side=True, header_encoding="utf-8")
        self._h2 = H2Connection(config)
        self._streams: dict[int, _Stream] = {}
        self._transport: asyncio.Transport
        self.is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of the protocol: see `asyncio.Protocol`."""
        # uvloop's transport for TLS is one by its methods only.
        self._transport = cast("asyncio.Transport", transport)
        self._h2.initiate_connection()
        self._flush()
        self.is_open = True

    def data_received(self, data: bytes) -> None:
        """Of the protocol: see `asyncio.Protocol`."""
        try:
            for event in self._h2.receive_data(data):
                self._handle(event)
        except ProtocolError:
            self._flush()
            self.close()
            return
        self._flush()

    def connection_lost(self, error: Exception | None) -> None:
        """Of the protocol: see `asyncio.Protocol`."""
        del error
        self.is_open = False
        self._fail(OutboundUnknown("the connection was lost"), after=0)

    async def send(self, request: HttpRequest, url: URL) -> HttpResponse:
        """The answer; OutboundFailed when it was not sent, OutboundUnknown when it may have been
        and no answer came.
        """
        stream_id, stream = self._begin(request, url)
        try:
            return await stream.answered
        except asyncio.CancelledError:
            # Perhaps nobody is there any more: others shall not wait for that, too.
            self.is_open = False
            raise
        finally:
            self._streams.pop(stream_id, None)

    def close(self) -> None:
        """Hang up."""
        self.is_open = False
        self._transport.close()

    def _begin(self, request: HttpRequest, url: URL) -> tuple[int, _Stream]:
        try:
            stream_id = self._h2.get_next_available_stream_id()
            room = min(self._h2.max_outbound_frame_size, self._h2.outbound_flow_control_window)
            if len(request.body) > room:
                raise OutboundFailed("the server takes no more now")
            self._h2.send_headers(stream_id, _headers(request, url), end_stream=not request.body)
            if request.body:
                self._h2.send_data(stream_id, request.body, end_stream=True)
        except H2Error as error:
            self.is_open = False
            raise OutboundFailed(type(error).__name__) from error
        stream = self._streams[stream_id] = _Stream(request.answer_bytes_max)
        self._flush()
        return stream_id, stream

    def _handle(self, event: events.Event) -> None:
        match event:
            case events.ConnectionTerminated():
                self.is_open = False
                self._fail(OutboundFailed("the server went away"), after=event.last_stream_id or 0)
            case events.ResponseReceived():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.headers |= {str(name): str(value) for name, value in event.headers}
            case events.DataReceived():
                self._take(event)
            case events.StreamEnded():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.end()
            case events.StreamReset():
                if (stream := self._streams.get(event.stream_id)) is not None:
                    stream.fail(_reset(event))
            case _:
                pass

    def _take(self, event: events.DataReceived) -> None:
        self._h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        stream = self._streams.get(event.stream_id)
        if stream is None:
            return
        stream.body += event.data
        if len(stream.body) > stream.bytes_max:
            stream.fail(OutboundTooLarge(f"the answer exceeds {stream.bytes_max} bytes"))

    def _fail(self, error: OutboundError, *, after: int) -> None:
        for stream_id, stream in self._streams.items():
            if stream_id > after:
                stream.fail(error)

    def _flush(self) -> None:
        if waiting := self._h2.data_to_send():
            self._transport.write(waiting)


class Http2:
    """The connections that are kept, by server."""

    def __init__(self, resolver: AbstractResolver, tls: ssl.SSLContext | None = None) -> None:
        """`resolver` raises for where requests may not go; `tls` replaces the system's trust."""
        self._resolver = resolver
        self._tls = tls or ssl.create_default_context()
        self._tls.set_alpn_protocols(["h2"])
        self._kept: dict[tuple[str, int], Connection] = {}
        self._connecting = asyncio.Lock()

    async def connection(self, url: URL) -> Connection:
        """One that stands; raises what the resolver raises, OSError, OutboundFailed."""
        host, port = url.raw_host or "", url.port or 443
        async with self._connecting:
            kept = self._kept.get((host, port))
            if kept is None or not kept.is_open:
                kept = self._kept[host, port] = await self._connect(host, port)
                if len(self._kept) > CONNECTIONS_MAX:
                    self._kept.pop(next(iter(self._kept))).close()
            return kept

    def close(self) -> None:
        """Hang up all."""
        for one in self._kept.values():
            one.close()

    async def _connect(self, host: str, port: int) -> Connection:
        [found, *_] = await self._resolver.resolve(host, port)
        transport, made = await asyncio.get_running_loop().create_connection(
            Connection, found["host"], port, ssl=self._tls, server_hostname=host
        )
        if transport.get_extra_info("ssl_object").selected_alpn_protocol() != "h2":
            made.close()
            raise OutboundFailed("the server does not speak HTTP/2")
        return made


def _headers(request: HttpRequest, url: URL) -> list[tuple[str, str]]:
    port = "" if url.is_default_port() else f":{url.port}"
    return [
        (":method", request.method),
        (":scheme", url.scheme),
        (":authority", f"{url.raw_host}{port}"),
        (":path", url.raw_path_qs),
        *((name.lower(), value) for name, value in request.headers.items()),
    ]


def _reset(event: events.StreamReset) -> OutboundError:
    """REFUSED_STREAM says that nothing was done (RFC 9113 §8.7); others say nothing."""
    if event.error_code == ErrorCodes.REFUSED_STREAM:
        return OutboundFailed("the server refused the request")
    return OutboundUnknown("the server broke off")
