"""From a click to money: networks report, members see it, operators can prove it."""

from __future__ import annotations

from typing import Any

import pytest

from gateway import receiving
from gateway.app import App
from tests.gateway import cash, people, reporting
from tests.gateway.conftest import Client, Db
from tests.gateway.reporting import Account


@pytest.fixture
async def asha(client: Client, app: App) -> cash.Person:
    return await cash.person(client, app)


@pytest.fixture
async def account(client: Client) -> Account:
    return await reporting.network(client)


async def purse(person: cash.Person) -> dict[str, int]:
    answer = await person.client.get("/v1/wallet")
    assert answer.status == 200, answer
    [one] = answer.body["balances"]
    return dict(one)


async def position(client: Client) -> Any:
    answer = await client.get("/v1/admin/solvency")
    assert answer.status == 200, answer
    assert answer.body["is_balanced"] is True
    [one] = answer.body["positions"]
    return one


async def test_a_click_becomes_money_step_by_step(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "txid": "t1", "payout": "200.00", "amount": "2000"}
    first = await reporting.report(account, **said, status="pending")
    assert first["verdict"] == "accepted"
    assert (await purse(asha))["pending_minor"] == 10_000
    again = await reporting.report(account, **said, status="pending")
    assert (again["verdict"], again["conversion"]) == ("duplicate", first["conversion"])
    assert (await reporting.report(account, **said, status="approved"))["verdict"] == "updated"
    now = await purse(asha)
    assert (now["pending_minor"], now["available_minor"]) == (0, 10_000)
    standing = await position(client)
    assert standing["receivable_minor"] == 20_000
    assert standing["owed_to_members_minor"] == standing["margin_minor"] == 10_000
    assert standing["is_covered"] is True
    assert (await reporting.report(account, **said, status="paid"))["verdict"] == "updated"
    assert (await position(client))["settled_minor"] == 20_000
    own = await asha.client.get(f"/v1/conversions/{first['conversion']}")
    assert (own.body["state"], own.body["cashback_minor"]) == ("settled", 10_000)
    assert own.body["commission_minor"] is None


async def test_what_was_paid_and_reversed_is_repaid_by_the_next_cashback(
    client: Client, app: App, db: Db, asha: cash.Person, account: Account
) -> None:
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "payout": "200.00"}
    await reporting.report(account, **said, txid="t1", status="approved")
    await cash.verified(client, asha)
    await cash.method(asha)
    asked = await cash.ask(asha, 10_000)
    assert asked.status == 201, asked
    boss, path = cash.operator(client), f"/v1/withdrawals/{asked.body['id']}"
    assert (await boss.post(f"{path}/approve", {})).status == 200
    assert (await boss.post(f"{path}/complete", {"utr": "UTR123456"})).status == 200
    await reporting.report(account, **said, txid="t1", status="reversed")
    assert (await purse(asha))["available_minor"] == -10_000
    standing = await position(client)
    assert standing["owed_by_members_minor"] == 10_000
    assert standing["is_covered"] is False
    await reporting.report(account, click_id=click, txid="t2", payout="120.00", status="approved")
    assert (await purse(asha))["available_minor"] == -4_000
    covered = await position(client)
    assert (covered["owed_by_members_minor"], covered["is_covered"]) == (4_000, True)
    refused = await cash.ask(asha, 10_000)
    assert (refused.status, refused.code) == (409, "balance_negative")
    traced = await client.get(f"/v1/trace/{click}")
    assert traced.status == 200
    assert [one["state"] for one in traced.body["conversions"]] == ["approved", "reversed"]
    assert [one["utr"] for one in traced.body["withdrawals"]] == ["UTR123456"]
    kinds = {one["type"] for one in traced.body["postings"]}
    assert {"conversion_approved", "conversion_reversed", "withdrawal_paid"} <= kinds
    transaction = traced.body["postings"][0]["transaction"]
    for name in (transaction, asked.body["id"], traced.body["conversions"][0]["id"]):
        assert (await client.get(f"/v1/trace/{name}")).status == 200


async def test_networks_are_answered_in_their_own_words(
    client: Client, db: Db, asha: cash.Person
) -> None:
    account = await reporting.network(client, config={"currency": "INR", "reply": "{txn_id}:OK"})
    for method in ("GET", "POST"):
        answer = await reporting.call(account, method, txid="t1", payout="5")
        assert (answer.status, answer.body) == (200, b"t1:OK")
        assert answer.headers["Content-Type"].startswith("text/plain")
    listed = await client.get(f"/v1/networks/{account.id}/postbacks")
    assert [one["method"] for one in listed.body["data"]] == ["POST", "GET"]


async def test_bad_credentials_are_refused_and_kept(client: Client, account: Account) -> None:
    wrong = account._replace(path=account.path[:-1] + ("a" if account.path[-1] != "a" else "b"))
    answer = await reporting.call(wrong, txid="t1")
    assert answer.status == 403
    nobody = account._replace(path=account.path.replace("net_0", "net_1"))
    assert (await reporting.call(nobody, txid="t1")).status == 404
    listed = await client.get(f"/v1/networks/{account.id}/postbacks")
    assert [one["verdict"] for one in listed.body["data"]] == ["bad_token"]


async def test_only_allowed_addresses_call(client: Client) -> None:
    account = await reporting.network(client, rules={"allowed_networks": ["192.0.2.0/24"]})
    assert (await reporting.call(account, txid="t1")).status == 403
    near = await reporting.network(client, rules={"allowed_networks": ["127.0.0.0/8"]})
    assert (await reporting.call(near, txid="t1")).status == 200
    listed = await client.get(f"/v1/networks/{account.id}/postbacks")
    assert [one["verdict"] for one in listed.body["data"]] == ["ip_denied"]


async def test_a_signature_that_is_not_right_is_refused(client: Client) -> None:
    account = await reporting.network(
        client,
        config={"currency": "INR", "signature": {"place": "query"}},
        credentials={"secret": "0123456789abcdef"},
    )
    assert (await reporting.call(account, txid="t1", sig="00")).status == 403
    listed = await client.get(f"/v1/networks/{account.id}/postbacks?verdict=bad_signature")
    assert len(listed.body["data"]) == 1


async def test_a_call_that_is_too_long_is_refused(client: Client, account: Account) -> None:
    body = b"x" * (512 * 1024 + 1)
    answer = await client.call("POST", account.path, body, Authorization=None)
    assert (answer.status, answer.code) == (413, "body_too_large")


async def test_a_forged_click_id_makes_no_conversion(
    client: Client, db: Db, account: Account
) -> None:
    click = await reporting.click(client, db, None)
    forged = click[:-1] + ("0" if click[-1] != "0" else "1")
    said = await reporting.report(account, click_id=forged, txid="t1", payout="5")
    assert (said["verdict"], said["conversion"]) == ("bad_mac", None)
    assert await db.fetchval("SELECT count(*) FROM conversion") == 0
    # Networks change the case of letters.
    upper = await reporting.report(account, click_id=click.upper(), txid="t2", payout="5")
    assert upper["verdict"] == "accepted"


async def test_an_unknown_word_makes_no_conversion_until_it_is_mapped(
    client: Client, account: Account
) -> None:
    said = await reporting.report(account, txid="t1", payout="5", status="mystery")
    assert said["verdict"] == "status_unknown"
    config = {"currency": "INR", "status_map": {"mystery": "approved"}}
    changed = await client.patch(f"/v1/networks/{account.id}", {"config": config})
    assert changed.status == 200
    path = f"/v1/postbacks/{said['id']}/replay"
    tried = await client.post(f"{path}?dry_run=1", {})
    assert tried.body["verdict"] == "accepted"
    assert (await client.get("/v1/conversions")).body["data"] == []
    assert (await client.post(path, {})).body["verdict"] == "accepted"
    assert (await client.post(path, {})).body["verdict"] == "duplicate"
    [made] = (await client.get("/v1/conversions")).body["data"]
    assert made["state"] == "approved"


async def test_nobodys_conversion_is_the_programs(client: Client, account: Account) -> None:
    said = await reporting.report(account, txid="t1", payout="5", status="approved")
    found = await client.get(f"/v1/attributions/{said['conversion']}")
    assert (found.body["how"], found.body["winner"]) == ("none", None)
    assert found.body["reasons"] == ["no click id of ours came with it"]
    assert (await position(client))["margin_minor"] == 500


async def test_an_attribution_says_why(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    click = await reporting.click(client, db, asha.id)
    said = await reporting.report(account, click_id=click, txid="t1", payout="5")
    found = (await client.get(f"/v1/attributions/{said['conversion']}")).body
    assert (found["how"], found["winner"]["click_id"]) == ("click", click)
    assert found["winner"]["member"] == asha.id


async def test_too_soon_after_the_click_is_held_for_review(
    client: Client, db: Db, asha: cash.Person
) -> None:
    account = await reporting.network(client, rules={"click_min_s": 3_600})
    click = await reporting.click(client, db, asha.id)
    said = await reporting.report(
        account, click_id=click, txid="t1", payout="5", currency="INR", status="approved"
    )
    assert said["verdict"] == "below_min_ctit"
    standing = await position(client)
    assert standing["liabilities_minor"]["review"] == 250
    assert standing["liabilities_minor"]["available"] == 0


async def test_a_missing_rate_parks_the_conversion(
    client: Client, app: App, db: Db, account: Account
) -> None:
    said = await reporting.report(
        account, txid="t1", payout="10", currency="USD", status="approved"
    )
    assert said["verdict"] == "currency_unknown"
    parked = await client.get(f"/v1/conversions/{said['conversion']}")
    assert (parked.body["parked"], parked.body["commission_minor"]) == ("currency_unknown", 0)
    rate = {"source": "USD", "target": "INR", "valid_from": "2026-01-01T00:00:00Z", "rate": "83.5"}
    assert (await client.put("/v1/exchange-rates", rate)).status == 200
    listed = await client.get("/v1/exchange-rates?source=USD")
    assert [one["rate"] for one in listed.body["data"]] == ["83.5"]
    again = await reporting.report(account, txid="t1", payout="11", currency="USD")
    assert again["verdict"] == "updated"
    booked = (await client.get(f"/v1/conversions/{said['conversion']}")).body
    assert (booked["parked"], booked["commission_minor"]) == ("unattributed", 91_850)


BAD_FILES = {
    b"source,target,valid_from\nUSD,INR,2026-01-01T00:00:00Z": ["1"],
    b"source,target,valid_from,rate\nUSD,INR,2026-01-01T00:00:00Z": ["2"],
    b"source,target,valid_from,rate\nUSD,INR,2026-01-01T00:00:00Z,0": ["2"],
    b"source,target,valid_from,rate\nUSD,INR,2026-01-01T00:00:00Z,1\nusd,INR,x,1": ["3"],
    b"source,target,valid_from,rate\n" + b"USD,INR,2026-01-01T00:00:00Z,1\n" * 2: ["3"],
    b"source,target,valid_from,rate\nUSD,INR,2026-01-01T00:00:00Z,\xff": ["2"],
    b"source,target,valid_from,rate\n": [],
}


@pytest.mark.parametrize("body", BAD_FILES)
async def test_a_bad_file_of_rates_is_refused_whole(client: Client, body: bytes) -> None:
    answer = await client.post("/v1/exchange-rates/import", body, Content_Type="text/csv")
    assert answer.status == 422, answer
    assert [one["line"] for one in answer.body.get("errors", [])] == BAD_FILES[body]
    assert (await client.get("/v1/exchange-rates")).body["data"] == []


async def test_a_file_of_rates_is_stored(client: Client) -> None:
    body = (
        b"source,target,valid_from,rate\r\nUSD,INR,2026-01-01T00:00:00Z,83.5\r\n"
        b"EUR,INR,2026-01-01T00:00:00+05:30,90\r\n"
    )
    answer = await client.post("/v1/exchange-rates/import", body, Content_Type="text/csv")
    assert (answer.status, answer.body) == (201, {"imported": 2})
    assert len((await client.get("/v1/exchange-rates")).body["data"]) == 2


async def test_a_simulation_changes_nothing(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    click = await reporting.click(client, db, asha.id)
    wanted = {
        "txn_id": "t1",
        "click_id": click,
        "status": "approved",
        "commission_minor": 500,
        "currency": "INR",
    }
    shown = await client.post(f"/v1/networks/{account.id}/simulate", wanted)
    assert shown.status == 200, shown
    assert shown.body["verdict"]["verdict"] == "accepted"
    assert click in shown.body["query"]
    assert await db.fetchval("SELECT count(*) FROM conversion") == 0
    assert await db.fetchval("SELECT count(*) FROM money_transaction") == 0


async def test_operators_reject_and_reopen(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    click = await reporting.click(client, db, asha.id)
    said = {"click_id": click, "txid": "t1", "payout": "5", "status": "approved"}
    made = await reporting.report(account, **said)
    path = f"/v1/conversions/{made['conversion']}"
    refused = await client.post(f"{path}/reject", {"reason": "not a customer"})
    assert (refused.status, refused.body["state"]) == (200, "reversed")
    assert (await purse(asha))["available_minor"] == 0
    assert (await client.post(f"{path}/reject", {"reason": "x"})).code == "conversion_not_open"
    assert (await reporting.report(account, **said))["verdict"] == "stale"
    opened = await client.post(f"{path}/reopen", {"reason": "it is one"})
    assert opened.body["state"] == "pending"
    assert (await reporting.report(account, **said))["verdict"] == "updated"
    assert (await purse(asha))["available_minor"] == 250
    await position(client)


async def test_tokens_are_rotated_with_an_overlap(
    client: Client, account: Account, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(receiving, "FRESH_S", -1.0)
    path = f"/v1/networks/{account.id}/rotate-token"
    turned = await client.post(path, {"overlap_hours": 1})
    token = turned.body["postback_token"]
    new = account._replace(path=f"/postback/{account.id}/{token}")
    assert (await reporting.call(new, txid="t1")).status == 200
    assert (await reporting.call(account, txid="t1")).status == 200
    again = await client.post(path, {"overlap_hours": 0})
    assert again.status == 200
    assert (await reporting.call(account, txid="t1")).status == 403
    assert (await reporting.call(new, txid="t1")).status == 403


async def test_secrets_are_not_shown(client: Client, db: Db) -> None:
    account = await reporting.network(client, credentials={"secret": "0123456789abcdef"})
    shown = await client.get(f"/v1/networks/{account.id}")
    assert shown.body["has_credentials"] is True
    assert "0123456789abcdef" not in str(shown.body)
    stored = await db.fetchval("SELECT credentials FROM network")
    assert b"0123456789abcdef" not in stored


@pytest.mark.parametrize(
    "body",
    [
        {"provider": "nobody", "name": "x"},
        {"provider": "generic", "name": "x", "config": {"color": "red"}},
        {"provider": "generic", "name": "x", "rules": {"allowed_networks": ["here"]}},
        {"provider": "generic", "name": "x", "credentials": {"secret": "short"}},
    ],
)
async def test_a_bad_account_is_refused(client: Client, db: Db, body: object) -> None:
    assert (await client.post("/v1/networks", body)).status == 422
    assert await db.fetchval("SELECT count(*) FROM network") == 0


async def test_members_see_their_own_conversions(
    client: Client, app: App, db: Db, asha: cash.Person, account: Account
) -> None:
    click = await reporting.click(client, db, asha.id)
    await reporting.report(account, click_id=click, txid="t1", payout="5")
    await reporting.report(account, txid="t2", payout="5")
    ravi = await cash.person(client, app)
    assert len((await asha.client.get("/v1/conversions")).body["data"]) == 1
    assert (await ravi.client.get("/v1/conversions")).body["data"] == []
    assert len((await client.get("/v1/conversions")).body["data"]) == 2


async def test_an_offer_says_what_the_member_gets_up_to_its_cap(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    shop = await client.post("/v1/merchants", {"name": "Tea Shop"})
    offer = {
        "merchant_id": shop.body["id"],
        "title": "Green tea",
        "kind": "cashback",
        "state": "active",
        "destination": "https://shop.example.com/?c={click_id}",
        "cashback": {"basis": "sale", "rate_bp": 1_000},
        "member_cap": {"period": "ever", "amount_minor": 15_000},
    }
    made = await client.post("/v1/offers", offer)
    assert made.status == 201, made
    click = reporting.mint(people.program(client), made.body["link_id"])
    await reporting.store(db, people.program(client), click, made.body["link_id"], asha.id)
    got, named = [], set()
    for number in range(3):
        said = await reporting.report(
            account, click_id=click, txid=f"t{number}", payout="200", amount="1000"
        )
        shown = await client.get(f"/v1/conversions/{said['conversion']}")
        got.append(shown.body["cashback_minor"])
        named.add(shown.body["offer"])
    assert got == [10_000, 5_000, 0]
    assert named == {made.body["id"]}
    assert (await purse(asha))["pending_minor"] == 15_000
    taken_back = await reporting.report(
        account, click_id=click, txid="t0", payout="200", status="rejected"
    )
    assert taken_back["verdict"] == "updated"
    # What was booked stays until the network says something new of it.
    assert (await purse(asha))["pending_minor"] == 5_000


async def test_nobody_gets_more_than_the_commission(
    client: Client, db: Db, asha: cash.Person, account: Account
) -> None:
    shop = await client.post("/v1/merchants", {"name": "Tea Shop"})
    offer = {
        "merchant_id": shop.body["id"],
        "title": "Green tea",
        "kind": "cashback",
        "state": "active",
        "destination": "https://shop.example.com/?c={click_id}",
        "cashback": {"basis": "fixed", "amount_minor": 5_000, "currency": "INR"},
    }
    link_id = (await client.post("/v1/offers", offer)).body["link_id"]
    click = reporting.mint(people.program(client), link_id)
    await reporting.store(db, people.program(client), click, link_id, asha.id)
    await reporting.report(account, click_id=click, txid="t1", payout="30")
    assert (await purse(asha))["pending_minor"] == 3_000
