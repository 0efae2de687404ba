"""Kaleyra's delivery reports, at the address that went along with the message.

Nothing is signed: the secret in the path is all that speaks for them, so they are taken as hints
about the message, and nothing else follows from them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import parse_qsl

import msgspec

from core.errors import BadReply
from core.providers.notifications.kaleyra import PARAMETER
from core.providers.reports import report
from core.providers.reports.report import Delivery, Report

_DELIVERIES: Final[Mapping[str, Delivery]] = {
    "submitted": "accepted",
    "sent": "sent",
    "delivered": "delivered",
    "read": "read",
    "failed": "undelivered",
    "undelivered": "undelivered",
    "rejected": "undelivered",
    "expired": "undelivered",
    "dnd": "undelivered",
}


def parse(body: bytes, query: Mapping[str, str], *, is_form: bool) -> Report | None:
    """The report of a request, None when its status is not known; BadReply."""
    named = {**query, **(_form(body) if is_form else _json(body))}
    status = str(named.get("status", "")).lower()
    delivery = _DELIVERIES.get(status)
    if delivery is None:
        return None
    reference = str(named.get("id") or named.get("message_id") or "")
    return Report(delivery, query.get(PARAMETER, ""), reference, detail=report.detail(status))


def _form(body: bytes) -> dict[str, Any]:
    try:
        return dict(parse_qsl(body.decode("ascii"), max_num_fields=100))
    except ValueError:
        raise BadReply("this is no form") from None


def _json(body: bytes) -> dict[str, Any]:
    if not body:
        return {}
    try:
        return msgspec.json.decode(body, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadReply("this is no report of Kaleyra") from None
