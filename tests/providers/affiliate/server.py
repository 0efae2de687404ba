"""What the local networks share: their transactions, how they are written, and faults on demand."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta, timezone
from typing import Any, NamedTuple

import msgspec
from aiohttp import web

from core.providers.affiliate.report import Postback, Report, Status
from tests.providers.server import Refusal, Server

DAY_MS = 86_400_000
#: 2026-08-20T00:00:00Z
EPOCH_MS = 1_787_184_000_000


class Transaction(msgspec.Struct, frozen=True, kw_only=True):
    """A transaction as a network keeps it, amounts as it writes them."""

    id: str
    click_id: str
    order_id: str = "order-1"
    status: Status = "pending"
    commission: str = "12.34"
    sale: str = "246.80"
    currency: str = "INR"
    created_ms: int
    updated_ms: int
    #: For networks that take back by a record of its own: which transaction this one corrects.
    corrects: str = ""


class Sample(NamedTuple):
    """A postback as the network writes it, and what it says."""

    postback: Postback
    report: Report


class Network(Server):
    """One network. `transactions` is what it has; `page_rows` the most that it gives at once."""

    slug: str
    api_path: str
    #: No question may span more time.
    window_ms = 31 * DAY_MS
    is_daily = False
    utc_offset_min = 0

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.transactions: list[Transaction] = []
        self.page_rows = 7
        self.key = "key-do-not-show-0123456789"
        self.questions: list[dict[str, str]] = []

    def routes(self) -> list[web.RouteDef]:
        return [web.get(self.api_path, self.answer)]

    def config(self) -> dict[str, Any]:
        raise NotImplementedError

    def credentials(self) -> dict[str, Any]:
        raise NotImplementedError

    def sample(self) -> Sample:
        """A postback that was written by hand, as the network's pages show it."""
        raise NotImplementedError

    def link(self) -> tuple[str, str, str]:
        """The parameters of its links for the click id and the destination, and how they begin."""
        raise NotImplementedError

    async def answer(self, request: web.Request) -> web.StreamResponse:
        """The network's answer to a question about transactions."""
        raise NotImplementedError

    def report(self, one: Transaction) -> Report:
        """What we should make of it, but for what is kept raw."""
        raise NotImplementedError

    def refuse(self, refusal: Refusal) -> web.Response:
        return web.json_response({"message": refusal.error}, status=refusal.status)

    def check(self, *, is_good: bool) -> None:
        """Refuse a question without the right key."""
        if not is_good:
            raise Refusal("unauthorized", 401)

    def between(self, start_ms: int, end_ms: int, *, updated: bool = False) -> list[Transaction]:
        """The transactions from `start_ms` to `end_ms`, both included, oldest first."""
        if not 0 <= end_ms - start_ms <= self.window_ms:
            raise Refusal("the window is too long", 400)

        def when(one: Transaction) -> int:
            return one.updated_ms if updated else one.created_ms

        found = [one for one in self.transactions if start_ms <= when(one) <= end_ms]
        return sorted(found, key=lambda one: (when(one), one.id))

    def days(self, start: str, end: str) -> list[Transaction]:
        """The transactions from one day to another, both included, as `YYYY-MM-DD`."""
        return self.between(self.ms(start, "%Y-%m-%d"), self.ms(end, "%Y-%m-%d") + DAY_MS - 1)

    def zone(self) -> timezone:
        return timezone(timedelta(minutes=self.utc_offset_min))

    def ms(self, text: str, form: str) -> int:
        """Unix milliseconds of a time in the network's zone."""
        moment = datetime.strptime(text, form).replace(tzinfo=self.zone())
        return int(moment.timestamp()) * 1000

    def text(self, ms: int, form: str) -> str:
        return datetime.fromtimestamp(ms // 1000, UTC).astimezone(self.zone()).strftime(form)

    def page(self, found: list[Transaction], number: int, limit: int) -> list[Transaction]:
        size = min(limit, self.page_rows)
        return found[(number - 1) * size : number * size]


def many(days: Iterable[float], *, status: Status = "pending", start: int = 0) -> list[Transaction]:
    """Transactions that came so many days before EPOCH_MS, with ids of their own."""
    return [
        Transaction(
            id=str(900_000 + start + place),
            click_id=f"click{start + place:027}",
            order_id=f"order-{start + place}",
            status=status,
            commission=f"{place % 97}.{place % 100:02}",
            sale=f"{1000 + place}.05",
            created_ms=EPOCH_MS - int(before * DAY_MS) // 1000 * 1000,
            updated_ms=EPOCH_MS - int(before * DAY_MS) // 1000 * 1000,
        )
        for place, before in enumerate(days)
    ]


def minor(text: str) -> int:
    """Of an amount with two decimals, by hand and not by our own code."""
    whole, _, cents = text.partition(".")
    sign = -1 if whole.startswith("-") else 1
    return sign * (abs(int(whole)) * 100 + int(cents.ljust(2, "0")))
