"""A local TUNE: a key in the query, 200 whatever happens, columns only as they are asked for."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import Network, Sample, Transaction, minor
from tests.providers.server import Refusal


class Tune(Network):
    slug = "tune"
    api_path = "/Apiv3/json"

    def config(self) -> dict[str, Any]:
        return {
            "api_url": self.url,
            "network_id": "demo",
            "affiliate_id": "12",
            "click_url": "https://demo.go2cloud.org/aff_c",
            "campaign": "77",
        }

    def credentials(self) -> dict[str, Any]:
        return {"api_key": self.key}

    def link(self) -> tuple[str, str, str]:
        return "aff_sub", "url", "https://demo.go2cloud.org/aff_c?offer_id=77&aff_id=12&"

    def sample(self) -> Sample:
        query = (
            "transaction_id=102f6b&offer_id=77&aff_sub=c0ffee&payout=2.50&sale_amount=&goal_id=5"
            "&currency=USD&datetime=2026-08-20+00%3A00%3A00&status=approved&ip=192.0.2.1"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="102f6b",
                event="5",
                click_id="c0ffee",
                status="approved",
                status_word="approved",
                commission_minor=250,
                currency="USD",
                event_at_ms=1_787_184_000_000,
            ),
        )

    def refuse(self, refusal: Refusal) -> web.Response:
        status = refusal.status
        answer = {"status": -1, "httpStatus": status, "data": "", "errorMessage": refusal.error}
        return web.json_response({"request": {}, "response": answer})

    async def answer(self, request: web.Request) -> web.Response:
        query = request.query
        self.check(is_good=query.get("api_key") == self.key)
        self.questions.append(dict(query))
        assert query["NetworkId"] == "demo"
        assert (query["Target"], query["Method"]) == ("Affiliate_Report", "getConversions")
        assert query["filters[Stat.date][conditional]"] == "BETWEEN"
        found = self.days(*query.getall("filters[Stat.date][values][]"))
        limit, page = int(query["limit"]), int(query["page"])
        shown = self.page(found, page, limit)
        fields = query.getall("fields[]")
        data = {
            "page": page,
            "current": len(shown),
            "count": len(found),
            "pageCount": -(-len(found) // min(limit, self.page_rows)),
            "data": [self.row(one, fields) for one in shown],
        }
        answer = {"status": 1, "httpStatus": 200, "data": data, "errors": [], "errorMessage": None}
        return web.json_response({"request": {"Version": "3"}, "response": answer})

    def row(self, one: Transaction, fields: list[str]) -> dict[str, Any]:
        known = {
            "Stat.ad_id": one.id,
            "Stat.tune_event_id": f"e-{one.id}",
            "Stat.goal_id": "0",
            "Stat.offer_id": "77",
            "Offer.name": "A shop",
            "Stat.datetime": self.text(one.created_ms, "%Y-%m-%d %H:%M:%S"),
            "Stat.conversion_status": one.status,
            "Stat.payout": one.commission,
            "Stat.currency": one.currency,
            "Stat.conversion_sale_amount": one.sale,
            "Stat.affiliate_info1": one.click_id,
        }
        row: dict[str, Any] = {}
        for field in fields:
            model, _, name = field.partition(".")
            row.setdefault(model, {})[name] = known[field]
        return row

    def report(self, one: Transaction) -> Report:
        return Report(
            txn_id=one.id,
            click_id=one.click_id,
            status=one.status,
            status_word=one.status,
            commission_minor=minor(one.commission),
            currency=one.currency,
            sale_minor=minor(one.sale),
            sale_currency=one.currency,
            event_at_ms=one.created_ms,
        )
