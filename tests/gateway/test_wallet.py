"""Wallets over HTTP: a member's own, and any for operators."""

from __future__ import annotations

import pytest

from gateway.app import App
from tests.gateway import cash
from tests.gateway.conftest import Client


async def test_a_new_member_has_nothing_in_the_programs_currency(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    found = await asha.client.get("/v1/wallet")
    assert found.body == {
        "member": asha.id,
        "balances": [
            {
                "currency": "INR",
                "available_minor": 0,
                "held_minor": 0,
                "pending_minor": 0,
                "lifetime_minor": 0,
                "is_negative": False,
            }
        ],
    }


async def test_money_shows_where_it_is_and_what_was_ever_earned(client: Client, app: App) -> None:
    asha, ben = [await cash.payable(client, app, 50_000) for _ in range(2)]
    await cash.paid(client, ben, 20_000)
    await cash.credit(app, asha, 700, "EUR")
    await cash.requested(asha, 20_000)
    found = (await asha.client.get("/v1/wallet")).body
    assert [one["currency"] for one in found["balances"]] == ["INR", "EUR"]
    rupees = found["balances"][0]
    assert (rupees["available_minor"], rupees["held_minor"]) == (30_000, 20_000)
    assert rupees["lifetime_minor"] == 50_000
    for number in (1, 2):
        caller = cash.operator(client, number, "owner" if number == 1 else "staff")
        assert (await caller.get(f"/v1/members/{asha.id}/wallet")).body == found


async def test_a_wallet_that_did_not_change_is_not_sent_again(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    first = await asha.client.get("/v1/wallet")
    tag = first.headers["ETag"]
    assert (await asha.client.get("/v1/wallet", If_None_Match=tag)).status == 304
    await cash.credit(app, asha, 1)
    assert (await asha.client.get("/v1/wallet", If_None_Match=tag)).status == 200


async def test_the_statement_tells_each_change_and_the_balance_after_it(
    client: Client, app: App
) -> None:
    asha, _ = [await cash.payable(client, app, 50_000) for _ in range(2)]
    withdrawal_id = await cash.requested(asha, 20_000)
    first = (await asha.client.get("/v1/wallet/transactions?limit=1")).body
    line = first["data"][0]
    assert (line["type"], line["subject"]) == ("withdrawal_requested", withdrawal_id)
    assert (line["amount_minor"], line["balance_minor"]) == (-20_000, 30_000)
    rest = await asha.client.get(f"/v1/wallet/transactions?cursor={first['next_cursor']}")
    assert [one["balance_minor"] for one in rest.body["data"]] == [50_000]
    assert rest.body["next_cursor"] is None
    held = (await asha.client.get("/v1/wallet/transactions?account=held")).body["data"]
    assert [one["amount_minor"] for one in held] == [20_000]
    other = (await asha.client.get("/v1/wallet/transactions?currency=EUR")).body["data"]
    assert other == []


@pytest.mark.parametrize(
    "query", ["cursor=x", "cursor=mtx_1.0", "account=margin", "account=review", "currency=inr",
              "limit=0"]
)  # fmt: skip
async def test_a_statement_that_there_is_not_is_refused(
    client: Client, app: App, query: str
) -> None:
    asha = await cash.person(client, app)
    refused = await asha.client.get(f"/v1/wallet/transactions?{query}")
    assert (refused.status, refused.code) == (422, "invalid_request")


async def test_another_programs_wallet_is_nobodys(client: Client, other: Client, app: App) -> None:
    asha = await cash.person(client, app)
    for path in ("wallet", "wallet/transactions"):
        refused = await cash.operator(other).get(f"/v1/members/{asha.id}/{path}")
        assert (refused.status, refused.code) == (404, "member_not_found")


async def test_the_paths_of_the_designs(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    for path in ("/wallet", "/wallet/transactions"):
        assert (await asha.client.get(path)).body == (await asha.client.get(f"/v1{path}")).body
