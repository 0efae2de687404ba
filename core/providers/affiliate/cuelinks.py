"""Cuelinks: a token, transactions by date, links that find the campaign by the destination.

No official text on its API was at hand: names and words are those that several callers agree on.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final, Literal

from core.http import Send
from core.money import Currency
from core.providers.affiliate import asking, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.config import Id, Secret, Url
from core.providers.affiliate.protocol import DAY_MS, Page, Terms, Window
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report
from core.providers.affiliate.shape import Shape

SLUG: Final = "cuelinks"

TERMS: Final = Terms(
    dates=("transaction_date",),
    window_ms=31 * DAY_MS,
    look_back_ms=60 * DAY_MS,
    calls_per_minute=30,
    rows=100,
    is_daily=True,
)
#: Its rows and, as far as is known, its postbacks.
SHAPE: Final = Shape(
    names={
        "txn_id": ("id", "transaction_id"),
        "click_id": ("aff_sub", "subid1", "subid"),
        "order_id": ("order_id",),
        "status": ("status",),
        "commission": ("user_commission", "commission"),
        "sale": ("sale_amount",),
        "currency": ("currency",),
        "event_at": ("transaction_date",),
    },
    words={
        "pending": "pending",
        "approved": "approved",
        "confirmed": "approved",
        "validated": "approved",
        "rejected": "rejected",
        "declined": "rejected",
        "cancelled": "rejected",
        "paid": "settled",
    },
    is_negative_reversal=True,
)


class Config(base.Config, frozen=True, kw_only=True):
    """Times and amounts without a zone or a currency are India's."""

    channel_id: Id
    sub_id: Literal["subid", "subid2", "subid3"] = "subid"
    api_url: Url = "https://www.cuelinks.com/api/v2"
    click_url: Url = "https://linksredirect.com/"
    currency: Currency | None = "INR"
    utc_offset_min: int = 330


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """The channel's key."""

    api_key: Secret


class Cuelinks:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials
        own = () if config.sub_id == "subid" else (config.sub_id,)
        self._shape = SHAPE.clicks(*own, *SHAPE.names["click_id"])

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """https://linksredirect.com/?cid=…&source=api&subid={click_id}&url={destination}."""
        pairs = [
            ("cid", campaign or self._config.campaign or self._config.channel_id),
            ("source", "api"),
            (self._config.sub_id, click_id),
            ("url", destination),
        ]
        return links.join(self._config.click_url, pairs)

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The names of its rows, as nobody has written down others."""
        return postbacks.read(postback, self._shape, self._config)

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """It knows no reversals."""
        return postbacks.sample(report, self._shape, self._config)

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All transactions of the window's days."""

        async def fetch(step: Step) -> Answer:
            key = asking.given(self._credentials).api_key
            headers = {"Authorization": f'Token token="{key}"'}
            url = base.at(self._config.api_url, "/transactions.json")
            request = asking.get(url, self._query(step), headers, SLUG)
            response = await asking.ask(send, request)
            if response.status == 204:
                return Answer([])
            found = asking.rows(asking.table(response).get("transactions"))
            # There is no total, and pages may be shorter than asked for: the last one is empty.
            return Answer(found, str(int(step.token or 1) + 1) if found else "")

        offset = self._config.utc_offset_min
        return pulling.walk(TERMS, window, cursor, fetch, self._report, utc_offset_min=offset)

    def _query(self, step: Step) -> list[tuple[str, str]]:
        offset = self._config.utc_offset_min
        return [
            ("start_date", times.written(step.start_ms, "%Y-%m-%d", offset)),
            ("end_date", times.written(step.last_ms, "%Y-%m-%d", offset)),
            ("page", step.token or "1"),
            ("per_page", str(TERMS.rows)),
        ]

    def _report(self, row: dict[str, str]) -> Report:
        return shape.read(row, self._shape, self._config, self._config.row_map)
