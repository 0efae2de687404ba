"""Claims of members: filed with what our own records say, decided by operators or by the rules."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from gateway.app import App
from tests.gateway import cash, claiming, postbox, reporting
from tests.gateway.cash import RUPEES, Person
from tests.gateway.claiming import ADMIN, CLICKED_S, PATH, Shop, file, filed, seen
from tests.gateway.conftest import Client, Db
from tests.gateway.test_withdrawals import told


@pytest.fixture
async def asha(client: Client, app: App) -> Person:
    return await cash.person(client, app)


@pytest.fixture
async def shop(client: Client, db: Db) -> Shop:
    return await claiming.shop(client, db)


async def eligible(client: Client, **body: object) -> list[str]:
    answer = await client.post(f"{PATH}/eligible", body)
    assert answer.status == 200, answer
    return [one["click_id"] for one in answer.body["data"]]


async def test_a_member_sees_what_can_be_claimed(
    client: Client, app: App, db: Db, shop: Shop, asha: Person
) -> None:
    old = await claiming.click(shop, asha.id, age_s=46 * 86_400)
    first = await claiming.click(shop, asha.id)
    second = await claiming.click(shop, asha.id, age_s=60)
    bot, reported, taken = [await claiming.click(shop, asha.id) for _ in range(3)]
    await db.execute("UPDATE click SET class = 2 WHERE click_id = $1", bot)
    await reporting.report(shop.network, click_id=reported, txid="t1", payout="5")
    await filed(asha.client, taken)
    # Neither another member's nor one on a link that is no offer's.
    await claiming.click(shop, (await cash.person(client, app)).id)
    await reporting.click(client, db, asha.id)
    assert await eligible(asha.client) == [second, first]
    assert old not in await eligible(client, member=asha.id)
    [one] = (await asha.client.post(f"{PATH}/eligible", {"limit": 1})).body["data"]
    assert (one["offer"], one["offer_title"], one["merchant"]) == (shop.offer, "Tea", shop.merchant)
    assert await eligible(client, member=asha.id, merchant_id="mrc_other") == []
    assert (await client.post(f"{PATH}/eligible", {})).code == "invalid_request"
    assert (await client.post(f"{PATH}/eligible", {"member": "mem_x"})).code == "member_not_found"


@pytest.mark.parametrize("credit", ["pending", "available"])
async def test_a_networks_report_takes_the_place_of_the_credit(
    client: Client, app: App, shop: Shop, asha: Person, credit: str
) -> None:
    await claiming.set_policy(client, mode="automatic", credit=credit)
    click = await claiming.click(shop, asha.id)
    claim = await filed(asha.client, click)
    assert (claim["state"], claim["credit_minor"]) == ("accepted", 100 * RUPEES)
    given = (100 * RUPEES, 0) if credit == "pending" else (0, 100 * RUPEES)
    assert await claiming.purse(asha) == given
    said = {"click_id": click, "txid": "t1", "payout": "160", "amount": "1000"}
    said |= {"oid": claim["order_id"]}
    heard = await reporting.report(shop.network, **said, status="pending")
    assert heard["verdict"] == "accepted"
    # The network has heard of a smaller sale.
    assert await claiming.purse(asha) == (50 * RUPEES, 0)
    settled = await seen(client, claim)
    assert (settled["state"], settled["conversion"]) == ("settled", heard["conversion"])
    await reporting.report(shop.network, **said, status="approved")
    assert await claiming.purse(asha) == (0, 50 * RUPEES)
    await reporting.report(shop.network, **said, status="reversed")
    assert await claiming.purse(asha) == (0, 0)
    for name in (click, claim["id"]):
        traced = (await client.get(f"/v1/trace/{name}")).body
        assert [one["id"] for one in traced["claims"]] == [claim["id"]]
        kinds = {one["type"] for one in traced["postings"]}
        assert {"claim_accepted", "claim_settled", "conversion_approved"} <= kinds
    [position] = (await client.get("/v1/admin/solvency")).body["positions"]
    assert position["is_balanced"] is True
    assert position["claims_float_minor"] == 0
    assert await cash.is_sound(app)


async def test_a_network_that_rejects_declines_and_one_that_knows_it_gives_no_credit(
    client: Client, db: Db, shop: Shop, asha: Person
) -> None:
    await claiming.set_policy(client, mode="automatic")
    click = await claiming.click(shop, asha.id)
    claim = await filed(asha.client, click)
    said = {"click_id": click, "txid": "t1", "oid": claim["order_id"], "payout": "5"}
    await reporting.report(shop.network, **said, status="rejected")
    assert (await seen(client, claim))["state"] == "declined"
    assert await told(db) == ["claim_accepted", "claim_rejected"]
    assert await claiming.purse(asha) == (0, 0)
    known = await claiming.click(shop, asha.id)
    said = {"click_id": known, "txid": "t2", "oid": "77", "payout": "5", "amount": "50"}
    await reporting.report(shop.network, **said, status="pending")
    # Of that click it knows another order.
    unclear = await filed(asha.client, known)
    assert (unclear["state"], unclear["credit_minor"]) == ("sent", None)
    twice = await filed(asha.client, await claiming.click(shop, asha.id), order_id="#77")
    assert (twice["state"], twice["reasons"]) == ("rejected", ["order_reported"])
    assert await claiming.purse(asha) == (250, 0)


async def test_a_refusal_says_why_in_the_members_language(
    client: Client, app: App, db: Db, shop: Shop, asha: Person
) -> None:
    await claiming.set_policy(client, mode="automatic")
    german = Client(client.session, client.url, {**asha.client.headers, "Accept-Language": "de"})
    late = await claiming.click(shop, asha.id, age_s=60)
    declined = await claiming.click(shop, asha.id)
    await filed(german, late)
    order_id = (await filed(german, declined))["order_id"]
    said = {"click_id": declined, "txid": "t1", "oid": order_id, "payout": "5"}
    await reporting.report(shop.network, **said, status="rejected")
    rows = await db.fetch("SELECT * FROM notification WHERE template = 'claim_rejected'")
    told = [msgspec.json.decode(postbox.opened(app, row, "variables")) for row in rows]
    assert sorted(one["reason"] for one in told) == [
        "Das Netzwerk des Shops hat die Bestellung nicht bestätigt.",
        "Die Bestellung wurde vor Ihrem Klick aufgegeben.",
    ]


async def test_a_claim_and_a_report_at_one_moment_give_the_cashback_once(
    client: Client, app: App, shop: Shop, asha: Person
) -> None:
    await claiming.set_policy(client, mode="automatic", claims_per_30_days=100)
    for number in range(6):
        click = await claiming.click(shop, asha.id)
        said = {"click_id": click, "txid": f"t{number}", "payout": "20", "amount": "200"}
        order = {"order_id": f"S{number}"}
        said |= {"oid": order["order_id"]}
        both = [
            file(asha.client, click, **order),
            reporting.report(shop.network, **said, status="approved"),
        ]
        await asyncio.gather(*(both if number % 2 else both[::-1]))
        assert await claiming.purse(asha) == (0, (number + 1) * 10 * RUPEES)
    [position] = (await client.get("/v1/admin/solvency")).body["positions"]
    assert position["claims_float_minor"] == 0
    assert await cash.is_sound(app)


async def test_what_speaks_against_a_click_is_found(
    client: Client, app: App, db: Db, shop: Shop, asha: Person
) -> None:
    friend = await cash.person(client, app)
    slow = await claiming.add_offer(client, shop.merchant, click_to_conversion_min_s=700)
    await claiming.set_policy(
        client, mode="automatic", claims_per_30_days=9, max_order_minor=200_000
    )

    async def reasons(click: str, **more: object) -> tuple[str, list[str]]:
        claim = await seen(client, await filed(asha.client, click, **more))
        return claim["state"], claim["reasons"]

    soon = await claiming.click(shop, asha.id, link=slow["link_id"], age_s=CLICKED_S)
    assert await reasons(soon) == ("sent", ["order_too_soon"])
    suspect = await claiming.click(shop, asha.id, age_s=CLICKED_S + 9_000)
    await db.execute("UPDATE click SET class = 1 WHERE click_id = $1", suspect)
    # `soon` is a later click on another offer of the merchant.
    assert await reasons(suspect, amount_minor=200_001) == (
        "sent",
        ["click_suspect", "later_click", "amount_above_maximum"],
    )
    mine = await claiming.click(shop, asha.id)
    shared = await claiming.click(shop, friend.id, age_s=CLICKED_S - 300)
    same = "UPDATE click SET address_hash = 'a', user_agent = 'x' WHERE click_id = ANY($1::text[])"
    await db.execute(same, [mine, shared])
    # Addresses can be compared within a day of UTC alone.
    days = "SELECT count(DISTINCT day) FROM click WHERE click_id = ANY($1::text[])"
    if await db.fetchval(days, [mine, shared]) == 1:
        assert await reasons(mine) == ("sent", ["same_device"])
    abroad = await claiming.click(shop, asha.id)
    assert await reasons(abroad, currency="USD") == (
        "sent",
        ["currency_unknown", "cashback_unknown"],
    )
    early = await claiming.click(shop, asha.id, age_s=3 * 86_400)
    assert await reasons(early) == ("rejected", ["order_before_click"])


async def test_without_a_click_the_last_one_at_the_shop_is_found(
    client: Client, shop: Shop, asha: Person
) -> None:
    await claiming.click(shop, asha.id, age_s=CLICKED_S + 5_000)
    last_one = await claiming.click(shop, asha.id)
    await claiming.click(shop, asha.id, age_s=60)
    claim = await filed(asha.client, merchant_id=shop.merchant)
    assert (claim["click_id"], claim["offer"]) == (last_one, shop.offer)
    elsewhere = await claiming.shop(client, shop.db)
    none = await seen(client, await filed(asha.client, merchant_id=elsewhere.merchant))
    assert (none["click_id"], none["proposal"], none["reasons"]) == (None, "reject", ["no_click"])
    assert (await file(asha.client, merchant_id="mrc_x")).code == "merchant_not_found"


async def test_a_purchase_is_claimed_once(
    client: Client, app: App, shop: Shop, asha: Person
) -> None:
    ravi = await cash.person(client, app)
    click = await claiming.click(shop, asha.id)
    await filed(asha.client, click, order_id="OD-x7")
    other = await claiming.click(shop, ravi.id)
    for spelling in ("OD-x7", "#od-X7"):
        refused = await file(ravi.client, other, order_id=spelling)
        assert (refused.status, refused.code) == (409, "order_claimed")
    assert (await file(asha.client, click)).code == "click_claimed"
    # Another shop may have an order of that number.
    elsewhere = await claiming.shop(client, shop.db)
    await filed(ravi.client, await claiming.click(elsewhere, ravi.id), order_id="OD-x7")
    more = [await claiming.click(shop, ravi.id) for _ in range(6)]
    answers = await asyncio.gather(*(file(ravi.client, one) for one in more))
    assert sorted(one.status for one in answers) == [201] * 4 + [409] * 2
    assert [one.code for one in answers if one.status == 409] == ["too_many_claims"] * 2


async def test_a_claim_is_filed_once_for_its_key(shop: Shop, asha: Person) -> None:
    click = await claiming.click(shop, asha.id)
    body = {
        "click_id": click,
        "order_id": "OD-k",
        "amount_minor": 5,
        "currency": "INR",
        "ordered_at": claiming.days_ago(4),
    }
    assert (await asha.client.post(PATH, body)).code == "idempotency_key_missing"
    both = [await asha.client.post(PATH, body, Idempotency_Key="k") for _ in range(2)]
    assert [one.status for one in both] == [201, 201]
    assert both[0].body["id"] == both[1].body["id"]


async def test_others_clicks_and_claims_are_as_if_they_were_not_there(
    client: Client, other: Client, app: App, shop: Shop, asha: Person
) -> None:
    ravi, stranger = await cash.person(client, app), await cash.person(other, app)
    click = await claiming.click(shop, asha.id)
    for person in (ravi, stranger):
        assert (await file(person.client, click)).code == "click_not_found"
    assert (await file(client, click, member=ravi.id)).code == "click_not_found"
    assert (await file(other, click, member=asha.id)).code == "member_not_found"
    assert (await file(ravi.client, click, member=asha.id)).code == "forbidden"
    claim = await filed(cash.operator(client, role="staff"), click, member=asha.id)
    assert (claim["member"], claim["state"]) == (asha.id, "opened")
    path = f"{PATH}/{claim['id']}"
    for person in (ravi, stranger):
        assert (await person.client.get(path)).code == "claim_not_found"
        assert (await person.client.post(f"{path}/evidence", {"text": "x"})).status == 404
        assert (await person.client.get(PATH)).body["data"] == []
    assert (await claiming.decide(other, claim["id"], "accept")).code == "claim_not_found"
    assert (await claiming.decide(asha.client, claim["id"], "accept")).status == 403
    reader = cash.operator(client, role="staff")
    assert (await claiming.decide(reader, claim["id"], "accept")).status == 403
    assert (await other.get(f"{ADMIN}/export.csv")).body.count(b"\n") == 1


async def test_evidence_is_added_while_something_can_come_of_it(
    client: Client, db: Db, shop: Shop, asha: Person
) -> None:
    claim = await filed(asha.client, await claiming.click(shop, asha.id))
    path = f"{PATH}/{claim['id']}/evidence"
    assert (await asha.client.post(path, {})).code == "invalid_request"
    for _ in range(2):
        said = {"text": "On my phone.", "receipt": "receipts/77.pdf"}
        assert (await asha.client.post(path, said, Idempotency_Key="k")).status == 201
    await client.post(path, {"text": "The shop confirms it."})
    evidence = (await seen(client, claim))["evidence"]
    assert [(one["text"], one["added_by"]) for one in evidence] == [
        ("On my phone.", asha.id),
        ("The shop confirms it.", "test"),
    ]
    own = (await seen(asha.client, claim))["evidence"]
    assert [one["added_by"] for one in own] == [asha.id, None]
    stored = await db.fetchval("SELECT string_agg(content, '') FROM claim_evidence")
    assert b"phone" not in stored
    why = {"reason": "It was canceled."}
    assert (await claiming.decide(client, claim["id"], "reject", **why)).status == 200
    refused = await asha.client.post(path, {"text": "Please!"})
    assert (refused.status, refused.code) == (409, "claim_not_open")


@pytest.mark.parametrize(
    ("fields", "status", "code"),
    [
        ({"order_id": ""}, 422, "invalid_request"),
        ({"order_id": " x"}, 422, "invalid_request"),
        ({"order_id": "#"}, 422, "invalid_request"),
        ({"amount_minor": 0}, 422, "invalid_request"),
        ({"currency": "inr"}, 422, "invalid_request"),
        ({"ordered_at": "2999-01-01T00:00:00Z"}, 422, "invalid_request"),
        ({"ordered_at": "0001-01-01T00:00:00+14:00"}, 422, "invalid_request"),
        ({"ordered_at": "2026-01-01T00:00:00"}, 422, "invalid_request"),
        ({"merchant_id": "mrc_1"}, 422, "invalid_request"),
        ({"ordered_at": None}, 409, "claim_too_early"),
        ({"click_id": "x"}, 404, "click_not_found"),
    ],
)
async def test_what_cannot_be_claimed_changes_nothing(
    shop: Shop, asha: Person, fields: dict[str, Any], status: int, code: str
) -> None:
    click = await claiming.click(shop, asha.id)
    if fields.get("ordered_at", "") is None:
        fields = {"ordered_at": claiming.days_ago(2.9)}
    refused = await file(asha.client, **{"click_id": click, **fields})
    assert (refused.status, refused.code) == (status, code), refused
    assert (await asha.client.get(PATH)).body["data"] == []
