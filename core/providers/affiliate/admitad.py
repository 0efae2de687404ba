"""Admitad: OAuth 2 with client credentials, actions by when their status changed and by date.

Its postbacks are unsigned, and have words of their own: `new` is what the API calls `pending`, and
`pending` is an approval that was put on hold again, `approved_but_stalled` in the API.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any, Final, Literal

import msgspec

from core.http import Send
from core.macros import encode
from core.providers.affiliate import asking, links, postbacks, pulling, shape, times
from core.providers.affiliate import config as base
from core.providers.affiliate.asking import Bearer
from core.providers.affiliate.config import Secret, Url
from core.providers.affiliate.protocol import DAY_MS, AuthRefused, Page, Terms, Window
from core.providers.affiliate.pulling import Answer, Step
from core.providers.affiliate.report import Postback, Problem, Report
from core.providers.affiliate.shape import Shape

SLUG: Final = "admitad"
#: Sub ids that come back unchanged; Admitad writes promo codes into the third.
SUB_IDS: Final = ("subid4", "subid", "subid1", "subid2")
SCOPES: Final = "statistics"

TERMS: Final = Terms(
    dates=("status_updated", "date"),
    window_ms=30 * DAY_MS,
    look_back_ms=3 * DAY_MS,
    calls_per_minute=60,
    rows=500,
)
POSTBACK: Final = Shape(
    names={
        "txn_id": ("admitad_id",),
        "click_id": SUB_IDS,
        "order_id": ("order_id",),
        "status": ("payment_status",),
        "commission": ("payment_sum",),
        "sale": ("order_sum",),
        "currency": ("currency",),
        "event_at": ("time",),
    },
    words={
        "new": "pending",
        "pending": "pending",
        "approved": "approved",
        "declined": "rejected",
    },
    time_form="unix",
)
ROWS: Final = Shape(
    names={
        "txn_id": ("action_id", "id"),
        "click_id": SUB_IDS,
        "order_id": ("order_id",),
        "status": ("status",),
        "commission": ("payment",),
        "sale": ("cart",),
        "currency": ("currency",),
        "event_at": ("action_date",),
        "updated_at": ("status_updated",),
    },
    words={
        "pending": "pending",
        "approved_but_stalled": "pending",
        "approved": "approved",
        "declined": "rejected",
    },
    is_negative_reversal=True,
)


class Config(base.Config, frozen=True, kw_only=True):
    """`campaign` is what stands after `/g/` in the ad space's links; times are Moscow's."""

    sub_id: Literal["subid4", "subid", "subid1", "subid2"] = "subid4"
    api_url: Url = "https://api.admitad.com"
    click_url: Url = "https://ad.admitad.com/g"
    utc_offset_min: int = 180


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """Of the application, as Admitad's settings show them."""

    client_id: Secret
    client_secret: Secret


class Admitad:
    """See the module."""

    slug: Final = SLUG
    terms: Final = TERMS

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials
        self._postback = POSTBACK.clicks(config.sub_id, *SUB_IDS)
        self._rows = ROWS.clicks(config.sub_id, *SUB_IDS)

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """https://ad.admitad.com/g/{campaign}/?subid4={click_id}&ulp={destination}."""
        place = links.needed(campaign, self._config.campaign)
        pairs = [(self._config.sub_id, click_id), ("ulp", destination)]
        return links.join(base.at(self._config.click_url, f"/{encode(place)}/"), pairs)

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The macros under their own names."""
        return postbacks.read(postback, self._postback, self._config)

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """Its postbacks know neither payments nor reversals."""
        return postbacks.sample(report, self._postback, self._config)

    def pull(self, send: Send, window: Window, cursor: str = "") -> AsyncIterator[Page]:
        """All actions whose status or date is in the window."""
        bearer = Bearer(self._token)

        async def fetch(step: Step) -> Answer:
            url = base.at(self._config.api_url, "/statistics/actions/")
            request = asking.get(url, self._query(step), {}, SLUG)
            answer = asking.table(await bearer.ask(send, request))
            found = asking.rows(answer.get("results"))
            end = int(step.token or 0) + len(found)
            count = asking.whole(asking.inner(answer.get("_meta")).get("count"))
            return Answer(found, str(end) if found and end < count else "")

        return pulling.walk(TERMS, window, cursor, fetch, self._report)

    def _query(self, step: Step) -> list[tuple[str, str]]:
        offset = self._config.utc_offset_min
        form, end_ms = "%d.%m.%Y %H:%M:%S", step.end_ms
        if step.date == "date":
            # Whole days, both included.
            form, end_ms = "%d.%m.%Y", step.last_ms
        return [
            (f"{step.date}_start", times.written(step.start_ms, form, offset)),
            (f"{step.date}_end", times.written(end_ms, form, offset)),
            ("order_by", "datetime"),
            ("limit", str(TERMS.rows)),
            ("offset", step.token or "0"),
        ]

    def _report(self, row: dict[str, str]) -> Report:
        report = shape.read(row, self._rows, self._config, self._config.row_map)
        if report.status == "approved" and row.get("paid") == "1":
            return msgspec.structs.replace(report, status="settled")
        return report

    async def _token(self, send: Send, previous: dict[str, Any] | None) -> dict[str, Any]:
        """By the refresh token if there is one, else by the client's credentials."""
        given = asking.given(self._credentials)
        url = base.at(self._config.api_url, "/token/")
        client = {"client_id": given.client_id}
        if previous is not None and isinstance(previous.get("refresh_token"), str):
            form = {"grant_type": "refresh_token", "refresh_token": previous["refresh_token"]}
            form |= {**client, "client_secret": given.client_secret}
            with suppress(AuthRefused):
                return await asking.token(send, url, form, {}, SLUG)
        form = {"grant_type": "client_credentials", **client, "scope": SCOPES}
        basic = {"Authorization": asking.basic(given.client_id, given.client_secret)}
        return await asking.token(send, url, form, basic, SLUG)
