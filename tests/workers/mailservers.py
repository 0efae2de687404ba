"""Mail servers on real sockets: one that works (aiosmtpd), and one that does as it is told."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import email
import ssl
from collections.abc import AsyncIterator, Callable, Mapping
from email import policy
from email.message import EmailMessage
from pathlib import Path
from typing import Any, NamedTuple

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

USER, PASSWORD = "stampgate", "s3cr:et/ü"


class Mailserver:
    """What the server has received; `refusals` says what it answers to a command."""

    def __init__(self) -> None:
        self.port = 0
        self.refusals: dict[str, str] = {}
        self.received: list[Envelope] = []
        self.was_encrypted: list[bool] = []
        self.logins: list[tuple[bytes, bytes]] = []

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}?tls=off"

    @property
    def mails(self) -> list[EmailMessage]:
        return [read(envelope.original_content) for envelope in self.received]

    async def handle_MAIL(  # noqa: N802 - aiosmtpd's names
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "MAIL" in self.refusals:
            return self.refusals["MAIL"]
        envelope.mail_from = address
        envelope.mail_options.extend(options)
        return "250 OK"

    async def handle_RCPT(  # noqa: N802 - aiosmtpd's names
        self, _: SMTP, __: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        if "RCPT" in self.refusals:
            return self.refusals["RCPT"]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, _: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        if "END" in self.refusals:
            return self.refusals["END"]
        self.received.append(envelope)
        self.was_encrypted.append(session.ssl is not None)
        return "250 2.0.0 queued as 7"

    def log_in(self, *arguments: Any) -> AuthResult:
        found = arguments[4]
        assert isinstance(found, LoginPassword)
        self.logins.append((found.login, found.password))
        is_right = self.logins[-1] == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=is_right, handled=False)


def read(content: bytes | str | None) -> EmailMessage:
    assert isinstance(content, bytes)
    parsed = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, EmailMessage)
    return parsed


@contextlib.asynccontextmanager
async def mailserver(
    *, tls: ssl.SSLContext | None = None, at_once: bool = False, **options: Any
) -> AsyncIterator[Mailserver]:
    """A working server; with `tls` it demands STARTTLS and a password, or speaks TLS at once."""
    server = Mailserver()
    if tls is not None:
        # aiosmtpd does not see that it speaks TLS from the start, and would offer no AUTH.
        options |= {"authenticator": server.log_in}
        options |= {"auth_required": not at_once, "auth_require_tls": not at_once}
        if not at_once:
            options |= {"tls_context": tls, "require_starttls": True}

    def connected() -> SMTP:
        return SMTP(server, hostname="mail.example", loop=asyncio.get_running_loop(), **options)

    async with listening(connected, tls if at_once else None) as server.port:
        yield server


@contextlib.asynccontextmanager
async def listening(
    factory: Callable[[], asyncio.Protocol], tls: ssl.SSLContext | None = None
) -> AsyncIterator[int]:
    """The port of a server with this protocol; its connections end with it."""
    transports: list[asyncio.BaseTransport] = []

    def connected() -> asyncio.Protocol:
        protocol = factory()
        inner = protocol.connection_made

        def connection_made(transport: asyncio.BaseTransport) -> None:
            transports.append(transport)
            inner(transport)

        protocol.connection_made = connection_made  # type: ignore[method-assign] # it is noted
        return protocol

    server = await asyncio.get_running_loop().create_server(connected, "127.0.0.1", 0, ssl=tls)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for transport in transports:
            assert isinstance(transport, asyncio.WriteTransport)
            transport.abort()
        # What they leave behind ends in the next turns of the loop.
        await asyncio.sleep(0.01)


class Script:
    """Answers each command by its first word: with a text, or by hanging up (None), or not at all
    (""). TEXT stands for what follows DATA; BANNER for the greeting.
    """

    def __init__(self, answers: Mapping[str, str | None]) -> None:
        self.answers: dict[str, str | None] = {
            "BANNER": "220 mail.example ready",
            "EHLO": "250-mail.example\r\n250 SIZE 100000",
            "DATA": "354 go on",
            "QUIT": None,
            **answers,
        }
        self.port = 0
        self.heard: list[str] = []
        self.texts = 0
        self._last: asyncio.Transport

    def spoken_to(self, transport: asyncio.Transport) -> None:
        self._last = transport

    def say(self, answer: str) -> None:
        """Give an answer that was held back."""
        self._last.write(answer.encode() + b"\r\n")


class Speaker(asyncio.Protocol):
    """One connection of a script."""

    def __init__(self, script: Script) -> None:
        self._script = script
        self._received = b""
        self._is_text = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._script.spoken_to(transport)
        self._answer("BANNER")

    def data_received(self, data: bytes) -> None:
        self._received += data
        while (end := b"\r\n.\r\n" if self._is_text else b"\n") in self._received:
            line, _, self._received = self._received.partition(end)
            if self._is_text:
                self._is_text = False
                self._script.texts += 1
                self._answer("TEXT")
            else:
                self._script.heard.append(line.decode("latin-1").rstrip("\r"))
                self._answer(self._script.heard[-1].split(" ")[0].upper())

    def _answer(self, word: str) -> None:
        answer = self._script.answers.get(word, "250 OK")
        self._is_text = word == "DATA" and (answer or "").startswith("354")
        if answer is None:
            self._transport.close()
        elif answer:
            self._transport.write(answer.encode() + b"\r\n")


@contextlib.asynccontextmanager
async def scripted(
    tls: ssl.SSLContext | None = None, /, **answers: str | None
) -> AsyncIterator[Script]:
    """A server that does as it is told."""
    script = Script(answers)
    async with listening(lambda: Speaker(script), tls) as script.port:
        yield script


class Silent(asyncio.Protocol):
    """Takes a connection and says nothing."""


class Trust(NamedTuple):
    """Contexts of a server and of a client that trusts it, and the file with its certificate."""

    server: ssl.SSLContext
    client: ssl.SSLContext
    path: Path


def trust(folder: Path, name: str) -> Trust:
    """A server that calls itself `name`."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(hours=1))
        .not_valid_after(now + dt.timedelta(hours=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    path = folder / f"{name}.pem"
    path.write_bytes(
        pem
        + key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.load_cert_chain(path)
    return Trust(server, ssl.create_default_context(cadata=pem.decode()), path)
