"""CJ: a personal access token, commissions by GraphQL, page by page after a commission's id.

Each record is a change: `originalActionId` names the action, `commissionId` the record, and the
records that are not `original` correct the amounts of the action. CJ sends no postbacks; what an
operator sends in its name is read by the names of the records.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec

from core.http import HttpRequest, Send
from core.macros import encode
from core.money import Currency
from core.providers.affiliate import asking, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.config import Id, Parameter, Secret, Url
from core.providers.affiliate.protocol import DAY_MS, BadAnswer, Page, Terms, Window
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report
from core.providers.affiliate.shape import Shape

SLUG: Final = "cj"

TERMS: Final = Terms(
    dates=("Posting", "Locking"),
    window_ms=31 * DAY_MS,
    look_back_ms=3 * DAY_MS,
    calls_per_minute=25,
    # CJ decides how many a page has.
    rows=0,
)
SHAPE: Final = Shape(
    names={
        "txn_id": ("originalActionId", "commissionId"),
        "click_id": ("shopperId", "sid"),
        "order_id": ("orderId",),
        "status": ("actionStatus",),
        "commission": ("pubCommissionAmountUsd",),
        "sale": ("saleAmountUsd",),
        "event_at": ("eventDate",),
        "updated_at": ("postingDate",),
        "correction_id": ("correctionId",),
    },
    words={
        "new": "pending",
        "extended": "pending",
        "locked": "approved",
        "closed": "settled",
    },
    time_form="%Y-%m-%dT%H:%M:%SZ",
)
_QUERY: Final = """
query Commissions($publishers: [String!]!, $since: String, $before: String, $after: String) {
  publisherCommissions(forPublishers: $publishers, since%(date)sDate: $since,
                       before%(date)sDate: $before, sinceCommissionId: $after) {
    count maxCommissionId payloadComplete
    records {
      commissionId originalActionId original correctionReason actionStatus validationStatus
      advertiserId advertiserName websiteId orderId shopperId eventDate postingDate lockingDate
      saleAmountUsd pubCommissionAmountUsd
    }
  }
}
"""


class Config(base.Config, frozen=True, kw_only=True):
    """`website_id` is the property (PID) of the links, `campaign` a link's id; amounts are USD."""

    publisher_id: Id
    website_id: Id
    sub_id: Parameter = "sid"
    api_url: Url = "https://commissions.api.cj.com"
    click_url: Url = "https://www.dpbolvw.net"
    currency: Currency | None = "USD"


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """A personal access token."""

    token: Secret


class Cj:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """https://www.dpbolvw.net/click-{website_id}-{campaign}?sid={click_id}&url={destination}."""
        place = links.needed(campaign, self._config.campaign)
        path = f"/click-{self._config.website_id}-{encode(place)}"
        pairs = [(self._config.sub_id, click_id), ("url", destination)]
        return links.join(base.at(self._config.click_url, path), pairs)

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The names of its records."""
        return postbacks.read(postback, SHAPE, self._config)

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """A GET with the names of its records."""
        return postbacks.sample(report, SHAPE, self._config)

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All records that were posted or locked in the window."""

        async def fetch(step: Step) -> Answer:
            answer = asking.table(await asking.ask(send, self._request(step)))
            if answer.get("errors"):
                raise BadAnswer("the network does not take the question")
            found = asking.inner(asking.inner(answer.get("data")).get("publisherCommissions"))
            records = asking.rows(found.get("records"))
            if found.get("payloadComplete") is True or not records:
                return Answer(records)
            return Answer(records, _token(found.get("maxCommissionId")))

        return pulling.walk(TERMS, window, cursor, fetch, self._report)

    def _request(self, step: Step) -> HttpRequest:
        form = "%Y-%m-%dT%H:%M:%SZ"
        question = {
            "query": _QUERY % {"date": step.date},
            "variables": {
                "publishers": [self._config.publisher_id],
                "since": times.written(step.start_ms, form),
                "before": times.written(step.end_ms, form),
                "after": step.token or None,
            },
        }
        headers = {
            "Authorization": f"Bearer {asking.given(self._credentials).token}",
            "Content-Type": "application/json",
        }
        url = base.at(self._config.api_url, "/query")
        return asking.post(url, msgspec.json.encode(question), headers, SLUG)

    def _report(self, record: dict[str, str]) -> Report:
        found = dict(record)
        if record.get("original") == "false":
            found["correctionId"] = record.get("commissionId", "")
        report = shape.read(found, SHAPE, self._config, self._config.row_map)
        if record.get("validationStatus", "").lower() == "declined" and not report.correction_id:
            return msgspec.structs.replace(report, status="rejected")
        return report


def _token(value: Any) -> str:
    if not isinstance(value, str | int) or not value:
        raise BadAnswer("the network's answer does not say where to go on")
    return str(value)
