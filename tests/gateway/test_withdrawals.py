"""Withdrawals over HTTP, from the wish to the bank's reference, and every way to be refused."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.app import App
from tests.gateway import cash, people
from tests.gateway.cash import RUPEES
from tests.gateway.conftest import Client, Db
from tests.gateway.test_auditing import written

PATH = "/v1/withdrawals"
SENT = """
SELECT template, dedupe_key, language FROM notification ORDER BY id
"""


async def told(db: Db) -> list[str]:
    """The templates of the messages to members, in order."""
    return [row["template"] for row in await db.fetch(SENT)]


async def set_rules(client: Client, staff: Client, **rules: object) -> None:
    path = f"/v1/programs/{people.program(client)}"
    changed = await staff.patch(path, {"settings": {"withdrawals": rules}})
    assert changed.status == 200, changed


async def test_from_the_wish_to_the_banks_reference(client: Client, app: App, db: Db) -> None:
    asha = await cash.payable(client, app, 500 * RUPEES)
    made = (await cash.ask(asha, 200 * RUPEES)).body
    assert (made["state"], made["account"]) == ("requested", "••••ha@okbank")
    assert await cash.balance(asha) == (300 * RUPEES, 200 * RUPEES)
    path = f"{PATH}/{made['id']}"
    operator = cash.operator(client)
    approved = (await operator.post(f"{path}/approve", {})).body
    assert (approved["state"], len(approved["approved_by"])) == ("approved", 1)
    paid = (await operator.post(f"{path}/complete", {"utr": "123456"})).body
    assert (paid["state"], paid["utr"]) == ("paid", "123456")
    assert await cash.balance(asha) == (300 * RUPEES, 0)
    seen = (await asha.client.get(path)).body
    assert (seen["state"], seen["utr"]) == ("paid", "123456")
    assert (seen["approved_by"], seen["decided_by"]) == ([], None)
    assert await told(db) == ["withdrawal_requested", "withdrawal_approved", "withdrawal_paid"]
    assert [one["action"] for one in await written(db)][-3:] == [
        "withdrawal.request",
        "withdrawal.approve",
        "withdrawal.complete",
    ]
    assert await cash.is_sound(app)


async def test_a_reversal_after_the_withdrawal_is_repaid_by_what_comes_in(
    client: Client, app: App
) -> None:
    """Withdraw 100, reverse 100, next cashback 60: available is −40, and nothing is paid."""
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    operator = cash.operator(client)
    assert (await operator.post(f"{path}/approve", {})).status == 200
    assert (await operator.post(f"{path}/complete", {"utr": "UTR100"})).status == 200
    await cash.credit(app, asha, -100 * RUPEES)
    assert await cash.balance(asha) == (-100 * RUPEES, 0)
    await cash.credit(app, asha, 60 * RUPEES)
    found = (await asha.client.get("/v1/wallet")).body["balances"][0]
    assert (found["available_minor"], found["is_negative"]) == (-40 * RUPEES, True)
    refused = await cash.ask(asha, 100 * RUPEES)
    assert (refused.status, refused.code) == (409, "balance_negative")
    await cash.credit(app, asha, 140 * RUPEES)
    assert (await cash.ask(asha, 100 * RUPEES)).status == 201
    assert await cash.balance(asha) == (0, 100 * RUPEES)
    assert await cash.is_sound(app)


async def test_what_was_taken_back_meanwhile_is_not_paid(client: Client, app: App) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    await cash.credit(app, asha, -100 * RUPEES)
    operator = cash.operator(client)
    refused = await operator.post(f"{path}/approve", {})
    assert (refused.status, refused.code) == (409, "balance_negative")
    assert (await operator.post(f"{path}/reject", {"reason": "Taken back."})).status == 200
    assert await cash.balance(asha) == (0, 0)


async def test_a_member_cancels_what_nobody_has_approved(client: Client, app: App, db: Db) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    assert (await asha.client.post(f"{path}/cancel", {})).body["state"] == "canceled"
    assert await cash.balance(asha) == (100 * RUPEES, 0)
    again = await asha.client.post(f"{path}/cancel", {})
    assert (again.status, again.code) == (409, "withdrawal_not_open")
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    await cash.operator(client).post(f"{path}/approve", {})
    assert (await asha.client.post(f"{path}/cancel", {})).code == "withdrawal_not_open"
    assert await cash.balance(asha) == (0, 100 * RUPEES)


async def test_a_rejection_gives_the_money_back_and_says_why(
    client: Client, app: App, db: Db
) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    done = await cash.operator(client).post(f"{path}/reject", {"reason": "Not your account."})
    assert (done.body["state"], done.body["approved_by"]) == ("rejected", [])
    assert (await asha.client.get(path)).body["reason"] == "Not your account."
    assert await cash.balance(asha) == (100 * RUPEES, 0)
    assert (await told(db))[-1] == "withdrawal_rejected"


@pytest.mark.parametrize("step", ["approve", "reject", "complete"])
@pytest.mark.parametrize("is_paid", [False, True])
async def test_what_has_ended_takes_no_step(
    client: Client, app: App, step: str, *, is_paid: bool
) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    if is_paid:
        path = await cash.paid(client, asha, 100 * RUPEES)
    else:
        path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
        assert (await asha.client.post(f"{path}/cancel", {})).status == 200
    # That it has ended goes before what speaks against the member.
    await cash.credit(app, asha, -101 * RUPEES)
    body = {"approve": {}, "reject": {"reason": "no"}, "complete": {"utr": "UTR123"}}[step]
    refused = await cash.operator(client).post(f"{path}/{step}", body)
    assert (refused.status, refused.code) == (409, "withdrawal_not_open")
    assert (await asha.client.post(f"{path}/cancel", {})).code == "withdrawal_not_open"
    assert await cash.balance(asha) == ((-101 if is_paid else -1) * RUPEES, 0)


async def test_what_was_not_approved_is_not_completed(client: Client, app: App) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    refused = await cash.operator(client).post(f"{path}/complete", {"utr": "UTR123"})
    assert refused.code == "withdrawal_not_open"


async def test_too_little_too_much_and_from_whom_nobody_knows(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    await cash.credit(app, asha, 500 * RUPEES)
    await cash.method(asha)
    assert (await cash.ask(asha, 99 * RUPEES)).code == "amount_below_minimum"
    refused = await cash.ask(asha, 100 * RUPEES)
    assert (refused.status, refused.code) == (409, "kyc_not_verified")
    await cash.verified(client, asha)
    refused = await cash.ask(asha, 501 * RUPEES)
    assert (refused.status, refused.code) == (409, "insufficient_balance")
    assert await cash.balance(asha) == (500 * RUPEES, 0)
    assert (await asha.client.get(PATH)).body["data"] == []


async def test_who_is_not_known_any_more_is_not_paid(client: Client, app: App, db: Db) -> None:
    asha = await cash.payable(client, app, 200 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    operator = cash.operator(client)
    body = {"version": 2, "reason": "It is forged."}
    assert (await operator.post(f"/v1/members/{asha.id}/kyc/reject", body)).status == 200
    refused = await operator.post(f"{path}/approve", {})
    assert (refused.status, refused.code) == (409, "kyc_not_verified")
    assert (await cash.ask(asha, 100 * RUPEES)).code == "kyc_not_verified"
    await cash.verified(client, asha)
    await db.execute("UPDATE member SET deleted_at = now() WHERE id = $1", asha.id)
    assert (await cash.ask(asha, 100 * RUPEES)).code == "member_not_found"
    assert await db.fetchval("SELECT array_agg(state) FROM withdrawal") == ["requested"]


async def test_somebody_elses_method_is_none(client: Client, app: App) -> None:
    asha, ben = await cash.payable(client, app, 100 * RUPEES), await cash.person(client, app)
    body = {"amount_minor": 100 * RUPEES, "payout_method": await cash.method(ben)}
    refused = await asha.client.post(PATH, body, Idempotency_Key="k")
    assert (refused.status, refused.code) == (404, "payout_method_not_found")


async def test_a_wish_needs_a_key_and_is_made_once_for_it(client: Client, app: App) -> None:
    asha = await cash.payable(client, app, 300 * RUPEES)
    body = {"amount_minor": 100 * RUPEES, "payout_method": await cash.method(asha)}
    refused = await asha.client.post(PATH, body)
    assert (refused.status, refused.code) == (400, "idempotency_key_missing")
    first = await asha.client.post(PATH, body, Idempotency_Key="k")
    again = await asha.client.post(PATH, body, Idempotency_Key="k")
    assert again.headers["Idempotent-Replayed"] == "true"
    assert again.body == first.body
    assert await cash.balance(asha) == (200 * RUPEES, 100 * RUPEES)
    other = {**body, "amount_minor": 101 * RUPEES}
    assert (await asha.client.post(PATH, other, Idempotency_Key="k")).status == 422


async def test_many_wishes_at_once_never_take_more_than_there_is(client: Client, app: App) -> None:
    asha = await cash.payable(client, app, 350 * RUPEES)
    made = await asyncio.gather(*(cash.ask(asha, 100 * RUPEES) for _ in range(12)))
    assert sorted(one.status for one in made) == [201] * 3 + [409] * 9
    assert await cash.balance(asha) == (50 * RUPEES, 300 * RUPEES)
    assert await cash.is_sound(app)


async def test_above_the_threshold_two_operators_approve(
    client: Client, staff: Client, app: App
) -> None:
    await set_rules(client, staff, two_approvals_above_minor=150 * RUPEES)
    asha = await cash.payable(client, app, 500 * RUPEES)
    small = f"{PATH}/{await cash.requested(asha, 150 * RUPEES)}"
    large = f"{PATH}/{await cash.requested(asha, 151 * RUPEES)}"
    one, other = cash.operator(client, 1), cash.operator(client, 2)
    assert (await one.post(f"{small}/approve", {})).body["state"] == "approved"
    first = (await one.post(f"{large}/approve", {})).body
    assert (first["state"], len(first["approved_by"])) == ("requested", 1)
    refused = await one.post(f"{large}/approve", {})
    assert (refused.status, refused.code) == (409, "second_approver_needed")
    assert (await one.post(f"{large}/complete", {"utr": "UTR123"})).status == 409
    # Whether two keys are two persons nobody can tell.
    assert (await client.post(f"{large}/approve", {})).code == "forbidden"
    second = (await other.post(f"{large}/approve", {})).body
    assert (second["state"], len(second["approved_by"])) == ("approved", 2)


async def test_the_minimum_is_the_programs(client: Client, staff: Client, app: App) -> None:
    await set_rules(client, staff, minimum_minor=1)
    asha = await cash.payable(client, app, 5)
    assert (await cash.ask(asha, 5)).status == 201


@pytest.mark.parametrize(
    "rules", [{"minimum_minor": 0}, {"two_approvals_above_minor": -1}, {"maximum_minor": 5}]
)
async def test_rules_that_make_no_sense_are_refused(
    client: Client, staff: Client, rules: dict[str, int]
) -> None:
    path = f"/v1/programs/{people.program(client)}"
    refused = await staff.patch(path, {"settings": {"withdrawals": rules}})
    assert refused.status == 422


async def test_operators_find_what_waits(client: Client, app: App) -> None:
    asha, ben = [await cash.payable(client, app, 500 * RUPEES) for _ in range(2)]
    first = await cash.requested(asha, 100 * RUPEES)
    second = await cash.requested(ben, 300 * RUPEES)
    operator = cash.operator(client, role="staff")

    async def found(query: str) -> list[str]:
        return [one["id"] for one in (await operator.get(f"{PATH}?{query}")).body["data"]]

    assert await found("") == [second, first]
    assert await found(f"member_id={asha.id}") == [first]
    assert await found(f"min_amount_minor={200 * RUPEES}") == [second]
    assert await found("state=approved") == []
    assert await found("method=bank") == []
    page = (await operator.get(f"{PATH}?limit=1")).body
    assert await found(f"limit=1&cursor={page['next_cursor']}") == [first]
    assert (await operator.get(f"{PATH}?state=lost")).status == 422


async def test_members_see_their_own_alone(client: Client, other: Client, app: App) -> None:
    asha, ben = [await cash.payable(client, app, 100 * RUPEES) for _ in range(2)]
    stranger = await cash.person(other, app)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    assert len((await asha.client.get(PATH)).body["data"]) == 1
    for one in (ben, stranger):
        assert (await one.client.get(PATH)).body["data"] == []
        assert (await one.client.get(f"{PATH}?member_id={asha.id}")).body["data"] == []
        for answer in (await one.client.get(path), await one.client.post(f"{path}/cancel", {})):
            assert (answer.status, answer.code) == (404, "withdrawal_not_found")
    assert await cash.balance(asha) == (0, 100 * RUPEES)


async def test_who_may_not_pay_does_not(client: Client, other: Client, app: App) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    bodies: dict[str, Any] = {
        "approve": {},
        "reject": {"reason": "x"},
        "complete": {"utr": "U12345"},
    }
    for caller in (asha.client, cash.operator(client, role="staff")):
        for step, body in bodies.items():
            assert (await caller.post(f"{path}/{step}", body)).status == 403
    for step, body in bodies.items():
        assert (await cash.operator(other).post(f"{path}/{step}", body)).status == 404
    assert (await asha.client.get(path)).body["state"] == "requested"


@pytest.mark.parametrize("utr", ["", "12345", "a" * 65, "UTR 1234", "UTR\n1234", "१२३४५६"])
async def test_what_no_bank_writes_is_no_reference(client: Client, app: App, utr: str) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    operator = cash.operator(client)
    await operator.post(f"{path}/approve", {})
    assert (await operator.post(f"{path}/complete", {"utr": utr})).status == 422
    assert (await asha.client.get(path)).body["state"] == "approved"


async def test_a_deleted_method_is_still_where_the_money_goes(client: Client, app: App) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    await asha.client.delete(f"/v1/payout-methods/{await cash.method(asha)}")
    assert (await asha.client.get(path)).body["account"] == "••••ha@okbank"


async def test_endpoints_hear_of_each_step(client: Client, app: App, db: Db) -> None:
    events = ["withdrawal.requested", "withdrawal.approved", "withdrawal.completed"]
    hook = {"url": "https://hooks.example.com/", "events": events}
    assert (await client.post("/v1/webhook-endpoints", hook)).status == 201
    asha = await cash.payable(client, app, 100 * RUPEES)
    path = f"{PATH}/{await cash.requested(asha, 100 * RUPEES)}"
    await cash.operator(client).post(f"{path}/approve", {})
    await cash.operator(client).post(f"{path}/complete", {"utr": "UTR123"})
    rows = await db.fetch("SELECT type, body FROM webhook_delivery ORDER BY id")
    assert [row["type"] for row in rows] == events
    assert b"okbank" not in b"".join(row["body"] for row in rows)


async def test_the_paths_of_the_designs(client: Client, app: App) -> None:
    asha = await cash.payable(client, app, 100 * RUPEES)
    body = {"amount_minor": 100 * RUPEES, "payout_method": await cash.method(asha)}
    made = await asha.client.post("/wallet/withdraw", body, Idempotency_Key="k")
    assert made.status == 201
    operator = cash.operator(client)
    done = await operator.patch(f"/admin/withdrawals/{made.body['id']}/approve", {})
    assert done.body["state"] == "approved"
    assert (await operator.get("/admin/withdrawals")).body == (await operator.get(PATH)).body
