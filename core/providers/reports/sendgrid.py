"""SendGrid's event webhook: signed with ECDSA over the time and the body as it came."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import Annotated, Final

import msgspec
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_der_public_key
from msgspec import Meta

from core.errors import BadReply, BadSignature
from core.providers.notifications.sendgrid import Config
from core.providers.protocols import About
from core.providers.reports import report
from core.providers.reports.report import Delivery, Report

SIGNATURE_HEADER: Final = "x-twilio-email-event-webhook-signature"
TIMESTAMP_HEADER: Final = "x-twilio-email-event-webhook-timestamp"

_DELIVERIES: Final[Mapping[str, Delivery]] = {
    "processed": "accepted",
    "deferred": "accepted",
    "delivered": "delivered",
    "bounce": "bounced",
    "dropped": "undelivered",
    "spamreport": "complained",
}
_OPT_OUTS: Final = frozenset({"spamreport", "unsubscribe", "group_unsubscribe"})
# Why SendGrid dropped it: what it has on its lists.
_DROPS: Final[Mapping[str, About]] = {
    "Bounced Address": "address",
    "Invalid": "address",
    "Spam Reporting Address": "opt_out",
    "Unsubscribed Address": "opt_out",
}


class _Event(msgspec.Struct, frozen=True):
    event: str
    notification_id: str = ""
    type: str = ""
    status: str = ""
    reason: str = ""
    timestamp: Annotated[int, Meta(ge=0, le=1 << 40)] | None = None


def parse(config: Config, headers: Mapping[str, str], body: bytes) -> list[Report]:
    """The reports of a request; BadSignature, BadReply. Header names in lower case."""
    verify(config.webhook_key, headers, body)
    try:
        events = msgspec.json.decode(body, type=list[_Event])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadReply("this is no list of events") from None
    return [found for event in events if (found := _report(event)) is not None]


def verify(key: str, headers: Mapping[str, str], body: bytes) -> None:
    """BadSignature unless the owner of the key signed it; the key is SPKI in base64."""
    try:
        public = load_der_public_key(base64.b64decode(key, validate=True))
        signature = base64.b64decode(headers[SIGNATURE_HEADER], validate=True)
        signed = headers[TIMESTAMP_HEADER].encode() + body
        if not isinstance(public, ec.EllipticCurvePublicKey):
            raise BadSignature("the key is none for ECDSA")
        public.verify(signature, signed, ec.ECDSA(hashes.SHA256()))
    except (KeyError, ValueError, binascii.Error, InvalidSignature):
        raise BadSignature("SendGrid has not signed this") from None


def _report(event: _Event) -> Report | None:
    delivery = _DELIVERIES.get(event.event)
    about: About = "opt_out" if event.event in _OPT_OUTS else "message"
    if event.event == "bounce":
        # A server that blocks us says nothing about the address.
        is_hard = event.type in {"", "bounce"}
        delivery, about = ("bounced", "address") if is_hard else ("undelivered", "message")
    if event.event == "dropped":
        about = _DROPS.get(event.reason, "message")
    if not event.notification_id or (delivery is None and about == "message"):
        return None
    return Report(
        delivery,
        event.notification_id,
        about=about,
        detail=report.detail(event.status),
        at_ms=None if event.timestamp is None else event.timestamp * 1000,
    )
