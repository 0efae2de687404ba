"""A local CJ: GraphQL with a personal access token, pages after a commission's id, corrections."""

from __future__ import annotations

import re
from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import Network, Sample, Transaction, minor
from tests.providers.server import Refusal

WORDS = {"pending": "new", "approved": "locked", "settled": "closed", "reversed": "closed"}
FORM = "%Y-%m-%dT%H:%M:%SZ"


class Cj(Network):
    slug = "cj"
    api_path = "/query"

    def routes(self) -> list[web.RouteDef]:
        return [web.post(self.api_path, self.answer)]

    def config(self) -> dict[str, Any]:
        return {
            "api_url": self.url,
            "publisher_id": "5551",
            "website_id": "9001",
            "campaign": "10594",
        }

    def credentials(self) -> dict[str, Any]:
        return {"token": self.key}

    def link(self) -> tuple[str, str, str]:
        return "sid", "url", "https://www.dpbolvw.net/click-9001-10594?"

    def sample(self) -> Sample:
        query = (
            "commissionId=31&originalActionId=30&shopperId=c0ffee&orderId=O-9&actionStatus=locked"
            "&pubCommissionAmountUsd=1.20&saleAmountUsd=24.00&eventDate=2026-08-20T00:00:00Z"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="30",
                click_id="c0ffee",
                status="approved",
                status_word="locked",
                commission_minor=120,
                currency="USD",
                sale_minor=2400,
                sale_currency="USD",
                order_id="O-9",
                event_at_ms=1_787_184_000_000,
            ),
        )

    def refuse(self, refusal: Refusal) -> web.Response:
        if refusal.status == 401:
            return super().refuse(refusal)
        return web.json_response({"data": None, "errors": [{"message": refusal.error}]})

    async def answer(self, request: web.Request) -> web.Response:
        self.check(is_good=request.headers.get("Authorization") == f"Bearer {self.key}")
        question = await request.json()
        query, variables = question["query"], question["variables"]
        self.questions.append(variables)
        assert variables["publishers"] == ["5551"]
        dates = set(re.findall(r"(?:since|before)(\w+)Date: \$", query))
        assert len(dates) == 1
        start, end = self.ms(variables["since"], FORM), self.ms(variables["before"], FORM)
        found = self.between(start, end, updated=dates == {"Locking"})
        # The end is not included.
        found = [one for one in found if self.when(one, dates) < end]
        found.sort(key=lambda one: int(one.id))
        after = int(variables["after"] or 0)
        rest = [one for one in found if int(one.id) > after]
        shown = rest[: self.page_rows]
        commissions = {
            "count": len(shown),
            "maxCommissionId": shown[-1].id if shown else None,
            "payloadComplete": len(shown) == len(rest),
            "records": [self.row(one) for one in shown],
        }
        return web.json_response({"data": {"publisherCommissions": commissions}})

    @staticmethod
    def when(one: Transaction, dates: set[str]) -> int:
        return one.updated_ms if dates == {"Locking"} else one.created_ms

    def row(self, one: Transaction) -> dict[str, Any]:
        return {
            "commissionId": one.id,
            "originalActionId": one.corrects or f"a{one.id}",
            "original": not one.corrects,
            "correctionReason": "RETURNED_MERCHANDISE" if one.corrects else None,
            "actionStatus": WORDS[one.status],
            "validationStatus": "ACCEPTED",
            "advertiserId": "77",
            "advertiserName": "Shop",
            "websiteId": "9001",
            "orderId": one.order_id,
            "shopperId": one.click_id,
            "eventDate": self.text(one.created_ms, FORM),
            "postingDate": self.text(one.created_ms, FORM),
            "lockingDate": self.text(one.updated_ms, FORM),
            "saleAmountUsd": one.sale,
            "pubCommissionAmountUsd": one.commission,
        }

    def report(self, one: Transaction) -> Report:
        return Report(
            txn_id=one.corrects or f"a{one.id}",
            correction_id=one.id if one.corrects else "",
            click_id=one.click_id,
            status=one.status,
            status_word=WORDS[one.status],
            commission_minor=minor(one.commission),
            currency="USD",
            sale_minor=minor(one.sale),
            sale_currency="USD",
            order_id=one.order_id,
            event_at_ms=one.created_ms,
            updated_at_ms=one.created_ms,
        )
