"""Impact's partner API: basic authentication, actions by when they were last updated, inquiries
about those that are missing.
"""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from typing import Final, Literal
from urllib.parse import urlencode

from core.http import Send
from core.providers.affiliate import amounts, asking, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.config import Id, Secret, Url
from core.providers.affiliate.protocol import (
    DAY_MS,
    BadAnswer,
    Inquiry,
    Page,
    Terms,
    Unaddressed,
    Window,
)
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report
from core.providers.affiliate.shape import Shape

SLUG: Final = "impact"

TERMS: Final = Terms(
    dates=("updated",),
    window_ms=45 * DAY_MS,
    look_back_ms=2 * DAY_MS,
    # A thousand an hour.
    calls_per_minute=16,
    rows=1000,
)
#: https://brand.sjv.io/c/{partner}/{ad}/{campaign}
_TRACKING: Final = re.compile(r"https?://[^/?#]+/c/\d+/\d+/(\d{1,12})(?:[?#].*)?")
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"

#: The same names in its rows and in what notifications are set up with: a query, or a JSON body.
SHAPE: Final = Shape(
    names={
        "txn_id": ("Id", "ActionId", "action_id"),
        "order_id": ("Oid",),
        "status": ("State", "Status"),
        "commission": ("Payout",),
        "sale": ("Amount",),
        "currency": ("Currency",),
        "event_at": ("EventDate",),
    },
    words={"pending": "pending", "approved": "approved", "reversed": "reversed"},
    time_form="%Y-%m-%dT%H:%M:%SZ",
    is_negative_reversal=True,
)


class Config(base.Config, frozen=True, kw_only=True):
    """`campaign` is a brand's tracking link, https://brand.sjv.io/c/1/2/3."""

    sub_id: Literal["subId1", "subId2", "subId3"] = "subId1"
    api_url: Url = "https://api.impact.com"


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """Of the partner's account."""

    account_sid: Id
    auth_token: Secret


class Impact:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials
        self._shape = SHAPE.clicks(config.sub_id)

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """{campaign}?subId1={click_id}&u={destination}."""
        place = links.needed(campaign, self._config.campaign)
        return links.join(place, [(self._config.sub_id, click_id), ("u", destination)])

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The names of its rows."""
        return postbacks.read(postback, self._shape, self._config)

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """It knows neither payments nor rejections."""
        return postbacks.sample(report, self._shape, self._config)

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All actions that were updated in the window."""

        async def fetch(step: Step) -> Answer:
            given = asking.given(self._credentials)
            path = f"/Mediapartners/{given.account_sid}/Actions"
            headers = {"Authorization": asking.basic(given.account_sid, given.auth_token)}
            url = base.at(self._config.api_url, path)
            request = asking.get(url, _query(step), headers, SLUG)
            answer = asking.table(await asking.ask(send, request))
            page = asking.whole(answer.get("@page") or step.token or 1)
            has_more = bool(answer.get("@nextpageuri"))
            return Answer(asking.rows(answer.get("Actions")), str(page + 1) if has_more else "")

        return pulling.walk(TERMS, window, cursor, fetch, self._report)

    async def inquire(self, send: Send, inquiry: Inquiry) -> str:
        """An inquiry about an untracked action, under the claim's id."""
        given = asking.given(self._credentials)
        path = f"/Mediapartners/{given.account_sid}/ActionInquiries"
        url = base.at(self._config.api_url, path)
        headers = {"Authorization": asking.basic(given.account_sid, given.auth_token)}
        form = self._asked(inquiry)
        query = [("MediaPartnerInquiryId", inquiry.claim_id)]
        answer = asking.table(await asking.ask(send, asking.get(url, query, headers, SLUG)))
        for one in map(asking.inner, asking.rows(answer.get("ActionInquiries") or [])):
            if one.get("MediaPartnerInquiryId") == inquiry.claim_id:
                return _reference(one.get("Id"))
        request = asking.post(url, urlencode(form).encode(), {**headers, **asking.FORM}, SLUG)
        answer = asking.table(await asking.ask(send, request))
        return _reference(str(answer.get("Uri", "")).rpartition("/")[2])

    def _asked(self, inquiry: Inquiry) -> dict[str, str]:
        """What it asks; Unaddressed when the tracking link does not name the campaign."""
        found = _TRACKING.fullmatch(inquiry.campaign or self._config.campaign)
        if found is None:
            raise Unaddressed("the tracking link does not end in /c/{partner}/{ad}/{campaign}")
        notes = [f"{self._config.sub_id} {inquiry.click_id}"] if inquiry.click_id else []
        if inquiry.clicked_at_ms is not None:
            notes.append(f"clicked at {times.written(inquiry.clicked_at_ms, _FORM)}")
        notes.append(f"the amount is in {inquiry.currency}")
        return {
            "CampaignId": found[1],
            "OrderId": inquiry.order_id,
            "TransactionDate": times.written(inquiry.ordered_at_ms, _FORM),
            "TransactionAmount": amounts.text(inquiry.amount_minor, inquiry.currency),
            "InquiryType": "UNTRACKED",
            "MediaPartnerInquiryId": inquiry.claim_id,
            "InquiryNotes": "; ".join(notes),
        }

    def _report(self, row: dict[str, str]) -> Report:
        return shape.read(row, self._shape, self._config, self._config.row_map)


def _query(step: Step) -> list[tuple[str, str]]:
    form = "%Y-%m-%dT%H:%M:%SZ"
    return [
        ("StartDate", times.written(step.start_ms, form)),
        ("EndDate", times.written(step.end_ms, form)),
        ("PageSize", str(TERMS.rows)),
        ("Page", step.token or "1"),
    ]


def _reference(value: object) -> str:
    """The id of an inquiry, or BadAnswer."""
    text = str(value or "")
    if not (text.isdigit() and len(text) <= 20):
        raise BadAnswer("the network does not say which inquiry it made")
    return text
