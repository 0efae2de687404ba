from __future__ import annotations

import asyncio
import datetime as dt
import ipaddress
import socket
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import msgspec
import pytest
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from core.http import (
    HttpRequest,
    OutboundFailed,
    OutboundRefused,
    OutboundTooLarge,
    OutboundUnknown,
)
from web import metrics, outbound
from web.outbound import Guard, Outbound, is_public

LOOPBACK = "127.0.0.0/8"

NOT_PUBLIC = [
    "0.0.0.0",
    "10.1.2.3",
    "100.64.0.1",
    "127.0.0.1",
    "127.255.0.1",
    "169.254.169.254",
    "172.16.0.1",
    "192.0.0.1",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "224.0.0.1",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::ffff:127.0.0.1",
    "::ffff:169.254.169.254",
    "64:ff9b::7f00:1",
    "64:ff9b::a9fe:a9fe",
    "64:ff9b:1::1",
    "2001:0:1::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "fec0::1",
    "ff02::1",
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_an_address_inside_is_refused(address: str) -> None:
    assert not is_public(ipaddress.ip_address(address))
    with pytest.raises(OutboundRefused):
        Guard("").check("example.com", 443, address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1", "64:ff9b::101:101"]
)
def test_an_address_outside_is_called(address: str) -> None:
    assert is_public(ipaddress.ip_address(address))
    Guard("").check("example.com", 443, address)


def test_a_port_that_is_not_for_the_web_is_refused() -> None:
    with pytest.raises(OutboundRefused, match="port 6379"):
        Guard("").check("example.com", 6379, "1.1.1.1")


def test_the_operator_may_allow_hosts_addresses_and_networks() -> None:
    guard = Guard("Internal.example, 10.0.0.0/8,::1")
    guard.check("internal.example.", 9000, "192.168.0.1")
    guard.check("other.example", 9000, "10.9.9.9")
    guard.check("localhost", 9000, "::1")
    with pytest.raises(OutboundRefused):
        guard.check("other.example", 9000, "192.168.0.1")


async def echo(request: web.BaseRequest) -> web.StreamResponse:
    body = await request.read()
    return web.json_response({"host": request.headers["Host"], "body": body.decode()})


Handle = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Peer:
    """A server to call, whose behavior a test chooses."""

    def __init__(self) -> None:
        self.handle: Handle = echo
        self.port = 0
        self.hits = 0

    async def answer(self, request: web.BaseRequest) -> web.StreamResponse:
        self.hits += 1
        return await self.handle(request)

    def url(self, path: str = "/", host: str = "127.0.0.1") -> str:
        return f"http://{host}:{self.port}{path}"


@pytest.fixture
async def peer() -> AsyncIterator[Peer]:
    peer = Peer()
    async with serving(web.Server(peer.answer)) as port:
        peer.port = port
        yield peer


@asynccontextmanager
async def serving(server: web.Server, tls: ssl.SSLContext | None = None) -> AsyncIterator[int]:
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(server, "127.0.0.1", 0, ssl=tls)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        server.pre_shutdown()
        await server.shutdown(1)


@pytest.fixture
async def client() -> AsyncIterator[Outbound]:
    client = Outbound(allow=LOOPBACK)
    yield client
    await client.close()


def request(url: str, timeout_s: float = 5.0, body: bytes = b"hello") -> HttpRequest:
    return HttpRequest(method="POST", url=url, purpose="test", body=body, timeout_s=timeout_s)


async def test_the_answer_comes_back_whatever_its_status(client: Outbound, peer: Peer) -> None:
    answer = await client.send(request(peer.url()))
    assert answer.status == 200
    assert answer.headers["content-type"].startswith("application/json")
    assert b'"hello"' in answer.body

    async def fail(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=500)

    peer.handle = fail
    assert (await client.send(request(peer.url()))).status == 500


async def test_without_permission_nothing_inside_is_called(peer: Peer) -> None:
    client = Outbound()
    hosts = ["127.0.0.1", "localhost", "[::1]", "[::ffff:127.0.0.1]", "2130706433", "127.1", "0"]
    for host in hosts:
        with pytest.raises((OutboundRefused, OutboundFailed)):
            await client.send(request(peer.url(host=host)))
    await client.close()
    assert peer.hits == 0


async def test_a_name_is_checked_by_the_address_that_is_connected_to(peer: Peer) -> None:
    client = Outbound()
    with pytest.raises(OutboundRefused):
        await client.send(request(f"http://localhost:{peer.port}/"))
    await client.close()
    by_name = Outbound(allow="localhost")
    answer = await by_name.send(request(f"http://localhost:{peer.port}/"))
    assert f'"localhost:{peer.port}"'.encode() in answer.body
    await by_name.close()


@pytest.mark.parametrize(
    "url",
    [
        "file:///etc/passwd",
        "ftp://example.com/",
        "//example.com/",
        "example.com",
        "http://",
        "http://user:password@127.0.0.1/",
        "http://127.0.0.1:99999/",
        "http://[::1/",
        "",
    ],
)
async def test_a_url_that_is_not_for_the_web_is_refused(client: Outbound, url: str) -> None:
    with pytest.raises(OutboundRefused):
        await client.send(request(url))


async def test_a_header_that_splits_is_refused(client: Outbound, peer: Peer) -> None:
    split = HttpRequest(
        method="POST", url=peer.url(), purpose="test", headers={"X": "a\r\nHost: evil"}
    )
    with pytest.raises(OutboundRefused):
        await client.send(split)
    assert peer.hits == 0


async def test_a_redirect_is_an_answer_and_is_not_followed(client: Outbound, peer: Peer) -> None:
    async def elsewhere(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": "http://169.254.169.254/"})

    peer.handle = elsewhere
    answer = await client.send(request(peer.url()))
    assert answer.status == 302
    assert peer.hits == 1


async def test_a_proxy_from_the_environment_is_not_used(
    client: Outbound, peer: Peer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    assert (await client.send(request(peer.url()))).status == 200


async def test_nobody_listening_means_not_sent(client: Outbound) -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(OutboundFailed):
        await client.send(request(f"http://127.0.0.1:{port}/"))


async def test_silence_after_the_request_means_unknown(client: Outbound, peer: Peer) -> None:
    async def wait(_: web.BaseRequest) -> web.StreamResponse:
        await asyncio.Event().wait()
        raise AssertionError

    peer.handle = wait
    with pytest.raises(OutboundUnknown, match="deadline"):
        await client.send(request(peer.url(), timeout_s=0.2))
    assert peer.hits == 1


async def test_a_connection_cut_after_the_request_means_unknown(
    client: Outbound, peer: Peer
) -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    peer.handle = cut
    with pytest.raises(OutboundUnknown):
        await client.send(request(peer.url()))


async def test_an_endless_answer_is_cut_off(client: Outbound, peer: Peer) -> None:
    async def flood(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 65_536)

    peer.handle = flood
    with pytest.raises(OutboundTooLarge, match="exceeds 1048576"):
        await client.send(request(peer.url()))
    asked = msgspec.structs.replace(request(peer.url()), answer_bytes_max=70_000)
    with pytest.raises(OutboundTooLarge, match="exceeds 70000"):
        await client.send(asked)


async def test_a_host_that_keeps_failing_is_left_alone(client: Outbound, peer: Peer) -> None:
    async def cut(request: web.BaseRequest) -> web.StreamResponse:
        assert request.transport is not None
        request.transport.abort()
        return web.Response()

    peer.handle = cut
    for _ in range(outbound.BREAKER_FAILURES):
        with pytest.raises(OutboundUnknown):
            await client.send(request(peer.url()))
    with pytest.raises(OutboundFailed, match="left alone"):
        await client.send(request(peer.url()))
    assert peer.hits == outbound.BREAKER_FAILURES


def test_after_its_rest_a_host_is_tried_by_one_request() -> None:
    breaker = outbound._Breaker()
    opened = [breaker.failed(100.0) for _ in range(outbound.BREAKER_FAILURES)]
    assert opened == [False] * (outbound.BREAKER_FAILURES - 1) + [True]
    assert not breaker.try_pass(101.0)
    after = 100.0 + outbound.BREAKER_REST_S
    assert breaker.try_pass(after)
    assert not breaker.try_pass(after)
    breaker.answered()
    assert breaker.try_pass(after)


async def test_a_host_is_called_over_a_bounded_number_of_connections(
    client: Outbound, peer: Peer
) -> None:
    now = most = 0

    async def count(_: web.BaseRequest) -> web.StreamResponse:
        nonlocal now, most
        now += 1
        most = max(most, now)
        await asyncio.sleep(0.01)
        now -= 1
        return web.Response()

    peer.handle = count
    await asyncio.gather(*(client.send(request(peer.url())) for _ in range(40)))
    assert most == outbound.CONNECTIONS_PER_HOST


async def test_outcomes_are_counted_by_purpose(client: Outbound, peer: Peer) -> None:
    counter = metrics.outbound_requests.labels("test", "2xx")
    before = counter._value.get()
    await client.send(request(peer.url()))
    assert counter._value.get() == before + 1


async def test_tls_is_verified_for_the_name_while_the_address_is_pinned(tmp_path: Path) -> None:
    server_tls, client_tls = certificates(tmp_path, "localhost")
    seen: list[str | None] = []

    def note(_: ssl.SSLObject | ssl.SSLSocket, name: str | None, __: ssl.SSLContext) -> None:
        seen.append(name)

    server_tls.sni_callback = note
    client = Outbound(allow=LOOPBACK, tls=client_tls)
    async with serving(web.Server(echo), server_tls) as port:
        answer = await client.send(request(f"https://localhost:{port}/"))
        assert f'"localhost:{port}"'.encode() in answer.body
        with pytest.raises(OutboundFailed):
            await client.send(request(f"https://127.0.0.1:{port}/"))
    await client.close()
    assert seen[0] == "localhost"


def certificates(folder: Path, name: str) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """A self-signed certificate for `name`: the server's context, and a client's that trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    path = folder / "server.pem"
    path.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return server, ssl.create_default_context(cafile=path)
