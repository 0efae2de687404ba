"""Rakuten Advertising: OAuth 2 with client credentials, events by process and transaction date.

An event is a line of an order. It comes unconfirmed first (`is_event` is Y), then processed; what
is taken back later comes as a line of its own with a commission below zero.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

from core.http import Send
from core.providers.affiliate import asking, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.asking import Bearer
from core.providers.affiliate.config import Id, Parameter, Secret, Url
from core.providers.affiliate.protocol import DAY_MS, Page, Terms, Window
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report
from core.providers.affiliate.shape import Shape

SLUG: Final = "rakuten"

TERMS: Final = Terms(
    dates=("process_date", "transaction_date"),
    window_ms=30 * DAY_MS,
    look_back_ms=3 * DAY_MS,
    calls_per_minute=60,
    rows=1000,
)
#: The same names in its rows and, as far as is known, in its postbacks.
SHAPE: Final = Shape(
    names={
        "txn_id": ("transactionId", "etransaction_id"),
        "event": ("sku_number",),
        "click_id": ("u1",),
        "order_id": ("order_id",),
        "status": ("is_event",),
        "commission": ("commissions",),
        "sale": ("sale_amount",),
        "currency": ("currency",),
        "event_at": ("transaction_date",),
        "updated_at": ("process_date",),
        "correction_id": ("correctionId",),
    },
    words={"y": "pending", "n": "approved"},
)

# Rakuten's pages ask for this one.
_ACCEPT: Final = {"Accept": "text/json"}


class Config(base.Config, frozen=True, kw_only=True):
    """`site_id` is the publisher's SID for tokens, `link_id` the id in links; `campaign` an MID."""

    site_id: Id
    link_id: Id
    sub_id: Parameter = "u1"
    api_url: Url = "https://api.linksynergy.com"
    click_url: Url = "https://click.linksynergy.com/deeplink"


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """Of the publisher's application."""

    client_id: Secret
    client_secret: Secret


class Rakuten:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials
        self._shape = SHAPE.clicks(config.sub_id)

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """https://click.linksynergy.com/deeplink?id=…&mid={campaign}&u1={click_id}&murl={…}."""
        pairs = [
            ("id", self._config.link_id),
            ("mid", links.needed(campaign, self._config.campaign)),
            (self._config.sub_id, click_id),
            ("murl", destination),
        ]
        return links.join(self._config.click_url, pairs)

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The names of its rows."""
        return postbacks.read(postback, self._shape, self._config)

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """A GET with the names of its rows."""
        return postbacks.sample(report, self._shape, self._config)

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All events that came or were processed in the window."""
        bearer = Bearer(self._token)

        async def fetch(step: Step) -> Answer:
            url = base.at(self._config.api_url, "/events/1.0/transactions")
            request = asking.get(url, self._query(step), _ACCEPT, SLUG)
            found = asking.rows(asking.decoded(await bearer.ask(send, request)))
            # There is no total, and pages may be shorter than asked for: the last one is empty.
            return Answer(found, str(int(step.token or 1) + 1) if found else "")

        return pulling.walk(TERMS, window, cursor, fetch, self._report)

    def _query(self, step: Step) -> list[tuple[str, str]]:
        form, offset = "%Y-%m-%d %H:%M:%S", self._config.utc_offset_min
        return [
            (f"{step.date}_start", times.written(step.start_ms, form, offset)),
            (f"{step.date}_end", times.written(step.end_ms, form, offset)),
            ("limit", str(TERMS.rows)),
            ("page", step.token or "1"),
        ]

    def _report(self, row: dict[str, str]) -> Report:
        """A line keeps its name through all of its rows: advertiser and order, and then the SKU."""
        found = dict(row)
        if row.get("order_id"):
            found["transactionId"] = f"{row.get('advertiser_id', '')}:{row['order_id']}"
        if row.get("commissions", "").startswith("-"):
            found["correctionId"] = row.get("etransaction_id", "")
        return shape.read(found, self._shape, self._config, self._config.row_map)

    async def _token(self, send: Send, _: dict[str, Any] | None) -> dict[str, Any]:
        """Tokens are short-lived, and had anew rather than refreshed."""
        given = asking.given(self._credentials)
        form = {"grant_type": "client_credentials", "scope": self._config.site_id}
        headers = {"Authorization": asking.basic(given.client_id, given.client_secret)}
        url = base.at(self._config.api_url, "/token")
        return await asking.token(send, url, form, headers, SLUG)
