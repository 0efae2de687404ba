"""What the bench says that networks have, and what it reckons that members must have of it."""

from __future__ import annotations

from typing import Any

from core.providers.affiliate import table
from core.providers.affiliate.protocol import CanPull, Window
from loadtests import shop, syncing
from loadtests.shop import Sale
from web.outbound import Outbound

AT_MS = 1_787_184_000_000
COUNT = 2_500


def sale(number: int = 0, **fields: Any) -> Sale:
    one = Sale(f"t-{number}", f"click-{number}", "mem_1", 3, "approved", 101, 5_000, "EUR", AT_MS)
    return one._replace(**fields)


async def test_the_benchs_network_speaks_as_ours_expects() -> None:
    sold = [sale(number, at_ms=AT_MS + number * 60_000) for number in range(COUNT)]
    with syncing.listening(sold) as url:
        config = syncing.account(url)
        network = table.make(syncing.PROVIDER, config, {"api_key": syncing.KEY})
        assert isinstance(network, CanPull)
        outbound = Outbound(allow="127.0.0.1")
        window = Window(AT_MS, AT_MS + COUNT * 60_000)
        pages = [page async for page in network.pull(outbound.send, window)]
        await outbound.close()
    assert [len(page.reports) for page in pages] == [1_000, 1_000, 500]
    reports = [report for page in pages for report in page.reports]
    assert {one.txn_id: one.click_id for one in reports} == {
        one.txn_id: one.click_id for one in sold
    }
    first = reports[0]
    assert (first.commission_minor, first.sale_minor, first.currency) == (101, 5_000, "EUR")
    assert (first.status, first.event_at_ms) == ("approved", AT_MS)


def test_members_must_have_what_offers_say() -> None:
    sold = [
        sale(offer=0),  # 60 % of 101
        sale(offer=1),  # 2 % of 5,000, which is less than 101
        sale(offer=1, commission_minor=99),
        *[sale(offer=2)] * 4,  # 50 three times
        sale(offer=3),  # half of 101
        sale(offer=3, currency="USD"),  # half of 92
        sale(offer=0, status="rejected"),
        sale(offer=2, member_id="mem_2"),
    ]
    assert shop.owed(sold) == {"mem_1": 60 + 100 + 99 + 150 + 50 + 46, "mem_2": 50}
