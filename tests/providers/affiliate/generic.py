"""A tracker that only sends postbacks."""

from __future__ import annotations

from typing import Any

from core.providers.affiliate.report import Postback, Report
from tests.providers.affiliate.server import Network, Sample


class Generic(Network):
    slug = "generic"
    api_path = "/nothing"

    def config(self) -> dict[str, Any]:
        return {"link": "https://go.example/c?o={campaign}&s={click_id}&to={destination}"}

    def credentials(self) -> dict[str, Any]:
        return {"secret": self.key}

    def link(self) -> tuple[str, str, str]:
        return "s", "to", "https://go.example/c?o=&"

    def sample(self) -> Sample:
        query = (
            "clickid=c0ffee&txid=T1&payout=1.5&currency=USD&status=Confirmed&goal=signup"
            "&order_sum=30&oid=O1&time=1787184000123&token=not-kept"
        )
        return Sample(
            Postback(query=query),
            Report(
                txn_id="T1",
                event="signup",
                click_id="c0ffee",
                status="approved",
                status_word="Confirmed",
                commission_minor=150,
                currency="USD",
                sale_minor=3000,
                sale_currency="USD",
                order_id="O1",
                event_at_ms=1_787_184_000_123,
            ),
        )
