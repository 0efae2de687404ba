"""The words of SMTP (RFC 5321) without the connection: addresses of servers, replies, bodies."""

from __future__ import annotations

import re
from typing import Final, Literal, NamedTuple
from urllib.parse import parse_qsl, unquote, urlsplit

from core.errors import BadReply

#: Lines of a reply that is longer are not read: no server has so much to say.
REPLY_BYTES_MAX: Final = 16_384

_PORTS: Final = {"smtp": 587, "smtps": 465}
_LINE: Final = re.compile(rb"([2-5][0-9]{2})(?:([ -])([^\r\n]*))?")
_LINE_END: Final = re.compile(rb"\r\n|\r|\n")
_DOT: Final = re.compile(rb"^\.", re.MULTILINE)


class Server(NamedTuple):
    """A mail server. `tls`: at once, by STARTTLS before anything else is said, or never."""

    host: str
    port: int
    tls: Literal["at_once", "starttls", "off"]
    user: str
    password: str

    def __repr__(self) -> str:
        """Without the password."""
        return f"Server({self.host}:{self.port})"


class Reply(NamedTuple):
    """What a server answers: a code, and the text of each line."""

    code: int
    lines: tuple[str, ...]

    @property
    def is_good(self) -> bool:
        """Done, or go on."""
        return self.code < 400

    @property
    def is_final(self) -> bool:
        """No, and the same again would be the answer later."""
        return self.code >= 500


def server(url: str) -> Server:
    """The server of `smtp://user:password@host:587` (STARTTLS), `smtps://…:465` (TLS) or
    `smtp://host:25?tls=off`; ValueError.
    """
    parts = urlsplit(url)
    options = dict(parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query)))
    if parts.scheme not in _PORTS or not parts.hostname or parts.path.strip("/") or parts.fragment:
        raise ValueError("Expected smtp://user:password@host:port or smtps://…")
    if options not in ({}, {"tls": "off"}) or (options and parts.scheme == "smtps"):
        raise ValueError("Expected no option but ?tls=off, and that with smtp:// only")
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if options and user:
        raise ValueError("Expected no password with ?tls=off: it would be read on the way")
    return Server(
        host=parts.hostname,
        port=parts.port or _PORTS[parts.scheme],
        tls="off" if options else "at_once" if parts.scheme == "smtps" else "starttls",
        user=user,
        password=password,
    )


def take_reply(received: bytearray) -> Reply | None:
    """Take the first whole reply from what was received, None when it has not all come; BadReply
    when it is none.
    """
    code, lines, start = 0, [], 0
    while (end := received.find(b"\n", start)) >= 0:
        match = _LINE.fullmatch(received[start:end].removesuffix(b"\r"))
        if match is None or (code and int(match[1]) != code):
            raise BadReply("this is no reply of a mail server")
        code, start = int(match[1]), end + 1
        lines.append((match[3] or b"").decode("utf-8", "replace"))
        if match[2] != b"-":
            del received[:start]
            return Reply(code, tuple(lines))
    if len(received) > REPLY_BYTES_MAX:
        raise BadReply("the reply of the mail server is too long")
    return None


def extensions(reply: Reply) -> dict[str, str]:
    """What the answer to EHLO offers: keyword in upper case → parameters."""
    pairs = (line.strip().partition(" ") for line in reply.lines[1:])
    return {keyword.upper(): parameters.strip() for keyword, _, parameters in pairs}


def as_data(mail: bytes) -> bytes:
    """What follows DATA: lines end in CRLF, none is a lone dot but the last."""
    lines = _LINE_END.sub(b"\n", mail.rstrip(b"\r\n") + b"\n")
    return _DOT.sub(b"..", lines).replace(b"\n", b"\r\n") + b".\r\n"
