"""Mail by SMTP (RFC 5321), with STARTTLS (RFC 3207) or TLS, and AUTH (RFC 4954).

SMTP has no key under which a message could be repeated harmlessly. Until the server has said that
the text may come, everything that goes wrong means that nothing was sent; from the first byte of
the text until the server's answer to its end, a lost connection means that nobody knows.
"""

from __future__ import annotations

import asyncio
import base64
import ssl
from typing import Final, Self

from core import mail, smtp
from core.errors import BadAddress, BadReply
from core.http import Send
from core.mail import Mailbox
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent, Unknown
from core.smtp import Reply, Server
from core.templates import Channel, Message

REASON_LENGTH_MAX: Final = 300
# Who may send is for the operator to repair, and no fault of the message.
OURS: Final = frozenset({530, 534, 535, 538})


class HungUp(ConnectionError):
    """The server has closed the connection."""

    def __init__(self) -> None:
        super().__init__("the mail server hung up")


class Wire(asyncio.Protocol):
    """A connection of which replies are read one at a time."""

    def __init__(self) -> None:
        self._received = bytearray()
        self._transport: asyncio.Transport
        self.is_lost = False
        self._waiter: asyncio.Future[None] | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Of the protocol: see `asyncio.Protocol`."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        """Of the protocol: see `asyncio.Protocol`."""
        self._received += data
        if len(self._received) > smtp.REPLY_BYTES_MAX:
            self._transport.pause_reading()
        self._wake()

    def connection_lost(self, error: Exception | None) -> None:
        """Of the protocol: see `asyncio.Protocol`."""
        del error
        self.is_lost = True
        self._wake()

    async def reply(self) -> Reply:
        """The next reply; BadReply, HungUp."""
        while (reply := smtp.take_reply(self._received)) is None:
            if self.is_lost:
                raise HungUp
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter
        return reply

    async def say(self, command: str) -> Reply:
        """The reply to one command."""
        assert "\r" not in command
        assert "\n" not in command
        self.write(command.encode() + b"\r\n")
        return await self.reply()

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self._transport.write(data)

    async def start_tls(self, context: ssl.SSLContext, host: str) -> None:
        """Encrypt from here on. What was received in the clear must not count as said under TLS."""
        if self._received:
            raise BadReply("the mail server spoke before TLS had begun")
        transport = await asyncio.get_running_loop().start_tls(
            self._transport, self, context, server_hostname=host
        )
        if transport is None or self._received:
            raise BadReply("the mail server spoke before TLS had begun")
        self._transport = transport

    @property
    def own_name(self) -> str:
        """What we call ourselves: an address literal, as we know no name that others know."""
        address = self._transport.get_extra_info("sockname")[0]
        return f"[IPv6:{address}]" if ":" in address else f"[{address}]"

    def hang_up(self) -> None:
        """Say goodbye, without waiting for an answer."""
        self._transport.write(b"QUIT\r\n")
        self._transport.close()

    def abort(self) -> None:
        """Leave without a word."""
        self._transport.abort()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: object, *_: object) -> None:
        if kind is None:
            self.hang_up()
        else:
            self.abort()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)


class Ended(Exception):
    """The server said no; `outcome` is what that means."""

    def __init__(self, outcome: Outcome) -> None:
        self.outcome = outcome


class Smtp:
    """The channel. `tls` replaces the system's trust, for tests and private authorities."""

    slug: Final = "smtp"
    channels: Final[tuple[Channel, ...]] = ("email",)

    def __init__(
        self,
        server: Server,
        sender: Mailbox,
        timeout_s: float,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._server = server
        self._sender = sender
        self._timeout_s = timeout_s
        self._tls = tls or ssl.create_default_context()

    def takes(self, message: Message) -> bool:
        """Any mail."""
        return message.channel == "email"

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        del send
        try:
            recipient = mail.mailbox(message.address)
            text = mail.compose(message, self._sender, recipient)
        except BadAddress as error:
            return Refused(str(error), "address")
        deadline = asyncio.get_running_loop().time() + self._timeout_s
        try:
            async with asyncio.timeout_at(deadline):
                wire = await self._reach_data(recipient, len(text))
        except Ended as end:
            return end.outcome
        except (OSError, BadReply) as error:
            return Deferred(_said(error))
        with wire:
            await begin()
            if wire.is_lost:
                return Deferred(_said(HungUp()))
            return await _send_text(wire, smtp.as_data(text), deadline)

    async def _reach_data(self, recipient: Mailbox, size: int) -> Wire:
        """A connection on which the server waits for the text."""
        wire = await self._connect()
        try:
            offered = await self._greet(wire)
            await self._envelope(wire, offered, recipient, size)
            _expect(await wire.say("DATA"), 354)
        except Ended:
            wire.hang_up()
            raise
        except BaseException:
            wire.abort()
            raise
        return wire

    async def _connect(self) -> Wire:
        host, port = self._server.host, self._server.port
        context = self._tls if self._server.tls == "at_once" else None
        _, wire = await asyncio.get_running_loop().create_connection(
            Wire, host, port, ssl=context, happy_eyeballs_delay=0.25
        )
        return wire

    async def _greet(self, wire: Wire) -> dict[str, str]:
        """Get to where mail may be sent; what the server then offers."""
        _expect_ready(await wire.reply())
        offered = await _ehlo(wire)
        if self._server.tls == "starttls":
            if "STARTTLS" not in offered:
                raise Ended(Deferred("the mail server does not offer STARTTLS"))
            _expect_ready(await wire.say("STARTTLS"))
            await wire.start_tls(self._tls, self._server.host)
            # RFC 3207: what was offered in the clear is forgotten.
            offered = await _ehlo(wire)
        if self._server.user:
            await self._log_in(wire, offered.get("AUTH", "").upper().split())
        return offered

    async def _log_in(self, wire: Wire, mechanisms: list[str]) -> None:
        user, password = self._server.user, self._server.password
        if "PLAIN" in mechanisms:
            both = _base64(f"\0{user}\0{password}")
            reply = await wire.say(f"AUTH PLAIN {both}")
        elif "LOGIN" in mechanisms:
            reply = await wire.say("AUTH LOGIN")
            for answer in (user, password):
                if reply.code == 334:
                    reply = await wire.say(_base64(answer))
        else:
            raise Ended(Deferred("the mail server offers neither AUTH PLAIN nor LOGIN"))
        if reply.code != 235:
            # Not in its own words, which may repeat what we said.
            raise Ended(Deferred(f"the mail server did not let us in: {reply.code}"))

    async def _envelope(
        self, wire: Wire, offered: dict[str, str], recipient: Mailbox, size: int
    ) -> None:
        options = ""
        if size_max := offered.get("SIZE", ""):
            if size_max.isdecimal() and 0 < int(size_max) < size:
                raise Ended(Refused(f"the mail server takes {size_max} bytes at the most"))
            options += f" SIZE={size}"
        if self._sender.needs_utf8 or recipient.needs_utf8:
            if "SMTPUTF8" not in offered:
                raise Ended(Refused("the mail server takes no address that is not ASCII"))
            options += " SMTPUTF8 BODY=8BITMIME"
        _expect(await wire.say(f"MAIL FROM:<{self._sender.address}>{options}"), 250)
        _expect(await wire.say(f"RCPT TO:<{recipient.address}>"), 250, 251)


async def _send_text(wire: Wire, text: bytes, deadline: float) -> Outcome:
    """Send what follows DATA. Whatever keeps the answer from us leaves the outcome unknown."""
    try:
        async with asyncio.timeout_at(deadline):
            wire.write(text)
            reply = _expect(await wire.reply(), 250)
    except Ended as end:
        return end.outcome
    except (OSError, BadReply) as error:
        wire.abort()
        return Unknown(_said(error))
    return Sent(reply.lines[0][:REASON_LENGTH_MAX])


async def _ehlo(wire: Wire) -> dict[str, str]:
    reply = await wire.say(f"EHLO {wire.own_name}")
    _expect_ready(reply)
    return smtp.extensions(reply)


def _expect(reply: Reply, *codes: int) -> Reply:
    """The reply, if its code is one of these; Ended otherwise."""
    if reply.code in codes:
        return reply
    if reply.is_good:
        raise BadReply(f"the mail server answered {reply.code} out of turn")
    is_for_good = reply.is_final and reply.code not in OURS
    raise Ended(Refused(_quoted(reply)) if is_for_good else Deferred(_quoted(reply)))


def _expect_ready(reply: Reply) -> None:
    """A server that has no time, or no service for us, says nothing about the message."""
    if not reply.is_good:
        raise Ended(Deferred(_quoted(reply)))
    _expect(reply, 220, 250)


def _quoted(reply: Reply) -> str:
    """Only code and enhanced status (RFC 3463): the text likes to repeat the address."""
    words = reply.lines[0].split(" ", 1)
    status = words[0] if words[0].replace(".", "").isdecimal() and "." in words[0] else ""
    return f"the mail server answered {reply.code} {status}".rstrip()


def _said(error: Exception) -> str:
    match error:
        case BadReply() | HungUp():
            return str(error)
        case TimeoutError():
            return "the mail server did not answer in time"
        case ssl.SSLCertVerificationError():
            return f"the mail server's certificate does not count: {error.verify_message}"
        case _:
            return f"the mail server cannot be reached: {type(error).__name__}"


def _base64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()
