"""Operators decide about claims, and see how well the rules would have done."""

from __future__ import annotations

import pytest

from gateway.app import App
from tests.gateway import cash, claiming, people, reporting
from tests.gateway.cash import RUPEES, Person
from tests.gateway.claiming import ADMIN, PATH, Shop, filed, seen
from tests.gateway.conftest import Client, Db
from tests.gateway.test_auditing import last
from tests.gateway.test_withdrawals import told

EVENTS = """
SELECT type, convert_from(body, 'UTF8')::jsonb -> 'data' ->> 'state' AS state FROM webhook_delivery
 ORDER BY created_at, id
"""
LONG_AGO = claiming.days_ago(60)


@pytest.fixture
async def asha(client: Client, app: App) -> Person:
    return await cash.person(client, app)


@pytest.fixture
async def shop(client: Client, db: Db) -> Shop:
    return await claiming.shop(client, db)


async def test_in_shadow_mode_operators_decide_and_see_what_is_proposed(
    client: Client, db: Db, shop: Shop, asha: Person
) -> None:
    hook = {"url": "https://a.example/", "events": ["claim.opened", "claim.decided"]}
    assert (await client.post("/v1/webhook-endpoints", hook)).status == 201
    click = await claiming.click(shop, asha.id)
    claim = await filed(asha.client, click, order_id="#OD-7", text="Paid by card.")
    assert (claim["state"], claim["proposal"], claim["facts"]) == ("opened", None, None)
    assert await claiming.purse(asha) == (0, 0)
    [proposed] = (await client.get(f"{ADMIN}?state=opened&proposal=accept")).body["data"]
    assert (proposed["reasons"], proposed["estimate_minor"]) == (["proved"], 100 * RUPEES)
    assert proposed["facts"]["hit_class"] == "human"
    assert 590 < proposed["facts"]["order_after_s"] < 610
    operator = cash.operator(client)
    done = await claiming.decide(operator, claim["id"], "accept")
    assert (done.status, done.body["state"]) == (200, "accepted")
    assert await claiming.purse(asha) == (100 * RUPEES, 0)
    action, before, after = await last(db)
    assert (action, before["state"], after["state"]) == ("claim.accept", "opened", "accepted")
    own = await seen(asha.client, claim)
    assert (own["credit_minor"], own["decided_by"]) == (100 * RUPEES, None)
    assert [one["text"] for one in own["evidence"]] == ["Paid by card."]
    assert await told(db) == ["claim_accepted"]
    assert [tuple(row) for row in await db.fetch(EVENTS)] == [
        ("claim.opened", "opened"),
        ("claim.decided", "accepted"),
    ]
    again = await claiming.decide(operator, claim["id"], "accept")
    assert (again.status, again.code) == (409, "claim_not_open")
    assert await claiming.purse(asha) == (100 * RUPEES, 0)


async def test_a_credit_that_was_paid_out_is_owed_when_the_network_declines(
    client: Client, app: App, db: Db, shop: Shop, asha: Person
) -> None:
    await claiming.set_policy(client, mode="automatic", credit="available")
    claim = await filed(asha.client, await claiming.click(shop, asha.id))
    [position] = (await client.get("/v1/admin/solvency")).body["positions"]
    assert (position["claims_float_minor"], position["is_covered"]) == (100 * RUPEES, True)
    await cash.credit(app, asha, -30 * RUPEES)
    assert (await claiming.decide(client, claim["id"], "decline")).code == "invalid_request"
    why = "The shop says that it was sent back."
    done = await claiming.decide(client, claim["id"], "decline", reason=why)
    assert (done.status, done.body["state"]) == (200, "declined")
    assert await claiming.purse(asha) == (0, -30 * RUPEES)
    assert (await seen(asha.client, claim))["reason"] == why
    assert await told(db) == ["claim_accepted", "claim_rejected"]
    assert await cash.is_sound(app)


async def test_a_claim_that_was_sent_can_be_accepted_settled_or_reported(
    client: Client, app: App, shop: Shop, asha: Person
) -> None:
    clicks = [await claiming.click(shop, asha.id) for _ in range(3)]
    made = [await filed(asha.client, one) for one in clicks]
    for one in made:
        assert (await claiming.decide(client, one["id"], "send_to_network")).status == 200
    rows = (await client.get(f"{ADMIN}/export.csv")).body.decode().splitlines()
    assert rows[0].startswith("claim_id,network_id,merchant_id,click_id,sub_id")
    assert len(rows) == 4
    assert f"{clicks[0]},{clicks[0]}" in rows[3]
    assert ",2000.00,INR," in rows[3]
    assert (await client.get(f"{ADMIN}/export.csv?state=opened")).body.count(b"\n") == 1
    assert (await claiming.decide(client, made[0]["id"], "accept", amount_minor=7)).status == 200
    settled = await claiming.decide(client, made[1]["id"], "settle")
    assert settled.body["state"] == "settled"
    assert await claiming.purse(asha) == (7, 100 * RUPEES)
    # The network reports all three after all: each credit ends with the report of its order.
    for number, (click, one) in enumerate(zip(clicks, made, strict=True)):
        said = {"click_id": click, "txid": f"t{number}", "payout": "20", "amount": "200"}
        await reporting.report(shop.network, **said, oid=one["order_id"], status="approved")
    assert await claiming.purse(asha) == (0, 3 * 10 * RUPEES)
    states = {one["state"] for one in (await client.get(PATH)).body["data"]}
    assert states == {"settled"}
    assert await cash.is_sound(app)


async def test_nobody_gives_money_for_what_was_reported(
    client: Client, shop: Shop, asha: Person
) -> None:
    click = await claiming.click(shop, asha.id)
    said = {"click_id": click, "txid": "t1", "oid": "77", "payout": "5", "amount": "50"}
    await reporting.report(shop.network, **said, status="pending")
    claim = await filed(asha.client, click, order_id="#77")
    refused = await claiming.decide(client, claim["id"], "accept", amount_minor=5)
    assert (refused.status, refused.code) == (409, "conflict")
    assert await claiming.purse(asha) == (250, 0)


async def test_where_it_is_not_clear_which_order_was_reported_a_person_says_it(
    client: Client, db: Db, shop: Shop, asha: Person
) -> None:
    await claiming.set_policy(client, mode="automatic")
    click = await claiming.click(shop, asha.id)
    claim = await filed(asha.client, click)
    await filed(asha.client, await claiming.click(shop, asha.id))
    said = {"click_id": click, "txid": "t1", "payout": "20", "amount": "200"}
    told_of = await reporting.report(shop.network, **said, status="approved")
    assert await claiming.purse(asha) == (200 * RUPEES, 10 * RUPEES)
    [unclear] = (await client.get(f"{ADMIN}?is_reported=true")).body["data"]
    assert (unclear["id"], unclear["state"]) == (claim["id"], "accepted")
    assert (await seen(client, claim))["reports"] == [told_of["conversion"]]
    assert (await seen(asha.client, claim))["reports"] == []
    for wrong in ({"amount_minor": 5}, {"decision": "accept"}):
        body = {"decision": "settle", "conversion": told_of["conversion"], **wrong}
        answer = await client.post(f"{ADMIN}/{claim['id']}/decide", body)
        assert answer.code == "invalid_request"
    nobodys = await reporting.report(shop.network, txid="t2", payout="5")
    for other in (nobodys["conversion"], "cnv_x"):
        refused = await claiming.decide(client, claim["id"], "settle", conversion=other)
        assert (refused.status, refused.code) == (404, "conversion_not_found")
    named = {"conversion": told_of["conversion"], "reason": "The shop has asked."}
    done = await claiming.decide(client, claim["id"], "settle", **named)
    assert (done.body["state"], done.body["conversion"]) == ("settled", told_of["conversion"])
    assert await claiming.purse(asha) == (100 * RUPEES, 10 * RUPEES)
    action, _, after = await last(db)
    assert (action, after["reason"]) == ("claim.settle", named["reason"])
    assert after["conversion"] == named["conversion"]
    assert (await client.get(f"{ADMIN}?is_reported=true")).body["data"] == []


async def test_above_the_threshold_two_operators_accept(
    client: Client, staff: Client, shop: Shop, asha: Person
) -> None:
    rules = {"settings": {"withdrawals": {"two_approvals_above_minor": 100 * RUPEES - 1}}}
    program = f"/v1/programs/{people.program(client)}"
    assert (await staff.patch(program, rules)).status == 200
    claim = await filed(asha.client, await claiming.click(shop, asha.id))
    assert (await seen(client, claim))["reasons"] == ["amount_needs_two"]
    one, two = cash.operator(client, 1), cash.operator(client, 2)
    assert (await claiming.decide(client, claim["id"], "accept")).code == "forbidden"
    first = await claiming.decide(one, claim["id"], "accept")
    assert (first.status, first.body["state"]) == (200, "opened")
    again = await claiming.decide(one, claim["id"], "accept")
    assert again.code == "second_approver_needed"
    # The second one cannot make it more: for another amount they are the first.
    more = await claiming.decide(two, claim["id"], "accept", amount_minor=9_000 * RUPEES)
    assert (more.body["state"], more.body["credit_minor"]) == ("opened", 9_000 * RUPEES)
    assert (await asha.client.get(f"{PATH}/{claim['id']}")).body["credit_minor"] is None
    assert await claiming.purse(asha) == (0, 0)
    back = await claiming.decide(one, claim["id"], "accept", amount_minor=100 * RUPEES)
    assert back.body["state"] == "opened"
    done = await claiming.decide(two, claim["id"], "accept")
    assert (done.body["state"], len(done.body["accepted_by"])) == ("accepted", 2)
    assert await claiming.purse(asha) == (100 * RUPEES, 0)
    # What two have given nobody gives once more: that the network agrees one of them may say.
    settled = await claiming.decide(one, claim["id"], "settle")
    assert (settled.body["state"], await claiming.purse(asha)) == ("settled", (0, 100 * RUPEES))


async def test_who_accepted_first_can_accept_less_alone(
    client: Client, staff: Client, shop: Shop, asha: Person
) -> None:
    rules = {"settings": {"withdrawals": {"two_approvals_above_minor": 100 * RUPEES - 1}}}
    assert (await staff.patch(f"/v1/programs/{people.program(client)}", rules)).status == 200
    claim = await filed(asha.client, await claiming.click(shop, asha.id))
    one = cash.operator(client, 1)
    assert (await claiming.decide(one, claim["id"], "accept")).body["state"] == "opened"
    less = await claiming.decide(one, claim["id"], "accept", amount_minor=RUPEES)
    assert (less.body["state"], len(less.body["accepted_by"])) == ("accepted", 1)
    assert await claiming.purse(asha) == (RUPEES, 0)


async def test_what_is_filed_for_a_member_another_person_gives_money_for(
    client: Client, shop: Shop, asha: Person
) -> None:
    await claiming.set_policy(client, mode="automatic", credit="available")
    staff, boss = cash.operator(client, 3, role="staff"), cash.operator(client)
    made = []
    for filer in (staff, boss, client):
        claim = await filed(filer, await claiming.click(shop, asha.id), member=asha.id)
        assert (claim["state"], claim["proposal"]) == ("opened", "accept")
        made.append(claim["id"])
    by_staff, by_boss, by_key = made
    refused = await claiming.decide(boss, by_boss, "accept")
    assert (refused.status, refused.code) == (409, "second_approver_needed")
    for one in made:
        assert (await claiming.decide(client, one, "accept")).code == "forbidden"
    assert (await claiming.decide(boss, by_boss, "send_to_network")).status == 200
    assert (await claiming.decide(boss, by_boss, "settle")).code == "second_approver_needed"
    assert await claiming.purse(asha) == (0, 0)
    other = cash.operator(client, 2)
    for one, operator in ((by_staff, boss), (by_boss, other), (by_key, boss)):
        assert (await claiming.decide(operator, one, "accept")).status == 200
    assert await claiming.purse(asha) == (0, 300 * RUPEES)
    # What gives nothing the rules still do.
    old = await filed(staff, merchant_id=shop.merchant, member=asha.id, ordered_at=LONG_AGO)
    assert old["state"] == "rejected"


async def test_the_summary_says_how_often_operators_agreed(
    client: Client, shop: Shop, asha: Person
) -> None:
    empty = (await client.get(f"{ADMIN}/summary")).body
    assert (empty["mode"], empty["decided"], empty["agreement_bp"]) == ("shadow", 0, None)
    for decision in ("accept", "accept", "reject"):
        claim = await filed(asha.client, await claiming.click(shop, asha.id))
        more = {"reason": "no"} if decision == "reject" else {}
        assert (await claiming.decide(client, claim["id"], decision, **more)).status == 200
    await claiming.set_policy(client, mode="automatic")
    await filed(asha.client, await claiming.click(shop, asha.id))
    told_now = (await client.get(f"{ADMIN}/summary?days=1")).body
    assert (told_now["decided"], told_now["agreed"], told_now["agreement_bp"]) == (3, 2, 6_666)
    assert [one["proposal"] for one in told_now["proposals"]] == ["accept"]


async def test_a_policy_is_replaced_and_kept_within_bounds(client: Client, db: Db) -> None:
    defaults = (await client.get(f"{ADMIN}/policy")).body
    assert (defaults["mode"], defaults["credit"]) == ("shadow", "pending")
    changed = await client.put(f"{ADMIN}/policy", {"mode": "automatic", "wait_hours": 0})
    assert (changed.status, changed.body["wait_hours"]) == (200, 0)
    assert (await client.get(f"{ADMIN}/policy")).body == changed.body
    action, before, after = await last(db)
    assert (action, before["mode"], after["mode"]) == ("claim_policy.put", "shadow", "automatic")
    for wrong in ({"mode": "on"}, {"window_days": 0}, {"more": 1}):
        assert (await client.put(f"{ADMIN}/policy", wrong)).code == "invalid_request"
    reader = cash.operator(client, role="staff")
    assert (await reader.put(f"{ADMIN}/policy", {})).status == 403
