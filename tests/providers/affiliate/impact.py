"""A local Impact: basic authentication, XML without `Accept`, actions by their last update."""

from __future__ import annotations

from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import DAY_MS, Network, Sample, Transaction, minor
from tests.providers.server import _basic

SID = "IRA4K3"


class Impact(Network):
    slug = "impact"
    api_path = f"/Mediapartners/{SID}/Actions"
    window_ms = 45 * DAY_MS

    def config(self) -> dict[str, Any]:
        return {"api_url": self.url, "campaign": "https://brand.sjv.io/c/1/2/3"}

    def credentials(self) -> dict[str, Any]:
        return {"account_sid": SID, "auth_token": self.key}

    def link(self) -> tuple[str, str, str]:
        return "subId1", "u", "https://brand.sjv.io/c/1/2/3?"

    def sample(self) -> Sample:
        query = (
            "ActionId=1000.4636.158133&Status=REVERSED&Payout=0.88&Amount=21.99&Currency=USD"
            "&EventDate=2026-08-20T05%3A30%3A00%2B05%3A30&Oid=O-1&SubId1=c0ffee&CampaignId=1000"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="1000.4636.158133",
                click_id="c0ffee",
                status="reversed",
                status_word="REVERSED",
                commission_minor=88,
                currency="USD",
                sale_minor=2199,
                sale_currency="USD",
                order_id="O-1",
                event_at_ms=1_787_184_000_000,
            ),
        )

    async def answer(self, request: web.Request) -> web.Response:
        self.check(is_good=_basic(request.headers.get("Authorization", "")) == (SID, self.key))
        if request.headers.get("Accept") != "application/json":
            return web.Response(text="<ImpactRadiusResponse/>", content_type="application/xml")
        query = dict(request.query)
        self.questions.append(query)
        form = "%Y-%m-%dT%H:%M:%SZ"
        start, end = self.ms(query["StartDate"], form), self.ms(query["EndDate"], form)
        found = self.between(start, end, updated=True)
        page, size = int(query["Page"]), min(int(query["PageSize"]), self.page_rows)
        pages = max(1, -(-len(found) // size))
        following = f"{self.api_path}?Page={page + 1}" if page < pages else ""
        return web.json_response(
            {
                "@page": str(page),
                "@numpages": str(pages),
                "@pagesize": str(size),
                "@total": str(len(found)),
                "@nextpageuri": following,
                "Actions": [self.row(one) for one in self.page(found, page, size)],
            }
        )

    def row(self, one: Transaction) -> dict[str, Any]:
        return {
            "Id": one.id,
            "CampaignId": "1000",
            "State": one.status.upper(),
            "Payout": one.commission,
            "Amount": one.sale,
            "Currency": one.currency,
            "EventDate": self.text(one.created_ms, "%Y-%m-%dT%H:%M:%S+00:00"),
            "LockingDate": "",
            "Oid": one.order_id,
            "SubId1": one.click_id,
            "SubId2": "",
        }

    def report(self, one: Transaction) -> Report:
        return Report(
            txn_id=one.id,
            click_id=one.click_id,
            status=one.status,
            status_word=one.status.upper(),
            commission_minor=minor(one.commission),
            currency=one.currency,
            sale_minor=minor(one.sale),
            sale_currency=one.currency,
            order_id=one.order_id,
            event_at_ms=one.created_ms,
        )
