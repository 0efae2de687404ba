"""Mail: what bytes are sent, and to whom no mail goes."""

from __future__ import annotations

import datetime as dt
import email
import email.message
from email import policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import mail
from core.errors import BadAddress
from core.templates import Message

SENDER = mail.mailbox("no-reply@example.com", "Stampgate")


def message(**changes: str) -> Message:
    complete = {
        "address": "asha@example.com",
        "sender": "Tea",
        "subject": "Your code",
        "text": "482913\n",
        "html": "",
        **changes,
    }
    return Message(
        id="ntf_1",
        channel="email",
        template="sign_in_code",
        language="en",
        variables={},
        created_at_ms=1_700_000_000_123,
        **complete,
    )


def read(content: bytes) -> email.message.EmailMessage:
    parsed = email.message_from_bytes(content, policy=policy.default)
    assert isinstance(parsed, email.message.EmailMessage)
    return parsed


def text_of(part: email.message.Message) -> str:
    assert isinstance(part, email.message.EmailMessage)
    return str(part.get_content()).replace("\r\n", "\n")


def composed(**changes: str) -> bytes:
    wanted = message(**changes)
    return mail.compose(wanted, SENDER, mail.mailbox(wanted.address))


def test_a_mail_has_what_a_mail_needs() -> None:
    parsed = read(composed())
    assert parsed["subject"] == "Your code"
    assert str(parsed["from"]) == "Tea <no-reply@example.com>"
    assert str(parsed["to"]) == "asha@example.com"
    assert parsed["date"].datetime == dt.datetime.fromtimestamp(1_700_000_000, dt.UTC)
    assert parsed["message-id"] == "<ntf_1@example.com>"
    assert parsed["auto-submitted"] == "auto-generated"
    assert parsed["content-language"] == "en"
    assert text_of(parsed) == "482913\n"


def test_all_attempts_are_the_same_bytes() -> None:
    assert composed(html="<b>482913</b>") == composed(html="<b>482913</b>")


def test_every_line_ends_properly_and_is_short_enough_and_seven_bits_wide() -> None:
    content = composed(subject="कोड " * 40, text="ü" * 3_000 + "\n.\n..x", html="<b>ü</b>" * 500)
    assert content.isascii()
    assert b"\n" not in content.replace(b"\r\n", b"")
    assert max(map(len, content.split(b"\r\n"))) <= 78
    parsed = read(content)
    assert parsed["subject"].strip() == ("कोड " * 40).strip()
    text, html = parsed.iter_parts()
    assert text_of(text) == "ü" * 3_000 + "\n.\n..x\n"
    assert text_of(html) == "<b>ü</b>" * 500 + "\n"


def test_without_a_program_the_name_is_the_platforms() -> None:
    assert str(read(composed(sender=""))["from"]) == "Stampgate <no-reply@example.com>"


@pytest.mark.parametrize("name", ['Tea, "Coffee" & Co', "Größe <x@evil.example>", "O\\'Tea"])
def test_a_programs_name_stays_a_name(name: str) -> None:
    [sender] = read(composed(sender=name))["from"].addresses
    assert sender.addr_spec == "no-reply@example.com"
    assert sender.display_name == name


@pytest.mark.parametrize(
    "address",
    [
        "",
        "asha",
        "@example.com",
        "asha@",
        "asha@@example.com",
        "asha@b@example.com",
        "asha b@example.com",
        "asha@example.com\r\nBcc: eve@example.com",
        "asha\r\nRCPT TO:<eve@example.com>@example.com",
        "asha\n@example.com",
        "asha@example.com\n",
        "asha@exam\x00ple.com",
        "asha@example.com>",
        "<asha@example.com>",
        "Asha <asha@example.com>",
        "asha@example.com,eve@example.com",
        "asha,eve@example.com",
        '"asha"@example.com',
        "asha(eve)@example.com",
        "as\\ha@example.com",
        "@relay.example,@other.example:asha@example.com",
        ".asha@example.com",
        "asha.@example.com",
        "as..ha@example.com",
        "asha@[127.0.0.1]",
        "asha@127.0.0.1",
        "asha@\uff11\uff12\uff17.0.0.1",
        "asha@-example.com",
        "asha@exa_mple.com",
        "asha@example..com",
        "asha@example.com.",
        "asha@" + "a" * 64 + ".com",
        "a" * 65 + "@example.com",
        "ü" * 33 + "@example.com",
        "asha@" + "a." * 125 + "com",
        "asha\u2028@example.com",
        "asha\u0085@example.com",
        "asha\u00a0@example.com",
        "asha\ud800@example.com",
    ],
)
def test_no_mail_goes_to_what_is_no_address(address: str) -> None:
    with pytest.raises(BadAddress) as refusal:
        mail.mailbox(address)
    assert "asha" not in str(refusal.value)


@pytest.mark.parametrize(
    ("address", "envelope", "needs_utf8"),
    [
        ("asha@example.com", "asha@example.com", False),
        ("a+b.c!#$%&'*/=?^_`{|}~-@Example.COM", "a+b.c!#$%&'*/=?^_`{|}~-@example.com", False),
        ("asha@localhost", "asha@localhost", False),
        ("asha@bücher.example", "asha@xn--bcher-kva.example", False),
        # IDNA 2003 would send this one to somebody else, at strasse.de.
        ("asha@straße.de", "asha@xn--strae-oqa.de", False),
        ("आशा@example.com", "आशा@example.com", True),
        ("jörg@उदाहरण.भारत", "jörg@xn--p1b6ci4b4b3a.xn--h2brj9c", True),
    ],
)
def test_an_address_as_servers_are_told_it(address: str, envelope: str, needs_utf8: bool) -> None:  # noqa: FBT001
    found = mail.mailbox(address)
    assert found.address == envelope
    assert found.needs_utf8 is needs_utf8


def test_a_name_that_is_not_ascii_goes_out_as_it_is_where_it_may() -> None:
    content = composed(address="आशा@example.com", subject="कोड", text="कोड\n")
    assert "To: आशा@example.com\r\n".encode() in content
    assert "Subject: कोड\r\n".encode() in content
    assert content.partition(b"\r\n\r\n")[2].isascii()
    assert text_of(read(content)) == "कोड\n"


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "a\x00b"])
def test_a_name_with_a_line_end_is_refused(name: str) -> None:
    with pytest.raises(BadAddress):
        mail.mailbox("asha@example.com", name)


def test_the_sender_may_have_a_name() -> None:
    assert mail.sender("Tea & Co <hello@tea.example>") == ("hello", "tea.example", "Tea & Co")
    assert mail.sender("hello@tea.example").name == ""
    with pytest.raises(BadAddress):
        mail.sender("Tea")


@given(st.text(max_size=40), st.text(max_size=40))
def test_whatever_is_taken_for_an_address_fits_a_command(local: str, domain: str) -> None:
    try:
        found = mail.mailbox(f"{local}@{domain}")
    except BadAddress:
        return
    assert not set(found.address) & set('\r\n\t <>"(),:;\\[]\0')
    assert found.address.count("@") == 1
    assert found.domain.isascii()


def test_a_reader_can_unsubscribe_in_one_click() -> None:
    url = "https://gate.example.test/u/AQIx"
    mailed = read(composed(unsubscribe_url=url))
    assert mailed["List-Unsubscribe"] == f"<{url}>"
    assert mailed["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert "List-Unsubscribe" not in read(composed())
