"""MSG91's delivery reports, in the three forms that it has had.

Nothing is signed: the secret in the path is all that speaks for them, so they are taken as hints
about the message, and nothing else follows from them.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from core.errors import BadReply
from core.providers.reports import report
from core.providers.reports.report import Delivery, Report

_CODES: Final[Mapping[str, Delivery]] = {
    "1": "delivered",
    "2": "undelivered",
    "9": "undelivered",
    "16": "undelivered",
    "17": "undelivered",
    "25": "undelivered",
}
_WORDS: Final[Mapping[str, Delivery]] = {
    "delivered": "delivered",
    "read": "read",
    "sent": "sent",
    "failed": "undelivered",
    "rejected": "undelivered",
}


def parse(body: bytes, *, is_form: bool) -> list[Report]:
    """The reports of a request; BadReply."""
    try:
        if is_form:
            [body] = parse_qs(body, strict_parsing=True)[b"data"]
        found = msgspec.json.decode(body)
    except (msgspec.DecodeError, ValueError, KeyError, RecursionError):
        raise BadReply("this is no report of MSG91") from None
    items = found if isinstance(found, list) else [found]
    return [one for item in items if isinstance(item, dict) for one in _reports(item)]


def _reports(item: dict[str, Any]) -> Iterator[Report]:
    if isinstance(item.get("event"), str):
        yield from _of_events(item)
        return
    rows = item.get("report", [item])
    for row in rows if isinstance(rows, list) else ():
        if isinstance(row, dict):
            code = str(row.get("status", ""))
            yield from _made(_CODES.get(code), item.get("requestId"), code)


def _of_events(item: dict[str, Any]) -> Iterator[Report]:
    data = item.get("data")
    for row in data if isinstance(data, list) else ():
        if isinstance(row, dict):
            word = str(item["event"]).lower()
            yield from _made(_WORDS.get(word), row.get("requestId") or row.get("INMSID"), word)


def _made(delivery: Delivery | None, reference: object, said: str) -> Iterator[Report]:
    if delivery is not None and isinstance(reference, str) and reference:
        yield Report(delivery, reference=reference, detail=report.detail(said))
