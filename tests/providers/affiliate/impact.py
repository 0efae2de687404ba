"""A local Impact: basic authentication, XML without `Accept`, actions by their last update, and
inquiries about actions, by whose own ids they are found again.
"""

from __future__ import annotations

from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import DAY_MS, Network, Sample, Transaction, minor
from tests.providers.server import Refusal, _basic

SID = "IRA4K3"
INQUIRIES = f"/Mediapartners/{SID}/ActionInquiries"
NEEDED = {"CampaignId", "OrderId", "TransactionDate", "TransactionAmount", "InquiryType"}
FIRST = 15_652_378


class Impact(Network):
    slug = "impact"
    api_path = f"/Mediapartners/{SID}/Actions"
    window_ms = 45 * DAY_MS

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.inquiries: list[dict[str, str]] = []
        #: Whether the next answer to a new inquiry is lost on its way.
        self.is_forgetful = False
        self.made_body = b""

    def routes(self) -> list[web.RouteDef]:
        inquiries = [web.get(INQUIRIES, self.listed), web.post(INQUIRIES, self.made)]
        return [*super().routes(), *inquiries]

    async def listed(self, request: web.Request) -> web.Response:
        self.check(is_good=_basic(request.headers.get("Authorization", "")) == (SID, self.key))
        wanted = request.query["MediaPartnerInquiryId"]
        found = [
            {"Id": str(FIRST + place), "ResolutionStatus": "UNRESOLVED", **one}
            for place, one in enumerate(self.inquiries)
            if one.get("MediaPartnerInquiryId") == wanted
        ]
        return web.json_response({"ActionInquiries": found})

    async def made(self, request: web.Request) -> web.Response:
        self.check(is_good=_basic(request.headers.get("Authorization", "")) == (SID, self.key))
        form = {name: str(value) for name, value in (await request.post()).items()}
        is_form = request.content_type == "application/x-www-form-urlencoded"
        if not (is_form and set(form) >= NEEDED and form["CampaignId"].isdigit()):
            raise Refusal("bad request", 400)
        if form["InquiryType"] not in {"UNTRACKED", "INCORRECT", "DECLINED"}:
            raise Refusal("bad request", 400)
        self.inquiries.append(form)
        if self.is_forgetful:
            self.is_forgetful = False
            return web.Response(status=504)
        uri = f"{INQUIRIES}/{FIRST + len(self.inquiries) - 1}"
        if self.made_body:
            return web.Response(body=self.made_body, content_type="application/json")
        return web.json_response({"Status": "OK", "Uri": uri})

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
