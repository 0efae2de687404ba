"""Times as networks write them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta, timezone
from typing import Final

from core.providers.affiliate.report import Unreadable

#: From 2000 to 2100; in seconds and milliseconds, so that the two cannot be taken for each other.
_FIRST_S: Final = 946_684_800
_LAST_S: Final = 4_102_444_800

_UNIX = re.compile(r"[0-9]{9,13}")
# Rakuten's: Thu Sep 03 2015 10:32:54 GMT+0000 (UTC)
_SPELLED = re.compile(
    r"([A-Z][a-z]{2} [A-Z][a-z]{2} \d{2} \d{4} [\d:]{8} GMT[+-]\d{4})(?: \(.*\))?"
)


def unix_ms(text: str, utc_offset_min: int, field: str) -> int:
    """Unix milliseconds of a time in Unix seconds or milliseconds, ISO 8601 or Rakuten's form.

    `utc_offset_min` is for times without an offset. Unreadable for other forms and other centuries.
    """
    try:
        ms = _unix_ms(text, utc_offset_min)
    except (ValueError, OverflowError):
        raise Unreadable("it is no time", field) from None
    if not _FIRST_S <= ms // 1000 < _LAST_S:
        raise Unreadable("it is no time of this century", field)
    return ms


def written(ms: int, form: str, utc_offset_min: int = 0) -> str:
    """The time in strftime's `form`, or in Unix seconds if that is `unix`."""
    if form == "unix":
        return str(ms // 1000)
    return datetime.fromtimestamp(ms / 1000, _zone(utc_offset_min)).strftime(form)


def day_start_ms(ms: int, utc_offset_min: int) -> int:
    """When the day of that moment began."""
    offset_ms = utc_offset_min * 60_000
    return (ms + offset_ms) // 86_400_000 * 86_400_000 - offset_ms


def _unix_ms(text: str, utc_offset_min: int) -> int:
    if _UNIX.fullmatch(text) is not None:
        number = int(text)
        return number * 1000 if number < _LAST_S else number
    spelled = _SPELLED.fullmatch(text)
    if spelled is not None:
        moment = datetime.strptime(spelled[1], "%a %b %d %Y %H:%M:%S GMT%z")
    else:
        moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=_zone(utc_offset_min))
    # In whole numbers: a float has not enough digits for all milliseconds of a century.
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def _zone(utc_offset_min: int) -> timezone:
    return timezone(timedelta(minutes=utc_offset_min))
