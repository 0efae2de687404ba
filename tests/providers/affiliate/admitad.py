"""A local Admitad: tokens that end, actions by status or date, times of Moscow."""

from __future__ import annotations

import secrets
from typing import Any

from aiohttp import web

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import DAY_MS, Network, Sample, Transaction, minor
from tests.providers.server import Refusal, _basic

WORDS = {"pending": "pending", "approved": "approved", "rejected": "declined"}


class Admitad(Network):
    """`is_refreshing` is whether it takes refresh tokens."""

    slug = "admitad"
    api_path = "/statistics/actions/"
    utc_offset_min = 180

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.tokens: set[str] = set()
        self.refreshes: set[str] = set()
        self.is_refreshing = True
        self.grants: list[str] = []

    def routes(self) -> list[web.RouteDef]:
        return [*super().routes(), web.post("/token/", self.token)]

    def config(self) -> dict[str, Any]:
        return {"api_url": self.url, "campaign": "1e8d114494fa"}

    def credentials(self) -> dict[str, Any]:
        return {"client_id": "cb281d918a37e346", "client_secret": self.key}

    def link(self) -> tuple[str, str, str]:
        return "subid4", "ulp", "https://ad.admitad.com/g/1e8d114494fa/?"

    def sample(self) -> Sample:
        query = (
            "offer_id=6&offer_name=AdvCamp%201&admitad_id=281&website_id=22&subid4=c0ffee"
            "&action=order&action_id=11047&payment_sum=7.05&payment_status=approved&currency=USD"
            "&order_id=A-17&order_sum=141.00&time=1787184000&click_time=1787183000&type=sale"
            "&subid=%5B%5B%5Bsubid%5D%5D%5D"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="281",
                click_id="c0ffee",
                status="approved",
                status_word="approved",
                commission_minor=705,
                currency="USD",
                sale_minor=14_100,
                sale_currency="USD",
                order_id="A-17",
                event_at_ms=1_787_184_000_000,
            ),
        )

    async def token(self, request: web.Request) -> web.Response:
        form = {name: str(value) for name, value in (await request.post()).items()}
        given = self.credentials()
        client = given["client_id"], given["client_secret"]
        self.grants.append(form.get("grant_type", ""))
        match form.get("grant_type"):
            case "client_credentials":
                good = _basic(request.headers.get("Authorization", "")) == client
                good = good and form.get("client_id") == client[0]
                good = good and "statistics" in form.get("scope", "").split()
            case "refresh_token":
                assert "Authorization" not in request.headers
                good = (form.get("client_id"), form.get("client_secret")) == client
                good = good and self.is_refreshing and form["refresh_token"] in self.refreshes
            case _:
                good = False
        if not good:
            raise Refusal("invalid_client", 400)
        access, refresh = secrets.token_hex(15), secrets.token_hex(15)
        self.tokens.add(access)
        self.refreshes.add(refresh)
        return web.json_response(
            {
                "username": "webmaster1",
                "access_token": access,
                "token_type": "bearer",
                "expires_in": 604_800,
                "refresh_token": refresh,
                "scope": "statistics",
                "group": "webmaster",
            }
        )

    async def answer(self, request: web.Request) -> web.Response:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        self.check(is_good=kind == "Bearer" and token in self.tokens)
        query = dict(request.query)
        self.questions.append(query)
        limit, offset = int(query["limit"]), int(query["offset"])
        assert limit <= 500
        assert query["order_by"] == "datetime"
        found = self.found(query)
        shown = found[offset : offset + min(limit, self.page_rows)]
        meta = {"count": len(found), "limit": limit, "offset": offset}
        return web.json_response({"results": [self.row(one) for one in shown], "_meta": meta})

    def found(self, query: dict[str, str]) -> list[Transaction]:
        if "date_start" in query:
            form = "%d.%m.%Y"
            start, end = self.ms(query["date_start"], form), self.ms(query["date_end"], form)
            self.window_ms = 32 * DAY_MS
            return self.between(start, end + DAY_MS - 1)
        form = "%d.%m.%Y %H:%M:%S"
        start = self.ms(query["status_updated_start"], form)
        return self.between(start, self.ms(query["status_updated_end"], form), updated=True)

    def row(self, one: Transaction) -> dict[str, Any]:
        form = "%Y-%m-%d %H:%M:%S"
        return {
            "status": "approved" if one.status == "settled" else WORDS[one.status],
            "comment": None,
            "conversion_time": 135,
            "advcampaign_name": "AdvCamp 1",
            "advcampaign_id": 6,
            "cart": float(one.sale),
            "subid": None,
            "subid4": one.click_id,
            "currency": one.currency,
            "action_date": self.text(one.created_ms, form),
            "website_name": "site1",
            "payment": float(one.commission),
            "action_id": int(one.id),
            "processed": 0,
            "paid": 1 if one.status == "settled" else 0,
            "order_id": one.order_id,
            "status_updated": self.text(one.updated_ms, form),
            "positions": [{"tariff_id": 1, "payment": one.commission}],
        }

    def report(self, one: Transaction) -> Report:
        return Report(
            txn_id=one.id,
            click_id=one.click_id,
            status=one.status,
            status_word="approved" if one.status == "settled" else WORDS[one.status],
            commission_minor=minor(one.commission),
            currency=one.currency,
            sale_minor=minor(one.sale),
            sale_currency=one.currency,
            order_id=one.order_id,
            event_at_ms=one.created_ms,
            updated_at_ms=one.updated_ms,
        )
