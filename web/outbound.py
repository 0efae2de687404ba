"""The one way in which our processes call other servers.

The address is part of the input, so it is checked where it is used: the connector asks our
resolver, and connects to the very addresses that the check let through, with the name kept for
TLS and for the Host header. Redirects are not followed and proxies from the environment are not
used, because either would lead past the check.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import ssl
from collections import OrderedDict
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from types import SimpleNamespace
from typing import Final

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from yarl import URL

from core.http import (
    HttpRequest,
    HttpResponse,
    OutboundError,
    OutboundFailed,
    OutboundRefused,
    OutboundTooLarge,
    OutboundUnknown,
)
from web import metrics
from web.http2 import Http2

PORTS: Final = frozenset({80, 443, 8080, 8443})
CONNECTIONS_PER_HOST: Final = 8
# After so many requests without an answer a host is left alone for a while.
BREAKER_FAILURES: Final = 5
BREAKER_REST_S: Final = 30.0
BREAKERS_MAX: Final = 10_000
READ_BYTES: Final = 1 << 16
USER_AGENT: Final = "Stampgate"

_NAT64: Final = IPv6Network("64:ff9b::/96")
# Not global, or a way to something that is not, whatever this Python's tables say.
_NEVER: Final = (
    IPv4Network("100.64.0.0/10"),
    IPv4Network("192.88.99.0/24"),
    IPv6Network("64:ff9b:1::/48"),
    IPv6Network("2001::/23"),
    IPv6Network("2002::/16"),
    IPv6Network("fec0::/10"),
)


def is_public(address: IPv4Address | IPv6Address) -> bool:
    """Whether the address, or the IPv4 address inside it, belongs to the public internet."""
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return is_public(address.ipv4_mapped)
        if address in _NAT64:
            return is_public(IPv4Address(int(address) & 0xFFFF_FFFF))
    return (
        address.is_global
        and not address.is_multicast
        and not address.is_reserved
        and not any(address in network for network in _NEVER)
    )


class Guard:
    """Where requests may go: public addresses on web ports, and what the operator allows."""

    def __init__(self, allow: str) -> None:
        """`allow` lists hosts, addresses and networks, separated by commas."""
        self._hosts: set[str] = set()
        self._networks: list[IPv4Network | IPv6Network] = []
        for entry in filter(None, map(str.strip, allow.split(","))):
            try:
                self._networks.append(ipaddress.ip_network(entry))
            except ValueError:
                self._hosts.add(entry.lower())

    def check(self, host: str, port: int, address: str) -> None:
        """Raise OutboundRefused unless `host`, found at `address`, may be called on `port`."""
        if host.lower().rstrip(".") in self._hosts:
            return
        ip = ipaddress.ip_address(address)
        if any(ip in network for network in self._networks):
            return
        if port not in PORTS:
            raise OutboundRefused(f"port {port} is not one for the web")
        if not is_public(ip):
            raise OutboundRefused("the host is not on the public internet")

    def url(self, text: str) -> URL:
        """The URL, or OutboundRefused. Names are checked by address, when they are resolved."""
        try:
            url = URL(text)
            host, port = url.raw_host, url.port
        except ValueError as error:
            raise OutboundRefused("this is not a URL") from error
        if url.scheme not in {"http", "https"} or not host or not port:
            raise OutboundRefused("only http and https URLs with a host can be called")
        if url.raw_user is not None or url.raw_password is not None:
            raise OutboundRefused("a URL with credentials is not called")
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return url
        self.check(host, port, host)
        return url


class _Resolver(AbstractResolver):
    """Resolves once for each connection, and hands out only what the guard lets through."""

    def __init__(self, guard: Guard) -> None:
        self._guard = guard
        self._resolver = aiohttp.ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        for result in found:
            self._guard.check(host, port, result["host"])
        return found

    async def close(self) -> None:
        await self._resolver.close()


class _Breaker:
    """Closed, open for a while after repeated failures, then open to one request at a time."""

    __slots__ = ("_failures", "_rests_until")

    def __init__(self) -> None:
        self._failures = 0
        self._rests_until = 0.0

    def try_pass(self, now_s: float) -> bool:
        """Whether a request may be tried; the one that is tried after a rest holds back others."""
        if self._failures < BREAKER_FAILURES:
            return True
        if now_s < self._rests_until:
            return False
        self._rests_until = now_s + BREAKER_REST_S
        return True

    def answered(self) -> None:
        self._failures = 0

    def failed(self, now_s: float) -> bool:
        """Count a failure; True when the host begins to rest because of it."""
        self._failures += 1
        self._rests_until = now_s + BREAKER_REST_S
        return self._failures == BREAKER_FAILURES


class Outbound:
    """The client; made and closed inside the running loop. `send` is the `Send` of core."""

    def __init__(
        self,
        *,
        allow: str = "",
        tls: ssl.SSLContext | None = None,
        http2_tls: ssl.SSLContext | None = None,
    ) -> None:
        """`allow` as in `Guard`; `tls` replaces the system's trust, for tests and private CAs, and
        so does `http2_tls`, another object, for requests over HTTP/2.
        """
        self._guard = Guard(allow)
        resolver = _Resolver(self._guard)
        self._http2 = Http2(resolver, http2_tls)
        self._breakers: OrderedDict[str, _Breaker] = OrderedDict()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                resolver=resolver,
                use_dns_cache=False,
                limit_per_host=CONNECTIONS_PER_HOST,
                ssl=True if tls is None else tls,
            ),
            cookie_jar=aiohttp.DummyCookieJar(),
            headers={"User-Agent": USER_AGENT, "Accept-Encoding": "identity"},
            timeout=aiohttp.ClientTimeout(total=None),
            trace_configs=[_connection_trace()],
            trust_env=False,
        )

    async def close(self) -> None:
        """Close the connections."""
        self._http2.close()
        await self._session.close()

    async def send(self, request: HttpRequest) -> HttpResponse:
        """The answer, whatever its status; raises a kind of OutboundError when there is none."""
        clock = asyncio.get_running_loop().time
        started = clock()
        outcome = "unknown"
        try:
            response = await self._send(request, self._guard.url(request.url))
            outcome = f"{response.status // 100}xx"
            return response
        except OutboundRefused:
            outcome = "refused"
            raise
        except OutboundFailed:
            outcome = "failed"
            raise
        finally:
            metrics.outbound_requests.labels(request.purpose, outcome).inc()
            metrics.outbound_seconds.labels(request.purpose).observe(clock() - started)

    async def _send(self, request: HttpRequest, url: URL) -> HttpResponse:
        clock = asyncio.get_running_loop().time
        breaker = self._breaker(f"{url.host}:{url.port}")
        if not breaker.try_pass(clock()):
            raise OutboundFailed("the host has not answered lately and is left alone for a while")
        connection = SimpleNamespace(is_made=False)
        try:
            async with asyncio.timeout(request.timeout_s):
                response = await self._exchange(request, url, connection)
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            if breaker.failed(clock()):
                metrics.outbound_breakers_opened.labels(request.purpose).inc()
            raise _no_answer(error, is_sent=connection.is_made) from error
        except ValueError as error:
            raise OutboundRefused("a header has a character that headers cannot have") from error
        breaker.answered()
        return response

    async def _exchange(
        self, request: HttpRequest, url: URL, connection: SimpleNamespace
    ) -> HttpResponse:
        if request.is_http2:
            if url.scheme != "https":
                raise OutboundRefused("HTTP/2 is spoken over TLS only")
            http2 = await self._http2.connection(url)
            connection.is_made = True
            return await http2.send(request, url)
        async with self._session.request(
            request.method,
            url,
            headers=request.headers,
            data=request.body or None,
            allow_redirects=False,
            trace_request_ctx=connection,
        ) as response:
            body = bytearray()
            async for chunk in response.content.iter_chunked(READ_BYTES):
                body += chunk
                if len(body) > request.answer_bytes_max:
                    raise OutboundTooLarge(f"the answer exceeds {request.answer_bytes_max} bytes")
            headers = {name.lower(): value for name, value in response.headers.items()}
            return HttpResponse(response.status, headers, bytes(body))

    def _breaker(self, host: str) -> _Breaker:
        breaker = self._breakers.get(host)
        if breaker is None:
            breaker = self._breakers[host] = _Breaker()
            if len(self._breakers) > BREAKERS_MAX:
                self._breakers.popitem(last=False)
        self._breakers.move_to_end(host)
        return breaker


def _no_answer(error: Exception, *, is_sent: bool) -> OutboundError:
    cause = "the deadline passed" if isinstance(error, TimeoutError) else type(error).__name__
    return OutboundUnknown(cause) if is_sent else OutboundFailed(cause)


def _connection_trace() -> aiohttp.TraceConfig:
    """Marks when a connection stands: from then on bytes of the request may have left."""

    async def mark(_: object, context: SimpleNamespace, __: object) -> None:
        context.trace_request_ctx.is_made = True

    trace = aiohttp.TraceConfig()
    trace.on_connection_create_end.append(mark)
    trace.on_connection_reuseconn.append(mark)
    return trace
