"""A local APNs: HTTP/2 over TLS, provider tokens with ES256, errors as Apple words them."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import ipaddress
import json
import ssl
import time
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple, cast

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.x509.oid import NameOID
from h2 import events
from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes

from core.templates import Channel
from tests.providers.notifications.pushers import ec_key, pem
from tests.providers.notifications.server import Fault

DEVICE = "aa" * 32
TOPIC = "test.tea.app"


class Answer(NamedTuple):
    status: int
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()


class Apns:
    """`goes_away` has the next request met with GOAWAY, `refuses` with REFUSED_STREAM, `breaks`
    with a reset that says nothing.
    """

    slug = "apns"
    channel: Channel = "push"
    address = f"apns:{DEVICE}"
    path = f"/3/device/{DEVICE}"

    def __init__(self, url: str) -> None:
        self.url = url
        self.taken: list[str] = []
        self.asked: list[str] = []
        self.faults: dict[str, list[Fault]] = {}
        self.headers: list[dict[str, str]] = []
        self.bodies: list[dict[str, Any]] = []
        self.tokens: set[str] = set()
        self.gone: dict[str, str] = {}
        self.connections: list[Connection] = []
        self.goes_away = self.refuses = self.breaks = False

    def config(self) -> dict[str, Any]:
        return {
            "team_id": "TEAM000001",
            "key_id": "KEY0000001",
            "private_key": pem(ec_key(3)),
            "topic": TOPIC,
            "base_url": self.url,
        }

    def wrong(self) -> dict[str, Any]:
        return {**self.config(), "private_key": pem(ec_key(4))}

    def yes(self) -> Fault:
        return Fault(200, b"", {"apns-id": "eabeae54-14a8-11e5-b60b-1697f925ec7b"})

    def answer(self, headers: dict[str, str], body: bytes) -> Answer:
        path = headers[":path"]
        if headers[":method"] != "POST" or not path.startswith("/3/device/"):
            return reason(404, "BadPath")
        if (problem := self._token_problem(headers.get("authorization", ""))) is not None:
            return reason(403, problem)
        if headers.get("apns-topic") != TOPIC:
            return reason(400, "BadTopic")
        if headers.get("apns-push-type") not in {"alert", "background"}:
            return reason(400, "InvalidPushType")
        if len(body) > 4096:
            return reason(413, "PayloadTooLarge")
        device = path.removeprefix("/3/device/")
        if device in self.gone:
            said = self.gone[device]
            return reason(410 if said == "Unregistered" else 400, said)
        uuid.UUID(headers["apns-id"])
        payload = json.loads(body)
        assert set(payload["aps"]["alert"]) == {"title", "body"}
        assert len(headers["apns-collapse-id"].encode()) <= 64
        self.headers.append(headers)
        self.bodies.append(payload)
        self.taken.append(payload["notification_id"])
        return Answer(200, headers=(("apns-id", headers["apns-id"]),))

    def _token_problem(self, header: str) -> str | None:
        kind, _, token = header.partition(" ")
        if kind != "bearer":
            return "MissingProviderToken"
        self.tokens.add(token)
        try:
            claims = jwt.decode(
                token,
                ec_key(3).public_key(),
                algorithms=["ES256"],
                issuer="TEAM000001",
                options={"require": ["iss", "iat"], "verify_iat": False},
            )
        except jwt.InvalidTokenError:
            return "InvalidProviderToken"
        if jwt.get_unverified_header(token).get("kid") != "KEY0000001":
            return "InvalidProviderToken"
        return None if abs(time.time() - claims["iat"]) < 3600 else "ExpiredProviderToken"


def reason(status: int, word: str) -> Answer:
    return Answer(status, json.dumps({"reason": word}).encode())


class Connection(asyncio.Protocol):
    """One client."""

    def __init__(self, server: Apns) -> None:
        self._server = server
        self._h2 = H2Connection(H2Configuration(client_side=False, header_encoding="utf-8"))
        self._requests: dict[int, tuple[dict[str, str], bytearray]] = {}
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)
        self._server.connections.append(self)
        self._h2.initiate_connection()
        self._flush()

    def data_received(self, data: bytes) -> None:
        for event in self._h2.receive_data(data):
            match event:
                case events.RequestReceived():
                    headers = {str(name): str(value) for name, value in event.headers}
                    self._requests[event.stream_id] = (headers, bytearray())
                case events.DataReceived():
                    self._h2.acknowledge_received_data(
                        event.flow_controlled_length, event.stream_id
                    )
                    self._requests[event.stream_id][1].extend(event.data)
                case events.StreamEnded():
                    self._answer(event.stream_id)
                case _:
                    pass
        self._flush()

    def _answer(self, stream_id: int) -> None:
        server = self._server
        headers, body = self._requests.pop(stream_id)
        server.asked.append(headers[":path"])
        if server.goes_away:
            server.goes_away = False
            self._h2.close_connection(ErrorCodes.NO_ERROR, last_stream_id=0)
        elif server.refuses or server.breaks:
            code = ErrorCodes.REFUSED_STREAM if server.refuses else ErrorCodes.INTERNAL_ERROR
            server.refuses = server.breaks = False
            self._h2.reset_stream(stream_id, code)
        elif faults := server.faults.get(headers[":path"]):
            self._fail(stream_id, faults.pop(0))
        else:
            self._say(stream_id, server.answer(headers, bytes(body)))

    def _fail(self, stream_id: int, fault: Fault) -> None:
        if fault.is_hanging:
            return
        if fault.is_cut:
            self._h2.send_headers(stream_id, [(":status", str(fault.status))])
            self._flush()
            self.transport.close()
            return
        self._say(stream_id, Answer(fault.status, fault.body, tuple(fault.headers.items())))

    def _say(self, stream_id: int, answer: Answer) -> None:
        headers = [(":status", str(answer.status)), *((n.lower(), v) for n, v in answer.headers)]
        self._h2.send_headers(stream_id, headers, end_stream=not answer.body)
        if answer.body:
            self._h2.send_data(stream_id, answer.body, end_stream=True)

    def _flush(self) -> None:
        self.transport.write(self._h2.data_to_send())


@contextlib.asynccontextmanager
async def running(tls: ssl.SSLContext) -> AsyncIterator[Apns]:
    """APNs while the context lasts."""
    server = Apns("")
    loop = asyncio.get_running_loop()
    listener = await loop.create_server(lambda: Connection(server), "127.0.0.1", 0, ssl=tls)
    server.url = f"https://127.0.0.1:{listener.sockets[0].getsockname()[1]}"
    try:
        yield server
    finally:
        listener.close()
        for connection in server.connections:
            connection.transport.abort()
        await listener.wait_closed()


def certificate(folder: Path) -> Path:
    """A certificate for this machine, with its key, in one file."""
    key = ec_key(9)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "api.push.apple.com")])
    now = dt.datetime.now(dt.UTC)
    names = [x509.IPAddress(ipaddress.ip_address("127.0.0.1")), x509.DNSName("localhost")]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "apple.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + pem(key).encode())
    return path


def speaking(path: Path, protocol: str = "h2") -> ssl.SSLContext:
    """The server's side of TLS."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(path)
    context.set_alpn_protocols([protocol])
    return context
