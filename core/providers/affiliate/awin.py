"""Awin: a bearer token, transactions by three dates, and a push with JSON in a field of a form.

The push is unsigned, comes once, and says nothing about the status: it is a new transaction.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Literal
from urllib.parse import urlencode

import msgspec

from core.http import Send
from core.providers.affiliate import asking, fields, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.config import Id, Secret, Url
from core.providers.affiliate.protocol import DAY_MS, Page, Terms, Window
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report, Unreadable
from core.providers.affiliate.shape import Shape

SLUG: Final = "awin"
PUSH: Final = "AwinTransactionPush"

TERMS: Final = Terms(
    dates=("transaction", "validation", "amendment"),
    window_ms=31 * DAY_MS,
    look_back_ms=3 * DAY_MS,
    calls_per_minute=20,
    # There are no pages: it gives all that there is.
    rows=0,
)
#: Where in a row the link's parameter comes back.
_COLUMNS: Final = {
    "clickref": "clickRefs.clickRef",
    **{f"clickref{number}": f"clickRefs.clickRef{number}" for number in range(2, 7)},
}
POSTBACK: Final = Shape(
    names={
        "txn_id": ("transactionId",),
        "order_id": ("orderRef",),
        "commission": ("commission",),
        "sale": ("transactionAmount",),
        "currency": ("transactionCurrency",),
        "event_at": ("transactionDate",),
    },
)
ROWS: Final = Shape(
    names={
        "txn_id": ("id",),
        "order_id": ("orderRef",),
        "status": ("commissionStatus",),
        "commission": ("commissionAmount.amount",),
        "currency": ("commissionAmount.currency",),
        "sale": ("saleAmount.amount",),
        "sale_currency": ("saleAmount.currency",),
        "event_at": ("transactionDate",),
        "updated_at": ("validationDate",),
    },
    words={
        "pending": "pending",
        "approved": "approved",
        "declined": "rejected",
        "deleted": "reversed",
    },
    is_negative_reversal=True,
)


class Config(base.Config, frozen=True, kw_only=True):
    """`campaign` is an advertiser's id."""

    publisher_id: Id
    sub_id: Literal["clickref", "clickref2", "clickref3", "clickref4", "clickref5", "clickref6"] = (
        "clickref"
    )
    api_url: Url = "https://api.awin.com"
    click_url: Url = "https://www.awin1.com/cread.php"


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """The user's token."""

    token: Secret


class Awin:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials
        self._postback = POSTBACK.clicks(config.sub_id)
        self._rows = ROWS.clicks(_COLUMNS[config.sub_id])

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """https://www.awin1.com/cread.php?awinmid=…&awinaffid=…&clickref={click_id}&ued={…}."""
        pairs = [
            ("awinmid", links.needed(campaign, self._config.campaign)),
            ("awinaffid", self._config.publisher_id),
            (self._config.sub_id, click_id),
            ("ued", destination),
        ]
        return links.join(self._config.click_url, pairs)

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The push, or the placeholders of a GET under their own names."""
        try:
            found = fields.received(postback)
            if (push := found.pop(PUSH, None)) is not None:
                found |= fields.flat(fields.decoded(push))
            return shape.read(found, self._postback, self._config, self._config.field_map)
        except Unreadable as error:
            return error.problem

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """The push of a new transaction; it has none for what happens later."""
        written = shape.write(report, self._postback, self._config)
        if written is None:
            return None
        push = msgspec.json.encode(written).decode()
        return Postback(
            method="POST",
            headers={"content-type": "application/x-www-form-urlencoded"},
            body=urlencode({PUSH: push}).encode(),
        )

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All transactions that came, were decided or amended in the window."""

        async def fetch(step: Step) -> Answer:
            headers = {"Authorization": f"Bearer {asking.given(self._credentials).token}"}
            path = f"/publishers/{self._config.publisher_id}/transactions/"
            url = base.at(self._config.api_url, path)
            request = asking.get(url, _query(step), headers, SLUG)
            return Answer(asking.rows(asking.decoded(await asking.ask(send, request))))

        return pulling.walk(TERMS, window, cursor, fetch, self._report)

    def _report(self, row: dict[str, str]) -> Report:
        report = shape.read(row, self._rows, self._config, self._config.row_map)
        if report.status == "approved" and row.get("paidToPublisher") == "true":
            return msgspec.structs.replace(report, status="settled")
        return report


def _query(step: Step) -> list[tuple[str, str]]:
    form = "%Y-%m-%dT%H:%M:%S"
    return [
        ("startDate", times.written(step.start_ms, form)),
        ("endDate", times.written(step.end_ms, form)),
        ("timezone", "UTC"),
        ("dateType", step.date),
    ]
