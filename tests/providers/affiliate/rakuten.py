"""A local Rakuten: short-lived tokens, events by process or transaction date."""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import DAY_MS, Network, Sample, Transaction, minor
from tests.providers.server import Refusal, _basic

WORDS = {"pending": "Y", "approved": "N", "reversed": "N"}
SPELLED = "%a %b %d %Y %H:%M:%S GMT+0000 (UTC)"


class Rakuten(Network):
    slug = "rakuten"
    api_path = "/events/1.0/transactions"
    window_ms = 30 * DAY_MS

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.tokens: set[str] = set()

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.post("/token", self.token)]

    def config(self) -> dict[str, Any]:
        return {"api_url": self.url, "site_id": "3267", "link_id": "aB3dEf", "campaign": "2880"}

    def credentials(self) -> dict[str, Any]:
        return {"client_id": "publisher-app", "client_secret": self.key}

    def link(self) -> tuple[str, str, str]:
        return "u1", "murl", "https://click.linksynergy.com/deeplink?id=aB3dEf&mid=2880&"

    def sample(self) -> Sample:
        query = (
            "etransaction_id=e1&order_id=R-1&sku_number=SKU7&u1=c0ffee&sale_amount=80&currency=USD"
            "&commissions=4&is_event=N&transaction_date=Thu+Aug+20+2026+00:00:00+GMT%2B0000+(UTC)"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="e1",
                event="SKU7",
                click_id="c0ffee",
                status="approved",
                status_word="N",
                commission_minor=400,
                currency="USD",
                sale_minor=8000,
                sale_currency="USD",
                order_id="R-1",
                event_at_ms=1_787_184_000_000,
            ),
        )

    async def token(self, request: web.Request) -> web.Response:
        form = dict(await request.post())
        given = self.credentials()
        client = given["client_id"], given["client_secret"]
        if _basic(request.headers.get("Authorization", "")) != client:
            raise Refusal("invalid_client", 401)
        assert form == {"grant_type": "client_credentials", "scope": "3267"}
        token = secrets.token_hex(16)
        self.tokens.add(token)
        return web.json_response(
            {"access_token": token, "token_type": "bearer", "expires_in": 3600}
        )

    async def answer(self, request: web.Request) -> web.Response:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        self.check(is_good=kind == "Bearer" and token in self.tokens)
        assert request.headers["Accept"] == "text/json"
        query = dict(request.query)
        self.questions.append(query)
        date = "process_date" if "process_date_start" in query else "transaction_date"
        form = "%Y-%m-%d %H:%M:%S"
        start, end = self.ms(query[f"{date}_start"], form), self.ms(query[f"{date}_end"], form)
        found = self.between(start, end, updated=date == "process_date")
        shown = self.page(found, int(query["page"]), int(query["limit"]))
        return web.json_response([self.row(one) for one in shown])

    def row(self, one: Transaction) -> dict[str, Any]:
        return {
            "etransaction_id": f"e-{one.id}",
            "advertiser_id": 2880,
            "sid": 3267,
            "order_id": one.order_id,
            "offer_id": 1,
            "sku_number": "SKU1",
            "sale_amount": float(one.sale),
            "quantity": 1,
            "commissions": float(one.commission),
            "process_date": self.text(one.updated_ms, SPELLED),
            "transaction_date": self.text(one.created_ms, SPELLED),
            "transaction_type": "realtime",
            "product_name": "Shoe",
            "u1": one.click_id,
            "currency": one.currency,
            "is_event": WORDS[one.status],
        }

    def report(self, one: Transaction) -> Report:
        return Report(
            txn_id=f"2880:{one.order_id}",
            event="SKU1",
            correction_id=f"e-{one.id}" if one.commission.startswith("-") else "",
            click_id=one.click_id,
            status=one.status,
            status_word=WORDS[one.status],
            commission_minor=minor(one.commission),
            currency=one.currency,
            sale_minor=minor(one.sale),
            sale_currency=one.currency,
            order_id=one.order_id,
            event_at_ms=one.created_ms,
            updated_at_ms=one.updated_ms,
        )
