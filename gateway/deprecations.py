"""Routes that end: since when they should not be used, and until when they work."""

from __future__ import annotations

import datetime as dt
import functools
from email.utils import format_datetime

from core import errors
from web.routing import Route


def headers(route: Route) -> dict[str, str]:
    """`Deprecation` (RFC 9745) and `Sunset` (RFC 8594); most routes have neither."""
    if route.deprecated_on is None:
        return {}
    return _headers(route.deprecated_on, route.sunset_on)


def check(route: Route, now_s: int) -> None:
    """Gone as soon as the route's sunset has come."""
    if route.sunset_on is not None and now_s >= _midnight(route.sunset_on).timestamp():
        raise errors.Gone


@functools.cache
def _headers(deprecated_on: dt.date, sunset_on: dt.date | None) -> dict[str, str]:
    said = {"Deprecation": f"@{int(_midnight(deprecated_on).timestamp())}"}
    if sunset_on is not None:
        said["Sunset"] = format_datetime(_midnight(sunset_on), usegmt=True)
    return said


def _midnight(day: dt.date) -> dt.datetime:
    return dt.datetime.combine(day, dt.time(), dt.UTC)
