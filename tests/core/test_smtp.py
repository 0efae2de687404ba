"""The words of SMTP."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import smtp
from core.errors import BadReply
from core.smtp import Reply


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example", ("mail.example", 587, "starttls", "", "")),
        ("smtp://u:p@mail.example:25", ("mail.example", 25, "starttls", "u", "p")),
        ("smtps://u%40x:p%2F%3A@mail.example", ("mail.example", 465, "at_once", "u@x", "p/:")),
        ("smtp://[::1]:2525?tls=off", ("::1", 2525, "off", "", "")),
    ],
)
def test_a_servers_address(url: str, server: tuple[object, ...]) -> None:
    found = smtp.server(url)
    assert tuple(found) == server
    assert "p/:" not in repr(found)


@pytest.mark.parametrize(
    "url",
    [
        "",
        "smtp://",
        "http://mail.example",
        "smtp://mail.example/path",
        "smtp://mail.example:99999",
        "smtp://mail.example?tls=on",
        "smtp://mail.example?tls",
        "smtp://mail.example?x=1&tls=off",
        "smtps://mail.example?tls=off",
        "smtp://u:p@mail.example?tls=off",
    ],
)
def test_what_is_no_servers_address(url: str) -> None:
    with pytest.raises(ValueError):
        smtp.server(url)


def test_a_reply_is_taken_when_it_is_whole_and_the_rest_is_left() -> None:
    received = bytearray(b"250-mail.example\r\n250-SIZE 1000\r\n250 AUTH PL")
    assert smtp.take_reply(received) is None
    received += b"AIN LOGIN\r\n354 go"
    reply = smtp.take_reply(received)
    assert reply == Reply(250, ("mail.example", "SIZE 1000", "AUTH PLAIN LOGIN"))
    assert received == b"354 go"
    assert smtp.extensions(reply) == {"SIZE": "1000", "AUTH": "PLAIN LOGIN"}


@pytest.mark.parametrize("line", [b"250\r\n", b"250 \r\n", b"250\n"])
def test_a_reply_without_a_text(line: bytes) -> None:
    assert smtp.take_reply(bytearray(line)) == Reply(250, ("",))


@pytest.mark.parametrize(
    "received",
    [
        b"hello\r\n",
        b"25\r\n",
        b"2500 x\r\n",
        b"150 x\r\n",
        b"650 x\r\n",
        b"250-x\r\n251 y\r\n",
        b"250 a\rb\r\n",
        b"250-" + b"a" * smtp.REPLY_BYTES_MAX + b"\r\n",
        b"a" * (smtp.REPLY_BYTES_MAX + 1),
    ],
)
def test_what_is_no_reply(received: bytes) -> None:
    with pytest.raises(BadReply):
        smtp.take_reply(bytearray(received))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_reply_or_none_or_not_yet(received: bytes) -> None:
    try:
        smtp.take_reply(bytearray(received))
    except BadReply:
        return


@given(st.text(alphabet=".\r\na", max_size=60))
def test_no_text_ends_before_its_end(text: str) -> None:
    data = smtp.as_data(text.encode())
    assert data.endswith(b"\r\n.\r\n") or data == b".\r\n" or data.startswith(b"\r\n")
    assert b"\r\n.\r\n" not in b"\r\n" + data[: -len(b".\r\n")]
    plain = data.replace(b"\r\n", b"")
    assert b"\r" not in plain
    assert b"\n" not in plain


def test_dots_are_doubled_at_the_beginning_of_lines_only() -> None:
    assert smtp.as_data(b".\r\n..a\r\nb.c\r\n") == b"..\r\n...a\r\nb.c\r\n.\r\n"
