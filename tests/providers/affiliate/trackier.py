"""A local Trackier: a key in a header, conversions by day."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import Network, Sample, Transaction, minor
from tests.providers.server import Refusal

WORDS = {"pending": "pending", "approved": "approved", "rejected": "cancelled"}


class Trackier(Network):
    slug = "trackier"
    api_path = "/v2/publishers/conversions"

    def config(self) -> dict[str, Any]:
        return {
            "api_url": self.url,
            "publisher_id": "656",
            "click_url": "https://track.vcommission.com/click",
            "campaign": "2217",
        }

    def credentials(self) -> dict[str, Any]:
        return {"api_key": self.key}

    def link(self) -> tuple[str, str, str]:
        start = "https://track.vcommission.com/click?campaign_id=2217&pub_id=656&"
        return "p1", "url", start

    def sample(self) -> Sample:
        query = (
            "p1=c0ffee&txn_id=T-9&payout=55.5&currency=inr&status=approved&goal_id={goal_id}"
            "&sale_amount=1110&created=2026-08-20T00:00:00.250Z&campaign_id=2217"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="T-9",
                click_id="c0ffee",
                status="approved",
                status_word="approved",
                commission_minor=5550,
                currency="INR",
                sale_minor=111_000,
                sale_currency="INR",
                event_at_ms=1_787_184_000_250,
            ),
        )

    async def answer(self, request: web.Request) -> web.Response:
        self.check(is_good=request.headers.get("X-Api-Key") == self.key)
        query = dict(request.query)
        self.questions.append(query)
        limit, page = int(query["limit"]), int(query["page"])
        if not 100 <= limit <= 1000:
            raise Refusal("limit", 400)
        found = self.days(query["start"], query["end"])
        shown = self.page(found, page, limit)
        return web.json_response(
            {
                "conversions": [self.row(one) for one in shown],
                "pagination": {
                    "perPage": min(limit, self.page_rows),
                    "currentPage": page,
                    "total": len(found),
                },
            }
        )

    def row(self, one: Transaction) -> dict[str, Any]:
        return {
            "_id": f"64793f{one.id}",
            "click_id": "64793fa1",
            "p1": one.click_id,
            "p2": None,
            "goal_id": None,
            "txn_id": one.id,
            "currency": one.currency,
            "payout": float(one.commission),
            "created": self.text(one.created_ms, "%Y-%m-%dT%H:%M:%S.000Z"),
            "status": WORDS[one.status],
            "campaign_id": 2217,
            "campaign_name": "A shop",
        }

    def report(self, one: Transaction) -> Report:
        return Report(
            txn_id=one.id,
            click_id=one.click_id,
            status=one.status,
            status_word=WORDS[one.status],
            commission_minor=minor(one.commission),
            currency=one.currency,
            event_at_ms=one.created_ms,
        )
