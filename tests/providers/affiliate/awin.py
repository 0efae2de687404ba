"""A local Awin: all at once, by one of three dates, and a push with JSON in a form."""

from __future__ import annotations

from typing import Any
from urllib.parse import urlencode

import msgspec
from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import Network, Sample, Transaction, minor

WORDS = {
    "pending": "pending",
    "approved": "approved",
    "settled": "approved",
    "rejected": "declined",
    "reversed": "deleted",
}


class Awin(Network):
    slug = "awin"
    api_path = "/publishers/45628/transactions/"

    def config(self) -> dict[str, Any]:
        return {"api_url": self.url, "publisher_id": "45628", "campaign": "3661"}

    def credentials(self) -> dict[str, Any]:
        return {"token": self.key}

    def link(self) -> tuple[str, str, str]:
        start = "https://www.awin1.com/cread.php?awinmid=3661&awinaffid=45628&"
        return "clickref", "ued", start

    def sample(self) -> Sample:
        push = {
            "transactionId": "244231459",
            "transactionDate": "2026-08-20 00:00:00",
            "transactionCurrency": "GBP",
            "transactionAmount": "33.7",
            "commission": "0.67",
            "affiliateId": "45628",
            "merchantId": "3661",
            "groupId": "0",
            "clickRef": "c0ffee",
            "clickTime": "2026-08-19 07:15:24",
            "commissionGroups": [{"id": "1", "amount": "33.7", "commission": "0.67"}],
            "products": [],
        }
        body = urlencode({"AwinTransactionPush": msgspec.json.encode(push).decode()}).encode()
        headers = {"content-type": "application/x-www-form-urlencoded"}
        return Sample(
            Postback(method="POST", headers=headers, body=body),
            Report(
                txn_id="244231459",
                click_id="c0ffee",
                status="pending",
                commission_minor=67,
                currency="GBP",
                sale_minor=3370,
                sale_currency="GBP",
                event_at_ms=1_787_184_000_000,
            ),
        )

    async def answer(self, request: web.Request) -> web.Response:
        self.check(is_good=request.headers.get("Authorization") == f"Bearer {self.key}")
        query = dict(request.query)
        self.questions.append(query)
        assert query["timezone"] == "UTC"
        form = "%Y-%m-%dT%H:%M:%S"
        start, end = self.ms(query["startDate"], form), self.ms(query["endDate"], form)
        is_updated = {"transaction": False, "validation": True, "amendment": True}
        found = self.between(start, end, updated=is_updated[query["dateType"]])
        return web.json_response([self.row(one) for one in found])

    def row(self, one: Transaction) -> dict[str, Any]:
        form = "%Y-%m-%dT%H:%M:%S"
        is_decided = one.status != "pending"
        return {
            "id": int(one.id),
            "url": "https://shop.example",
            "advertiserId": 3661,
            "publisherId": 45628,
            "siteName": "Shop",
            "commissionStatus": WORDS[one.status],
            "commissionAmount": {"amount": float(one.commission), "currency": one.currency},
            "saleAmount": {"amount": float(one.sale), "currency": "EUR"},
            "clickRefs": {"clickRef": one.click_id, "clickRef2": None},
            "clickDate": self.text(one.created_ms - 3_600_000, form),
            "transactionDate": self.text(one.created_ms, form),
            "validationDate": self.text(one.updated_ms, form) if is_decided else None,
            "type": "Commission group transaction",
            "declineReason": None,
            "amended": False,
            "orderRef": one.order_id,
            "paidToPublisher": one.status == "settled",
            "transactionParts": [{"commissionGroupId": 12, "amount": 1}],
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
            sale_currency="EUR",
            order_id=one.order_id,
            event_at_ms=one.created_ms,
            updated_at_ms=one.updated_ms if one.status != "pending" else None,
        )
