"""A local Cuelinks: a token in quotes, 204 where there is nothing, times of India."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import Network, Sample, Transaction, minor

WORDS = {
    "pending": "Pending",
    "approved": "validated",
    "rejected": "cancelled",
    "settled": "paid",
}


class Cuelinks(Network):
    slug = "cuelinks"
    api_path = "/api/v2/transactions.json"
    utc_offset_min = 330

    def config(self) -> dict[str, Any]:
        return {"api_url": f"{self.url}/api/v2", "channel_id": "4711"}

    def credentials(self) -> dict[str, Any]:
        return {"api_key": self.key}

    def link(self) -> tuple[str, str, str]:
        return "subid", "url", "https://linksredirect.com/?cid=4711&source=api&"

    def sample(self) -> Sample:
        query = (
            "id=88&order_id=OD1&transaction_date=2026-08-20%2005:30:00&sale_amount=999.00"
            "&user_commission=49.95&status=Validated&store_name=Shop&aff_sub=c0ffee"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="88",
                click_id="c0ffee",
                status="approved",
                status_word="Validated",
                commission_minor=4995,
                currency="INR",
                sale_minor=99_900,
                sale_currency="INR",
                order_id="OD1",
                event_at_ms=1_787_184_000_000,
            ),
        )

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.check(is_good=request.headers.get("Authorization") == f'Token token="{self.key}"')
        query = dict(request.query)
        self.questions.append(query)
        found = self.days(query["start_date"], query["end_date"])
        shown = self.page(found, int(query["page"]), int(query["per_page"]))
        if not shown:
            return web.Response(status=204)
        return web.json_response({"transactions": [self.row(one) for one in shown]})

    def row(self, one: Transaction) -> dict[str, Any]:
        return {
            "id": int(one.id),
            "order_id": one.order_id,
            "transaction_date": self.text(one.created_ms, "%Y-%m-%dT%H:%M:%S%z"),
            "sale_amount": one.sale,
            "user_commission": float(one.commission),
            "currency": one.currency,
            "status": WORDS[one.status],
            "store_name": "Shop",
            "campaign_id": 3,
            "aff_sub": one.click_id,
            "subid2": None,
        }

    def report(self, one: Transaction) -> Report:
        return Report(
            txn_id=one.id,
            click_id=one.click_id,
            status=one.status,
            status_word=WORDS[one.status],
            commission_minor=minor(one.commission),
            currency=one.currency,
            sale_minor=minor(one.sale),
            sale_currency=one.currency,
            order_id=one.order_id,
            event_at_ms=one.created_ms,
        )
