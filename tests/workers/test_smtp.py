"""Mail through real sockets: what arrives, and what is known when it does not."""

from __future__ import annotations

import asyncio
import ssl
from pathlib import Path

import msgspec
import pytest

from core import mail
from core.http import HttpRequest, HttpResponse
from core.providers.protocols import Deferred, Outcome, Refused, Sent, Unknown
from core.smtp import Server
from core.templates import Message
from tests.workers.mailservers import (
    PASSWORD,
    USER,
    Silent,
    Trust,
    listening,
    mailserver,
    scripted,
    trust,
)
from workers.channels.smtp import Smtp

SENDER = mail.mailbox("no-reply@example.com", "Stampgate")
MESSAGE = Message(
    id="ntf_1",
    channel="email",
    address="asha@example.org",
    sender="Tea",
    subject="Your code",
    text="482913\n.\n..\n",
    html="",
    template="sign_in_code",
    language="en",
    variables={},
    created_at_ms=1_700_000_000_000,
)


class Beginning:
    """Notes whether it was awaited, and fails if told to."""

    def __init__(self, error: Exception | None = None) -> None:
        self.count = 0
        self.error = error

    async def __call__(self) -> None:
        self.count += 1
        if self.error is not None:
            raise self.error


async def no_http(_: HttpRequest) -> HttpResponse:
    raise AssertionError


def plain(port: int) -> Server:
    return Server("127.0.0.1", port, "off", "", "")


async def deliver(
    server: Server,
    *,
    begin: Beginning | None = None,
    tls: ssl.SSLContext | None = None,
    timeout_s: float = 5,
    sender: mail.Mailbox = SENDER,
    **changes: str,
) -> Outcome:
    channel = Smtp(server, sender, timeout_s, tls)
    message = msgspec.structs.replace(MESSAGE, **changes)
    return await channel.deliver(no_http, message, begin or Beginning())


@pytest.fixture
def trusted(tmp_path: Path) -> Trust:
    return trust(tmp_path, "localhost")


async def test_a_mail_arrives_as_it_was_written() -> None:
    begin = Beginning()
    async with mailserver() as server:
        outcome = await deliver(plain(server.port), begin=begin)
    assert outcome == Sent("2.0.0 queued as 7")
    assert begin.count == 1
    [envelope] = server.received
    assert (envelope.mail_from, envelope.rcpt_tos) == ("no-reply@example.com", ["asha@example.org"])
    [received] = server.mails
    assert received["subject"] == "Your code"
    assert received["message-id"] == "<ntf_1@example.com>"
    assert received.get_content().replace("\r\n", "\n") == "482913\n.\n..\n"


async def test_what_is_not_ascii_arrives_as_it_was_written() -> None:
    text = "कोड 482913 — für Jörg\n" * 100
    async with mailserver() as server:
        await deliver(
            plain(server.port),
            subject="Ihr Code für Größe 字",
            sender=mail.mailbox("no-reply@bücher.example"),
            text=text,
            html="<b>कोड</b>\n",
            address="asha@straße.example",
        )
    [envelope] = server.received
    assert envelope.mail_from == "no-reply@xn--bcher-kva.example"
    assert envelope.rcpt_tos == ["asha@xn--strae-oqa.example"]
    [received] = server.mails
    assert received["subject"] == "Ihr Code für Größe 字"
    plain_part = received.get_body(("plain",))
    html_part = received.get_body(("html",))
    assert plain_part is not None
    assert html_part is not None
    assert plain_part.get_content().replace("\r\n", "\n") == text
    assert "<b>कोड</b>" in html_part.get_content()


async def test_an_address_that_is_not_ascii_needs_a_server_that_takes_it() -> None:
    async with mailserver(enable_SMTPUTF8=True) as server:
        assert isinstance(await deliver(plain(server.port), address="आशा@example.org"), Sent)
    [envelope] = server.received
    assert envelope.rcpt_tos == ["आशा@example.org"]
    assert "SMTPUTF8" in envelope.mail_options
    assert server.mails[0]["to"] == "आशा@example.org"
    async with mailserver(enable_SMTPUTF8=False) as server:
        outcome = await deliver(plain(server.port), address="आशा@example.org")
    assert isinstance(outcome, Refused)
    assert server.received == []


async def test_a_password_is_only_said_under_tls(trusted: Trust) -> None:
    async with mailserver(tls=trusted.server) as server:
        secure = Server("localhost", server.port, "starttls", USER, PASSWORD)
        assert isinstance(await deliver(secure, tls=trusted.client), Sent)
    assert server.was_encrypted == [True]
    assert server.logins == [(USER.encode(), PASSWORD.encode())]


async def test_tls_from_the_first_byte(trusted: Trust) -> None:
    async with mailserver(tls=trusted.server, at_once=True) as server:
        secure = Server("localhost", server.port, "at_once", USER, PASSWORD)
        assert isinstance(await deliver(secure, tls=trusted.client), Sent)
    assert server.logins == [(USER.encode(), PASSWORD.encode())]


async def test_a_server_that_knows_only_login_is_told_so(trusted: Trust) -> None:
    async with mailserver(tls=trusted.server, auth_exclude_mechanism=["PLAIN"]) as server:
        secure = Server("localhost", server.port, "starttls", USER, PASSWORD)
        assert isinstance(await deliver(secure, tls=trusted.client), Sent)
    assert server.logins == [(USER.encode(), PASSWORD.encode())]


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
async def test_a_wrong_password_is_ours_to_repair_and_not_the_mails_fault(
    trusted: Trust, mechanism: str
) -> None:
    offer = f"250-mail.example\r\n250 AUTH {mechanism}"
    async with scripted(trusted.server, EHLO=offer, AUTH="535 5.7.8 not stampgate") as script:
        secure = Server("localhost", script.port, "at_once", USER, "wr0ng")
        outcome = await deliver(secure, tls=trusted.client)
    assert outcome == Deferred("the mail server did not let us in: 535")
    assert [line.split()[0] for line in script.heard[:2]] == ["EHLO", "AUTH"]


async def test_a_missing_password_is_ours_to_repair(trusted: Trust) -> None:
    async with mailserver(tls=trusted.server) as server:
        secure = Server("localhost", server.port, "starttls", "", "")
        outcome = await deliver(secure, tls=trusted.client)
    assert outcome == Deferred("the mail server answered 530 5.7.0")


async def test_a_certificate_that_nobody_vouches_for_gets_no_password(trusted: Trust) -> None:
    async with mailserver(tls=trusted.server) as server:
        secure = Server("localhost", server.port, "starttls", USER, PASSWORD)
        outcome = await deliver(secure)
        assert isinstance(outcome, Deferred)
        assert "certificate" in outcome.reason
    assert server.logins == []


async def test_a_certificate_of_another_server_gets_no_password(tmp_path: Path) -> None:
    other = trust(tmp_path, "other.example")
    async with mailserver(tls=other.server) as server:
        secure = Server("localhost", server.port, "starttls", USER, PASSWORD)
        outcome = await deliver(secure, tls=other.client)
        assert isinstance(outcome, Deferred)
        assert "certificate" in outcome.reason
    assert server.logins == []


async def test_without_starttls_nothing_is_sent() -> None:
    """Whoever sits in between may have taken the offer out."""
    async with scripted(EHLO="250-mail.example\r\n250 AUTH PLAIN") as script:
        outcome = await deliver(Server("127.0.0.1", script.port, "starttls", USER, PASSWORD))
    assert outcome == Deferred("the mail server does not offer STARTTLS")
    assert [line.split()[0] for line in script.heard] == ["EHLO"]


@pytest.mark.parametrize("more", ["250 injected", "250-STARTTLS\r\n250 AUTH PLAIN", "2"])
async def test_what_was_said_in_the_clear_does_not_count_as_said_under_tls(more: str) -> None:
    """CVE-2011-0411: an attacker puts an answer behind the one to STARTTLS."""
    async with scripted(
        EHLO="250-mail.example\r\n250 STARTTLS", STARTTLS=f"220 go\r\n{more}"
    ) as script:
        outcome = await deliver(Server("127.0.0.1", script.port, "starttls", USER, PASSWORD))
    assert isinstance(outcome, Deferred)
    assert [line.split()[0] for line in script.heard] == ["EHLO", "STARTTLS"]


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "END"])
async def test_an_answer_of_4xx_means_later(command: str) -> None:
    async with mailserver() as server:
        server.refusals[command] = "451 4.7.1 greylisted, asha@example.org"
        assert await deliver(plain(server.port)) == Deferred("the mail server answered 451 4.7.1")
        del server.refusals[command]
        assert isinstance(await deliver(plain(server.port)), Sent)


@pytest.mark.parametrize("command", ["MAIL", "RCPT", "END"])
async def test_an_answer_of_5xx_means_never(command: str) -> None:
    async with mailserver() as server:
        server.refusals[command] = "550 5.1.1 no asha@example.org here"
        assert await deliver(plain(server.port)) == Refused("the mail server answered 550 5.1.1")
    assert server.received == []


@pytest.mark.parametrize(
    ("word", "answer"),
    [
        ("BANNER", "421 busy"),
        ("BANNER", "554 not you"),
        ("EHLO", "502 what"),
        ("MAIL", "421 closing"),
        ("RCPT", "450 busy"),
        ("DATA", "421 closing"),
        ("TEXT", "421 closing"),
        ("TEXT", "452 disk full"),
        ("MAIL", "530 5.7.0 log in first"),
    ],
)
async def test_a_server_that_has_no_time_is_asked_again(word: str, answer: str) -> None:
    async with scripted(**{word: answer}) as script:
        assert isinstance(await deliver(plain(script.port)), Deferred)


@pytest.mark.parametrize("word", ["BANNER", "EHLO", "MAIL", "RCPT", "DATA"])
@pytest.mark.parametrize("answer", [None, "", "what", "250-", "354 out of turn", "250 OK\r\n999"])
async def test_whatever_happens_before_the_text_nothing_was_sent(
    word: str, answer: str | None
) -> None:
    if (word, answer) == ("DATA", "354 out of turn"):
        pytest.skip("it is in turn")
    begin = Beginning()
    async with scripted(**{word: answer}) as script:
        outcome = await deliver(plain(script.port), begin=begin, timeout_s=0.3)
    if answer == "250 OK\r\n999" and script.texts:
        assert isinstance(outcome, Unknown)
    else:
        assert isinstance(outcome, Deferred)
        assert (begin.count, script.texts) == (0, 0)


@pytest.mark.parametrize("answer", [None, "", "what", "250-", "354 go on", "999 ?"])
async def test_a_lost_answer_to_the_text_leaves_it_unknown(answer: str | None) -> None:
    begin = Beginning()
    async with scripted(TEXT=answer) as script:
        outcome = await deliver(plain(script.port), begin=begin, timeout_s=0.3)
    assert isinstance(outcome, Unknown)
    assert (begin.count, script.texts) == (1, 1)


async def test_nobody_listening_means_later() -> None:
    async with listening(Silent) as port:
        pass
    begin = Beginning()
    outcome = await deliver(plain(port), begin=begin)
    assert outcome == Deferred("the mail server cannot be reached: ConnectionRefusedError")
    assert begin.count == 0


async def test_a_name_that_is_no_servers_means_later() -> None:
    server = Server("mail.invalid", 25, "off", "", "")
    assert isinstance(await deliver(server), Deferred)


async def test_a_server_that_takes_the_connection_and_says_nothing_means_later() -> None:
    async with listening(Silent) as port:
        outcome = await deliver(plain(port), timeout_s=0.2)
        secure = Server("127.0.0.1", port, "at_once", "", "")
        assert isinstance(await deliver(secure, timeout_s=0.2), Deferred)
    assert outcome == Deferred("the mail server did not answer in time")


async def test_a_server_that_never_stops_talking_is_given_up() -> None:
    async with scripted(EHLO="250-" + "a" * 100_000 + "\r\n250 OK") as script:
        outcome = await deliver(plain(script.port))
    assert isinstance(outcome, Deferred)


async def test_a_mail_that_is_larger_than_the_server_takes_is_not_sent() -> None:
    async with mailserver(data_size_limit=1_000) as server:
        outcome = await deliver(plain(server.port), text="a" * 2_000)
    assert outcome == Refused("the mail server takes 1000 bytes at the most")


async def test_what_stops_the_beginning_passes_through_and_nothing_is_sent() -> None:
    async with scripted() as script:
        with pytest.raises(ZeroDivisionError):
            await deliver(plain(script.port), begin=Beginning(ZeroDivisionError()))
        # Whatever kind of error: it is not one of the mail server.
        with pytest.raises(ConnectionError):
            await deliver(plain(script.port), begin=Beginning(ConnectionError()))
        await asyncio.sleep(0.05)
    assert script.texts == 0


async def test_a_server_that_hung_up_meanwhile_got_nothing() -> None:
    class Slow(Beginning):
        async def __call__(self) -> None:
            await asyncio.sleep(0.2)

    def closing() -> asyncio.Protocol:
        return Closing()

    class Closing(asyncio.Protocol):
        """Hangs up right after the answer to DATA."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            assert isinstance(transport, asyncio.Transport)
            self.transport = transport
            transport.write(b"220 hi\r\n")

        def data_received(self, data: bytes) -> None:
            is_data = data.startswith(b"DATA")
            self.transport.write(b"354 go\r\n" if is_data else b"250 OK\r\n")
            if is_data:
                self.transport.close()

    async with listening(closing) as port:
        assert await deliver(plain(port), begin=Slow()) == Deferred("the mail server hung up")


@pytest.mark.parametrize(
    "address", ["asha@example.org\r\nRCPT TO:<eve@example.org>", "a b@c.de", "asha", "<a@b.de>"]
)
async def test_an_address_that_would_say_more_than_an_address_is_never_said(address: str) -> None:
    begin = Beginning()
    async with scripted() as script:
        assert isinstance(await deliver(plain(script.port), begin=begin, address=address), Refused)
    assert (script.heard, begin.count) == ([], 0)


async def test_what_goes_wrong_is_told_without_anybodys_address() -> None:
    async with mailserver() as server:
        server.refusals["RCPT"] = "550 5.1.1 <asha@example.org> is unknown"
        outcome = await deliver(plain(server.port))
    assert isinstance(outcome, Refused)
    assert "asha" not in outcome.reason
