"""What SES reports through SNS: the events of a configuration set, or the older notifications."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from core.errors import BadReply
from core.providers.notifications.ses import TAG
from core.providers.protocols import About
from core.providers.reports import report
from core.providers.reports.report import Delivery, Report

_DELIVERIES: Final[Mapping[str, Delivery]] = {
    "Send": "accepted",
    "DeliveryDelay": "accepted",
    "Delivery": "delivered",
    "Reject": "undelivered",
    "Bounce": "bounced",
    "Complaint": "complained",
}


class _Mail(msgspec.Struct, frozen=True):
    id: str = msgspec.field(name="messageId", default="")
    tags: dict[str, list[str]] = {}


class _Bounce(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="bounceType", default="")
    sub_type: str = msgspec.field(name="bounceSubType", default="")


class _Event(msgspec.Struct, frozen=True):
    mail: _Mail
    event_type: str = msgspec.field(name="eventType", default="")
    notification_type: str = msgspec.field(name="notificationType", default="")
    bounce: _Bounce = _Bounce()


def parse(message: str) -> Report | None:
    """The report in a message of SNS, None when it is about nothing that is kept; BadReply."""
    try:
        event = msgspec.json.decode(message, type=_Event)
    except (msgspec.DecodeError, RecursionError):
        raise BadReply("this is no event of SES") from None
    kind = event.event_type or event.notification_type
    delivery = _DELIVERIES.get(kind)
    if delivery is None:
        return None
    about: About = "message"
    if kind == "Complaint":
        about = "opt_out"
    elif kind == "Bounce" and event.bounce.type == "Permanent":
        about = "address"
    elif kind == "Bounce":
        delivery = "undelivered"
    [notification_id, *_] = event.mail.tags.get(TAG) or [""]
    said = report.detail(f"{event.bounce.type}/{event.bounce.sub_type}".strip("/"))
    return Report(delivery, notification_id, event.mail.id, about, said)
