"""A window of time in parts that an API allows, page by page, no report twice."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any, Final, NamedTuple

import msgspec

from core.providers.affiliate import fields, times
from core.providers.affiliate.protocol import (
    DAY_MS,
    AnswerTooLarge,
    BadAnswer,
    BadCursor,
    Page,
    Terms,
    Window,
)
from core.providers.affiliate.report import Report, Unreadable

#: Parts are not made shorter than that when answers are too large.
PART_MIN_MS: Final = 3_600_000


class Step(NamedTuple):
    """One call: a part of the window by one of the API's dates, and the token of a page of it."""

    date: str
    start_ms: int
    end_ms: int
    token: str

    @property
    def last_ms(self) -> int:
        """The last second that belongs to it, for APIs that take whole days, both included."""
        return self.end_ms - 1000


class Answer(NamedTuple):
    """The rows of a page, and the token of the next one; empty after the last."""

    rows: list[Any]
    token: str = ""


Fetch = Callable[[Step], Awaitable[Answer]]
Read = Callable[[dict[str, str]], Report]


class _Place(NamedTuple):
    """Where a walk is; `date` counts the terms' dates."""

    date: int
    start_ms: int
    end_ms: int
    token: str = ""

    def text(self) -> str:
        return f"{self.date}.{self.start_ms}.{self.end_ms}.{self.token}"


async def walk(
    terms: Terms, window: Window, cursor: str, fetch: Fetch, read: Read, *, utc_offset_min: int = 0
) -> AsyncIterator[Page]:
    """The pages of the window, by each of the API's dates in turn; PullFailed.

    BadCursor for one that is not of this window.
    """
    if window.start_ms >= window.end_ms:
        return
    window = _aligned(window, terms, utc_offset_min)
    seen: set[object] = set()
    previous: list[Any] = []
    here: _Place | None = _begin(cursor, terms, window)
    while here is not None:
        step = Step(terms.dates[here.date], here.start_ms, here.end_ms, here.token)
        try:
            answer = await fetch(step)
        except AnswerTooLarge:
            here = _shorter(here, terms)
            continue
        if answer.rows and here.token and answer.rows == previous:
            raise BadAnswer("the network gives the same page again and again")
        previous = answer.rows
        here = _next(here, answer.token, terms, window)
        yield _page(answer.rows, read, seen, None if here is None else here.text())


def _aligned(window: Window, terms: Terms, utc_offset_min: int) -> Window:
    """Whole seconds, or whole days of the network's own where it knows nothing finer."""
    if not terms.is_daily:
        return Window(window.start_ms // 1000 * 1000, -(-window.end_ms // 1000) * 1000)
    last_day_ms = times.day_start_ms(window.end_ms - 1, utc_offset_min)
    return Window(times.day_start_ms(window.start_ms, utc_offset_min), last_day_ms + DAY_MS)


def _begin(cursor: str, terms: Terms, window: Window) -> _Place:
    if not cursor:
        return _part(0, window.start_ms, terms, window)
    try:
        date, start, end, token = cursor.split(".", 3)
        place = _Place(int(date), int(start), int(end), token)
    except ValueError:
        raise BadCursor("this is not a cursor of ours") from None
    is_inside = window.start_ms <= place.start_ms < place.end_ms <= window.end_ms
    if not is_inside or place.date not in range(len(terms.dates)):
        raise BadCursor("this is not a cursor of this window")
    return place


def _part(date: int, start_ms: int, terms: Terms, window: Window) -> _Place:
    return _Place(date, start_ms, min(start_ms + terms.window_ms, window.end_ms))


def _next(here: _Place, token: str, terms: Terms, window: Window) -> _Place | None:
    """The next page, or else the next part of the window, or else the next date."""
    if token:
        return here._replace(token=token)
    if here.end_ms < window.end_ms:
        return _part(here.date, here.end_ms, terms, window)
    if here.date + 1 < len(terms.dates):
        return _part(here.date + 1, window.start_ms, terms, window)
    return None


def _shorter(here: _Place, terms: Terms) -> _Place:
    """The first half of the part, unless pages of it were read, or it is short already."""
    unit_ms = DAY_MS if terms.is_daily else 1000
    half_ms = (here.end_ms - here.start_ms) // 2 // unit_ms * unit_ms
    if here.token or half_ms < max(unit_ms, PART_MIN_MS):
        raise AnswerTooLarge("the answer is too large, even for a short time")
    return here._replace(end_ms=here.start_ms + half_ms)


def _page(rows: list[Any], read: Read, seen: set[object], cursor: str | None) -> Page:
    page = Page([], [], cursor)
    for row in rows:
        found: dict[str, str] = {}
        try:
            found = fields.flat(row)
            report = read(found)
        except Unreadable as error:
            page.problems.append(msgspec.structs.replace(error.problem, raw=fields.raw(found)))
            continue
        key = _key(report)
        if key not in seen:
            seen.add(key)
            page.reports.append(report)
    return page


def _key(report: Report) -> object:
    """Equal for rows that say the same, as when two dates of a transaction are in the window."""
    said = (report.status, report.commission_minor, report.sale_minor, report.updated_at_ms)
    return (report.txn_id, report.event, report.correction_id, *said)
