"""What a member was promised stays: offers, networks and rates change, and the booking does not."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.app import App
from tests.gateway import cash, people, reporting
from tests.gateway.conftest import Client, Db
from tests.gateway.reporting import Account

OFFER = {
    "title": "Green tea",
    "kind": "cashback",
    "state": "active",
    "destination": "https://shop.example.com/?c={click_id}",
    "cashback": {"basis": "commission", "rate_bp": 5_000},
}


@pytest.fixture
async def asha(client: Client, app: App) -> cash.Person:
    return await cash.person(client, app)


@pytest.fixture
async def account(client: Client) -> Account:
    return await reporting.network(client)


async def clicked(
    client: Client, db: Db, member_id: str, *, age_s: int = 60, **fields: Any
) -> tuple[str, str]:
    """An offer, and a member's click on it."""
    shop = await client.post("/v1/merchants", {"name": "Tea Shop"})
    made = await client.post("/v1/offers", {**OFFER, "merchant_id": shop.body["id"], **fields})
    assert made.status == 201, made
    link_id, program_id = str(made.body["link_id"]), people.program(client)
    click = reporting.mint(program_id, link_id, age_s)
    await reporting.store(db, program_id, click, link_id, member_id)
    return str(made.body["id"]), click


async def rate(client: Client, text: str) -> None:
    body = {"source": "USD", "target": "INR", "valid_from": "2026-01-01T00:00:00Z", "rate": text}
    assert (await client.put("/v1/exchange-rates", body)).status == 200


async def booked(client: Client, said: Any) -> tuple[int, int]:
    """Commission and cashback, of which the ledger has as much."""
    one = (await client.get(f"/v1/conversions/{said['conversion']}")).body
    found = (await client.get("/v1/admin/solvency")).body
    assert found["is_balanced"] is True
    owed = sum(each["owed_to_members_minor"] for each in found["positions"])
    assert owed == one["cashback_minor"]
    return one["commission_minor"], one["cashback_minor"]


async def test_a_changed_offer_changes_nothing_until_an_operator_wants_it(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    offer_id, click = await clicked(client, db, asha.id)
    said = {"click_id": click, "txid": "t1"}
    first = await reporting.report(account, **said, payout="200", status="pending")
    assert await booked(client, first) == (20_000, 10_000)
    lower = {"cashback": {"basis": "commission", "rate_bp": 1_000}}
    assert (await client.patch(f"/v1/offers/{offer_id}", lower)).status == 200
    await reporting.report(account, **said, payout="200", status="approved")
    assert await booked(client, first) == (20_000, 10_000)
    await reporting.report(account, **said, payout="300", status="approved")
    assert await booked(client, first) == (30_000, 15_000)
    replayed = await client.post(f"/v1/postbacks/{first['id']}/replay", {})
    assert replayed.status == 200
    path = f"/v1/conversions/{first['conversion']}"
    before = (await client.get(path)).body
    assert before["terms"] == {"cashback": {"basis": "commission", "rate_bp": 5_000}}
    own = (await asha.client.get(path)).body
    assert (own["terms"], own["commission_minor"]) == (None, None)
    refused = await client.post(f"{path}/revalue", {})
    assert refused.status == 422
    done = await client.post(f"{path}/revalue", {"reason": "the offer was wrong"})
    assert done.status == 200, done
    assert await booked(client, first) == (before["commission_minor"], 2_000)
    entry = await db.fetchrow("SELECT action FROM audit_entry ORDER BY at DESC, id DESC LIMIT 1")
    assert entry is not None
    assert entry["action"] == "conversion.revalue"


async def test_a_changed_share_and_a_changed_rate_change_nothing_either(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    await rate(client, "80")
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "txid": "t1", "payout": "10", "currency": "USD"}
    first = await reporting.report(account, **said, status="pending")
    assert await booked(client, first) == (80_000, 40_000)
    await rate(client, "100")
    changed = await client.patch(f"/v1/networks/{account.id}", {"rules": {"cashback_bp": 1_000}})
    assert changed.status == 200
    await reporting.report(account, **said, status="approved")
    assert await booked(client, first) == (80_000, 40_000)
    await reporting.report(account, **{**said, "payout": "5"}, status="approved")
    assert await booked(client, first) == (40_000, 20_000)
    path = f"/v1/conversions/{first['conversion']}/revalue"
    assert (await client.post(path, {"reason": "new terms"})).status == 200
    assert await booked(client, first) == (50_000, 5_000)
    await reporting.report(account, **{**said, "payout": "5"}, status="reversed")
    refused = await client.post(path, {"reason": "again"})
    assert (refused.status, refused.code) == (409, "conversion_not_open")


async def test_a_share_of_a_sale_waits_for_the_rate_of_the_sale(
    client: Client, db: Db, asha: cash.Person
) -> None:
    account = await reporting.network(
        client, config={"currency": "INR", "field_map": {"sale_currency": "sale_in"}}
    )
    _, click = await clicked(client, db, asha.id, cashback={"basis": "sale", "rate_bp": 1_000})
    said = {"click_id": click, "txid": "t1", "payout": "1000", "amount": "50", "sale_in": "USD"}
    first = await reporting.report(account, **said)
    assert first["verdict"] == "currency_unknown"
    await rate(client, "80")
    assert await db.fetchval("SELECT next_try_at <= now() FROM conversion")
    await reporting.report(account, **said, status="approved")
    assert await booked(client, first) == (100_000, 40_000)


async def test_what_no_ledger_can_hold_is_not_booked(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    await rate(client, "999999999")
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "txid": "t1", "payout": "9999999999", "currency": "USD"}
    first = await reporting.report(account, **said)
    assert first["verdict"] == "amount_implausible"
    found = (await client.get(f"/v1/conversions/{first['conversion']}")).body
    assert (found["parked"], found["commission_minor"]) == ("amount_implausible", 0)
    await rate(client, "80")
    assert await db.fetchval("SELECT next_try_at <= now() FROM conversion")


@pytest.mark.parametrize(
    ("fields", "age_s", "verdict"),
    [
        ({"attribution_window_days": 1}, 2 * 86_400, "above_window"),
        ({"click_to_conversion_max_s": 30}, 60, "above_window"),
        ({"click_to_conversion_min_s": 3_600}, 60, "below_min_ctit"),
        ({"click_to_conversion_min_s": 30, "click_to_conversion_max_s": 90}, 60, "accepted"),
    ],
)
async def test_an_offer_says_how_long_after_its_click_a_purchase_counts(
    client: Client, db: Db, asha: cash.Person, account: Account,
    fields: dict[str, int], age_s: int, verdict: str,
) -> None:  # fmt: skip
    _, click = await clicked(client, db, asha.id, age_s=age_s, **fields)
    said = await reporting.report(
        account, click_id=click, txid="t1", payout="200", status="approved"
    )
    assert said["verdict"] == verdict
    position = (await client.get("/v1/admin/solvency")).body["positions"][0]
    owed = {name: minor for name, minor in position["liabilities_minor"].items() if minor}
    expected = {"accepted": {"available": 10_000}, "below_min_ctit": {"review": 10_000}}
    assert owed == expected.get(verdict, {})
    shown = (await asha.client.get("/v1/conversions")).body["data"]
    assert [one["review"] for one in shown] == ([] if verdict == "above_window" else [None])


@pytest.mark.parametrize(
    ("hit_class", "verdict", "owed"),
    [(1, "held_for_review", 100), (2, "held_for_review", 100), (6, "test", 0)],
    ids=["suspect", "bot", "test"],
)
async def test_only_clicks_of_humans_pay_without_a_look(
    client: Client, db: Db, asha: cash.Person, account: Account,
    hit_class: int, verdict: str, owed: int,
) -> None:  # fmt: skip
    click = await reporting.click(client, db, asha.id)
    await db.execute("UPDATE click SET class = $1", hit_class)
    said = await reporting.report(account, click_id=click, txid="t1", payout="2", status="approved")
    assert said["verdict"] == verdict
    position = (await client.get("/v1/admin/solvency")).body["positions"][0]
    assert position["liabilities_minor"]["review"] == owed
    assert position["liabilities_minor"]["available"] == 0


async def test_amounts_of_two_currencies_are_not_added_up(
    client: Client, db: Db, asha: cash.Person
) -> None:
    account = await reporting.network(client, rules={"dedupe": "increment"})
    await rate(client, "80")
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "txid": "t1", "status": "approved"}
    first = await reporting.report(account, **said, payout="10", currency="USD")
    other = await reporting.report(account, **said, payout="10", currency="INR")
    assert (first["verdict"], other["verdict"]) == ("accepted", "amount_implausible")
    assert await booked(client, first) == (80_000, 40_000)
