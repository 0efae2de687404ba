"""Twilio's callbacks: what became of a message, and what people write to our numbers.

Signed with HMAC-SHA1 of the auth token over the address as it was set up, and what was posted. The
address is built from our settings: the Host header is whoever asks us.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, urlsplit, urlunsplit

from core.errors import BadReply, BadSignature
from core.providers.notifications import twilio
from core.providers.protocols import About
from core.providers.reports import report
from core.providers.reports.report import Delivery, Report
from core.templates import Channel

SIGNATURE_HEADER: Final = "x-twilio-signature"
BODY_HASH: Final = "bodySHA256"
FIELDS_MAX: Final = 200

_DELIVERIES: Final[Mapping[str, Delivery]] = {
    "accepted": "accepted",
    "queued": "accepted",
    "sending": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "undelivered": "undelivered",
    "failed": "undelivered",
    "canceled": "undelivered",
}
_STOP: Final = frozenset(
    {"stop", "stopall", "unsubscribe", "cancel", "end", "quit", "baja", "alto", "arrêt"}
)
_START: Final = frozenset({"start", "unstop", "yes", "alta"})
_PORTS: Final = {"https": 443, "http": 80}

Pairs = Sequence[tuple[str, str]]


class Wish(NamedTuple):
    """What somebody wrote to us: to hear no more by this channel, or to hear again."""

    channel: Channel
    number: str
    is_stop: bool


def verify(token: str, url: str, body: bytes, *, is_form: bool, signature: str) -> Pairs:
    """What was posted; BadSignature unless the owner of the token signed it for this address.

    A form is signed by its fields, any other body by its hash in the address.
    """
    fields = _fields(body) if is_form else []
    if not is_form:
        wanted = dict(parse_qsl(urlsplit(url).query)).get(BODY_HASH, "")
        actual = hashlib.sha256(body).hexdigest()
        if not hmac.compare_digest(wanted.encode(), actual.encode()):
            raise BadSignature("the body is another")
    given = signature.encode("utf-8", "replace")
    expected = [_signature(token, one, fields).encode() for one in _spellings(url)]
    if not any([hmac.compare_digest(one, given) for one in expected]):  # noqa: C419 - all are compared
        raise BadSignature("Twilio has not signed this")
    return fields


def status(fields: Pairs, query: Mapping[str, str]) -> Report | None:
    """The report of a status callback, None when its status is not known."""
    named = dict(fields)
    delivery = _DELIVERIES.get(named.get("MessageStatus") or named.get("SmsStatus", ""))
    if delivery is None:
        return None
    code = named.get("ErrorCode", "")
    number = int(code) if code.isascii() and code.isdecimal() else 0
    about: About = "message"
    if delivery == "undelivered":
        about = twilio.refusal(number, "").about
    return Report(
        delivery,
        query.get(twilio.PARAMETER, ""),
        named.get("MessageSid", ""),
        about,
        report.detail(code),
    )


def inbound(fields: Pairs) -> Wish | None:
    """What somebody wrote, None when it is neither stop nor start."""
    named = dict(fields)
    word = (named.get("OptOutType") or named.get("Body", "")).strip().casefold()
    if word not in _STOP | _START:
        return None
    sender = named.get("From", "")
    number = sender.removeprefix("whatsapp:")
    channel: Channel = "whatsapp" if number != sender else "sms"
    return Wish(channel, number, word in _STOP)


def _fields(body: bytes) -> list[tuple[str, str]]:
    try:
        text = body.decode("ascii")
        return parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=FIELDS_MAX)
    except ValueError:
        raise BadReply("this is no form") from None


def _signature(token: str, url: str, fields: Pairs) -> str:
    # A field that stands twice counts once for each of its values.
    signed = url + "".join(name + value for name, value in sorted(set(fields)))
    digest = hmac.digest(token.encode(), signed.encode(), "sha1")
    return base64.b64encode(digest).decode()


def _spellings(url: str) -> list[str]:
    """With and without the port that goes without saying: Twilio does both."""
    parts = urlsplit(url)
    port = _PORTS.get(parts.scheme)
    host = parts.hostname or ""
    if port is None or parts.port not in {None, port}:
        return [url]
    return [urlunsplit(parts._replace(netloc=one)) for one in (host, f"{host}:{port}")]
