"""Fraud rules and cases over HTTP: who sets them, who decides, and who is not told."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.app import App
from tests.gateway import cash, reporting
from tests.gateway.cash import RUPEES
from tests.gateway.conftest import Client, Db
from tests.gateway.reporting import Account

RULES = "/v1/admin/fraud/rules"
CASES = "/v1/admin/fraud/cases"
LARGE = {"kind": "amount", "of": "cashback", "above_minor": 9_999}
FIRST = {"kind": "first_withdrawal"}


@pytest.fixture
async def asha(client: Client, app: App) -> cash.Person:
    return await cash.person(client, app)


@pytest.fixture
async def account(client: Client) -> Account:
    return await reporting.network(client)


async def rule(client: Client, condition: Any = LARGE, **fields: Any) -> Any:
    body = {"name": "Large", "condition": condition, **fields}
    made = await client.post(RULES, body)
    assert made.status == 201, made
    return made.body


async def test_a_rule_is_read_replaced_and_deleted(client: Client, db: Db) -> None:
    made = await rule(client)
    assert (made["version"], made["action"], made["is_shadow"]) == (1, "hold", False)
    path = f"{RULES}/{made['id']}"
    assert (await client.get(path)).body == made
    assert (await client.get(RULES)).body == {"data": [made]}
    body = {"name": "Quick", "condition": {"kind": "click_to_conversion", "min_s": 15}}
    for _ in range(2):
        put = await client.put(path, {**body, "action": "flag"})
        assert (put.status, put.body["version"], put.body["name"]) == (200, 2, "Quick")
    assert await db.fetchval("SELECT count(*) FROM fraud_rule_version") == 2
    assert (await client.delete(path)).status == 204
    for gone in (await client.get(path), await client.put(path, body), await client.delete(path)):
        assert (gone.status, gone.code) == (404, "fraud_rule_not_found")


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"kind": "nonsense"},
        {"kind": "amount"},
        {"kind": "amount", "above_minor": -1},
        {"kind": "amount", "above_minor": 1, "most": 3},
        {"kind": "click_to_conversion"},
        {"kind": "click_to_conversion", "min_s": 9, "max_s": 8},
        {"kind": "click_class", "classes": []},
        {"kind": "click_class", "classes": ["angel"]},
        {"kind": "member_velocity", "most": 0, "window_s": 60},
        {"kind": "member_velocity", "most": 3, "window_s": 59},
        {"kind": "reversals", "percent": 101},
        {"kind": "referrer", "hosts": ["Not A Host"]},
        {"kind": "withdrawal_velocity", "window_s": 60},
        {"kind": "withdrawal_velocity", "window_s": 60, "most": 0},
        {"kind": "first_withdrawal", "younger_than_s": 59},
    ],
)
async def test_a_rule_that_makes_no_sense_is_refused(client: Client, condition: Any) -> None:
    refused = await client.post(RULES, {"name": "x", "condition": condition})
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert (await client.get(RULES)).body == {"data": []}


async def test_a_program_has_no_more_rules_than_can_be_read(client: Client) -> None:
    for _ in range(50):
        await rule(client)
    refused = await client.post(RULES, {"name": "x", "condition": LARGE})
    assert (refused.status, refused.code) == (409, "conflict")


async def test_a_case_is_decided_by_an_operator_and_the_member_is_not_told(
    client: Client, other: Client, db: Db, app: App, asha: cash.Person, account: Account
) -> None:
    made = await rule(client)
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "txid": "t1", "payout": "200.00", "status": "approved"}
    told = await reporting.report(account, **said)
    assert told["verdict"] == "held_for_review"
    await rule(client, {"kind": "amount", "above_minor": 5})
    own = (await asha.client.get(f"/v1/conversions/{told['conversion']}")).body
    assert (own["review"], own["cashback_minor"]) == (None, 10_000)
    [purse] = (await asha.client.get("/v1/wallet")).body["balances"]
    assert (purse["available_minor"], purse["pending_minor"]) == (0, 10_000)
    [case] = (await client.get(f"{CASES}?state=open&member_id={asha.id}")).body["data"]
    assert (case["conversion"], case["review"]) == (told["conversion"], "held")
    [hit] = case["hits"]
    assert (hit["rule"], hit["condition"], hit["name"]) == (made["id"], LARGE, "Large")
    assert (await client.get(f"{RULES}/{made['id']}")).body["hits"] == 1
    path = f"{CASES}/{case['id']}"
    staff, boss = cash.operator(client, role="staff"), cash.operator(client)
    assert (await staff.get(path)).body == case
    assert (await staff.post(f"{path}/release", {"reason": "x"})).status == 403
    assert (await asha.client.get(path)).status == 403
    assert (await other.get(CASES)).body["data"] == []
    assert (await boss.post(f"{path}/release", {})).status == 422
    done = await boss.post(f"{path}/release", {"reason": "asked the shop"})
    assert (done.status, done.body["state"], done.body["review"]) == (200, "released", "released")
    assert (await cash.balance(asha))[0] == 10_000
    lines = (await asha.client.get("/v1/wallet/transactions")).body["data"]
    assert [line["reason"] for line in lines] == [None]
    again = await boss.post(f"{path}/reject", {"reason": "x"})
    assert (again.status, again.code) == (409, "fraud_case_not_open")
    entry = await db.fetchrow("SELECT * FROM audit_entry WHERE action = 'fraud_case.release'")
    assert entry is not None
    assert (entry["object_id"], entry["actor"]) == (case["id"], done.body["decided_by"])
    assert "asked the shop" in entry["after"]
    assert await cash.is_sound(app)


async def test_a_held_withdrawal_takes_a_person_and_its_member_is_not_told(
    client: Client, app: App
) -> None:
    made = await rule(client, FIRST)
    asha = await cash.payable(client, app, 500 * RUPEES)
    own = (await cash.ask(asha, 100 * RUPEES)).body
    assert (own["is_held"], own["reasons"]) == (False, [])
    for query in ("", "?is_held=true", "?is_held=false"):
        [seen] = (await asha.client.get(f"/v1/withdrawals{query}")).body["data"]
        assert seen == own
    boss = cash.operator(client)
    [held] = (await boss.get("/v1/withdrawals?is_held=true")).body["data"]
    assert (await boss.get("/v1/withdrawals?is_held=false")).body["data"] == []
    assert held["is_held"]
    assert held["reasons"][0].startswith("it is the first of a member who joined ")
    assert (await client.get(f"{RULES}/{made['id']}")).body["hits"] == 1
    path = f"/v1/withdrawals/{own['id']}/approve"
    refused = await client.post(path, {})
    assert (refused.status, refused.code) == (403, "forbidden")
    assert (await boss.post(path, {})).body["state"] == "approved"


async def test_a_withdrawal_that_a_rule_rejects_is_given_back(client: Client, app: App) -> None:
    await rule(
        client, {"kind": "withdrawal_velocity", "window_s": 60, "above_minor": 1}, action="reject"
    )
    asha = await cash.payable(client, app, 500 * RUPEES)
    own = (await cash.ask(asha, 100 * RUPEES)).body
    assert (own["state"], own["reason"]) == ("rejected", None)
    assert own["decided_by"] is None
    assert await cash.balance(asha) == (500 * RUPEES, 0)
    assert await cash.is_sound(app)


async def test_what_is_revalued_is_looked_at_as_if_it_were_reported(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    await rule(client)
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "txid": "t1", "payout": "300", "currency": "USD"}
    told = await reporting.report(account, **said, status="approved")
    assert told["verdict"] == "currency_unknown"
    rate = {"source": "USD", "target": "INR", "valid_from": "2026-01-01T00:00:00Z", "rate": "80"}
    assert (await client.put("/v1/exchange-rates", rate)).status == 200
    path = f"/v1/conversions/{told['conversion']}/revalue"
    names = set()
    for _ in range(2):
        done = await client.post(path, {"reason": "the rate is there"})
        assert (done.status, done.body["parked"], done.body["review"]) == (200, None, "held")
        [case] = (await client.get(f"{CASES}?state=open")).body["data"]
        assert case["cashback_minor"] == 1_200_000
        names.add(case["id"])
        assert (await cash.balance(asha))[0] == 0
    [name] = names
    boss = cash.operator(client)
    assert (await boss.post(f"{CASES}/{name}/release", {"reason": "fine"})).status == 200
    assert (await client.post(path, {"reason": "again"})).body["review"] == "released"
    assert (await cash.balance(asha))[0] == 1_200_000


async def test_cases_are_listed_page_by_page(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    await rule(client, {"kind": "amount", "above_minor": 0}, action="flag")
    click = await reporting.click(client, db, asha.id)
    for number in range(3):
        await reporting.report(account, click_id=click, txid=f"t{number}", payout="5")
    first = (await client.get(f"{CASES}?limit=2")).body
    rest = (await client.get(f"{CASES}?limit=2&cursor={first['next_cursor']}")).body
    found = [case["id"] for case in first["data"] + rest["data"]]
    assert len(set(found)) == 3
    assert found == sorted(found, reverse=True)
    assert (await client.get(f"{CASES}?state=released")).body["data"] == []


async def test_looking_again_is_asked_for_over_http(client: Client, other: Client, db: Db) -> None:
    stored, shadow = await rule(client), await rule(client, is_shadow=True)
    once = await rule(client, FIRST)
    span = {"from": "2026-01-01T00:00:00Z", "to": "2100-01-01T00:00:00Z"}
    unstored = {"condition": LARGE, "action": "reject"}
    path = "/v1/admin/reclassifications"
    for said in (
        {"rule": shadow["id"], "dry_run": False},
        {"rule": unstored, "dry_run": False},
        {"rule": {"condition": {"kind": "click_to_conversion"}}},
        {"rule": once["id"]},
        {"rule": {"condition": FIRST}},
        {"rule": stored["id"], "to": span["from"]},
        {"rule": stored["id"], "from": "2099-01-01T00:00:00Z"},
        {"rule": 5},
    ):
        refused = await client.post(path, {**span, **said})
        assert (refused.status, refused.code) == (422, "invalid_request")
    missing = await client.post(path, {"rule": "frl_x", **span})
    assert (missing.status, missing.code) == (404, "fraud_rule_not_found")
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'reclassify'") == 0
    made = missing
    for said in (
        {"rule": stored["id"], "dry_run": False},
        {"rule": shadow["id"]},
        {"rule": unstored},
    ):
        made = await client.post(path, {**span, **said})
        assert (made.status, made.body["state"], made.body["difference"]) == (202, "queued", [])
        assert made.body["to"] < span["to"]
        assert (await client.get(f"{path}/{made.body['id']}")).body == made.body
    assert made.body["rule"] is None
    assert (made.body["condition"], made.body["dry_run"]) == (LARGE, True)
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'reclassify'") == 3
    found = (await client.get(path)).body["data"]
    assert [one["dry_run"] for one in found] == [True, True, False]
    assert (await other.get(path)).body["data"] == []
