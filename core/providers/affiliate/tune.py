"""TUNE, formerly HasOffers: an API key in the query, conversions by the day on which they came.

The API answers 200 also when it refuses; what counts is the `status` in the body. A transaction id
belongs to a click, so the goal tells its conversions apart.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final, Literal

from core.http import HttpResponse, Send
from core.providers.affiliate import asking, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.config import Id, Secret, Url
from core.providers.affiliate.protocol import (
    DAY_MS,
    AnswerTooLarge,
    AuthRefused,
    BadAnswer,
    Page,
    Temporary,
    Terms,
    Throttled,
    Window,
)
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report, Status
from core.providers.affiliate.shape import Shape

SLUG: Final = "tune"

TERMS: Final = Terms(
    dates=("Stat.date",),
    window_ms=31 * DAY_MS,
    look_back_ms=60 * DAY_MS,
    calls_per_minute=200,
    rows=1000,
    is_daily=True,
)
#: Which column of a report the link's parameter comes back in.
_COLUMNS: Final = {
    "aff_sub": "Stat.affiliate_info1",
    "aff_sub2": "Stat.affiliate_info2",
    "aff_sub3": "Stat.affiliate_info3",
    "aff_sub4": "Stat.affiliate_info4",
    "aff_sub5": "Stat.affiliate_info5",
}
_FIELDS: Final = (
    *("Stat.ad_id", "Stat.tune_event_id", "Stat.goal_id", "Stat.offer_id", "Offer.name"),
    *("Stat.datetime", "Stat.conversion_status", "Stat.payout", "Stat.currency"),
    "Stat.conversion_sale_amount",
)
_WORDS: Final[dict[str, Status]] = {
    "pending": "pending",
    "approved": "approved",
    "rejected": "rejected",
}
POSTBACK: Final = Shape(
    names={
        "txn_id": ("transaction_id",),
        "event": ("goal_id",),
        "status": ("status",),
        "commission": ("payout",),
        "sale": ("sale_amount",),
        "currency": ("currency",),
        "event_at": ("datetime",),
    },
    words=_WORDS,
)
ROWS: Final = Shape(
    names={
        "txn_id": ("Stat.ad_id", "Stat.tune_event_id"),
        "event": ("Stat.goal_id",),
        "status": ("Stat.conversion_status",),
        "commission": ("Stat.payout",),
        "sale": ("Stat.conversion_sale_amount",),
        "currency": ("Stat.currency",),
        "event_at": ("Stat.datetime",),
    },
    words=_WORDS,
    is_negative_reversal=True,
)


class Config(base.Config, frozen=True, kw_only=True):
    """`click_url` is the network's tracking host with `/aff_c`; `campaign` is an offer's id.
    Without an `api_url` it is https://{network_id}.api.hasoffers.com.
    """

    network_id: Id
    affiliate_id: Id
    click_url: Url
    sub_id: Literal["aff_sub", "aff_sub2", "aff_sub3", "aff_sub4", "aff_sub5"] = "aff_sub"
    api_url: Url | None = None


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """The affiliate's key."""

    api_key: Secret


class Tune:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials
        self._postback = POSTBACK.clicks(config.sub_id)
        self._column = _COLUMNS[config.sub_id]
        self._rows = ROWS.clicks(self._column)

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """{click_url}?offer_id={campaign}&aff_id=…&aff_sub={click_id}&url={destination}."""
        pairs = [
            ("offer_id", links.needed(campaign, self._config.campaign)),
            ("aff_id", self._config.affiliate_id),
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
        host = self._config.api_url or f"https://{self._config.network_id}.api.hasoffers.com"

        async def fetch(step: Step) -> Answer:
            request = asking.get(base.at(host, "/Apiv3/json"), self._query(step), {}, SLUG)
            try:
                data = _data(await asking.ask(send, request))
            except Temporary as error:
                if error.status == 504:
                    # Too much for it to count in time: what helps is to ask for less.
                    raise AnswerTooLarge("the network did not answer in time") from None
                raise
            found = asking.rows(data.get("data"))
            page, pages = asking.whole(data.get("page")), asking.whole(data.get("pageCount"))
            return Answer(found, str(page + 1) if found and page < pages else "")

        offset = self._config.utc_offset_min
        return pulling.walk(TERMS, window, cursor, fetch, self._report, utc_offset_min=offset)

    def _query(self, step: Step) -> list[tuple[str, str]]:
        offset = self._config.utc_offset_min
        days = [times.written(ms, "%Y-%m-%d", offset) for ms in (step.start_ms, step.last_ms)]
        return [
            ("api_key", asking.given(self._credentials).api_key),
            ("NetworkId", self._config.network_id),
            ("Target", "Affiliate_Report"),
            ("Method", "getConversions"),
            *(("fields[]", field) for field in (*_FIELDS, self._column)),
            ("filters[Stat.date][conditional]", "BETWEEN"),
            *(("filters[Stat.date][values][]", day) for day in days),
            ("sort[Stat.datetime]", "asc"),
            ("limit", str(TERMS.rows)),
            ("page", step.token or "1"),
        ]

    def _report(self, row: dict[str, str]) -> Report:
        # Zero is the goal of offers that have none.
        found = {name: value for name, value in row.items() if (name, value) != _NO_GOAL}
        return shape.read(found, self._rows, self._config, self._config.row_map)


_NO_GOAL: Final = ("Stat.goal_id", "0")


def _data(response: HttpResponse) -> dict[str, Any]:
    """The data of an answer that says that all is well; a kind of PullFailed for others."""
    answer = asking.inner(asking.table(response).get("response"))
    if answer.get("status") == 1:
        return asking.inner(answer.get("data"))
    match answer.get("httpStatus"):
        case 401 | 403:
            raise AuthRefused("the network does not take the credentials")
        case 429:
            raise Throttled(asking.RETRY_AFTER_S)
        case int(status) if status >= 500:
            raise Temporary(f"the network answered {status}", status)
        case _:
            raise BadAnswer("the network does not take the question")
