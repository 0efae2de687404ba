"""Trackier, which vCommission runs on: an API key, conversions by the day on which they came.

Its rows have no sale amount. A status that changes late shows only under the day of the conversion,
so a sync looks back sixty days.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Final

from core.http import Send
from core.providers.affiliate import asking, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.config import Id, Parameter, Secret, Url
from core.providers.affiliate.protocol import DAY_MS, Page, Terms, Window
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report, Status
from core.providers.affiliate.shape import Shape

SLUG: Final = "trackier"

TERMS: Final = Terms(
    dates=("created",),
    window_ms=31 * DAY_MS,
    look_back_ms=60 * DAY_MS,
    calls_per_minute=60,
    rows=1000,
    is_daily=True,
)
_WORDS: Final[dict[str, Status]] = {
    "pending": "pending",
    "approved": "approved",
    "cancelled": "rejected",
    "rejected": "rejected",
}
POSTBACK: Final = Shape(
    names={
        "txn_id": ("txn_id", "conversion_id"),
        "click_id": ("p1",),
        "event": ("goal_id",),
        "status": ("status",),
        "commission": ("payout",),
        "sale": ("sale_amount",),
        "currency": ("currency",),
        "event_at": ("created",),
    },
    words=_WORDS,
)
ROWS: Final = Shape(
    names={
        "txn_id": ("txn_id", "_id"),
        "click_id": ("p1",),
        "event": ("goal_id",),
        "status": ("status",),
        "commission": ("payout",),
        "currency": ("currency",),
        "event_at": ("created",),
    },
    words=_WORDS,
    is_negative_reversal=True,
)


class Config(base.Config, frozen=True, kw_only=True):
    """`click_url` is the network's tracking host, https://track.vcommission.com/click for one;
    vCommission's `api_url` is https://api.vcommission.com. `campaign` is a campaign's id.
    """

    publisher_id: Id
    click_url: Url
    sub_id: Parameter = "p1"
    api_url: Url = "https://api.trackier.com"


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """The publisher's key."""

    api_key: Secret


class Trackier:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials
        self._postback = POSTBACK.clicks(config.sub_id)
        self._rows = ROWS.clicks(config.sub_id)

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """{click_url}?campaign_id={campaign}&pub_id=…&p1={click_id}&url={destination}."""
        pairs = [
            ("campaign_id", links.needed(campaign, self._config.campaign)),
            ("pub_id", self._config.publisher_id),
            (self._config.sub_id, click_id),
            ("url", destination),
        ]
        return links.join(self._config.click_url, pairs)

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The macros under their own names."""
        return postbacks.read(postback, self._postback, self._config)

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """It knows neither payments nor reversals."""
        return postbacks.sample(report, self._postback, self._config)

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All conversions of the window's days."""

        async def fetch(step: Step) -> Answer:
            headers = {"X-Api-Key": asking.given(self._credentials).api_key}
            url = base.at(self._config.api_url, "/v2/publishers/conversions")
            request = asking.get(url, self._query(step), headers, SLUG)
            answer = asking.table(await asking.ask(send, request))
            found = asking.rows(answer.get("conversions"))
            pages = asking.inner(answer.get("pagination"))
            page, size = asking.whole(pages.get("currentPage")), asking.whole(pages.get("perPage"))
            has_more = bool(found) and page * size < asking.whole(pages.get("total"))
            return Answer(found, str(page + 1) if has_more else "")

        offset = self._config.utc_offset_min
        return pulling.walk(TERMS, window, cursor, fetch, self._report, utc_offset_min=offset)

    def _query(self, step: Step) -> list[tuple[str, str]]:
        offset = self._config.utc_offset_min
        return [
            ("start", times.written(step.start_ms, "%Y-%m-%d", offset)),
            ("end", times.written(step.last_ms, "%Y-%m-%d", offset)),
            ("page", step.token or "1"),
            ("limit", str(TERMS.rows)),
        ]

    def _report(self, row: dict[str, str]) -> Report:
        return shape.read(row, self._rows, self._config, self._config.row_map)
