"""Money by hand: given, taken and written off, by two above the threshold."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from gateway.app import App
from tests.gateway import cash
from tests.gateway.cash import RUPEES, Person
from tests.gateway.conftest import Answer, Client, Db
from tests.gateway.test_auditing import last
from tests.gateway.test_withdrawals import set_rules

PATH = "/v1/adjustments"
_numbers = itertools.count()


async def adjust(client: Client, person: Person, amount_minor: int, **more: object) -> Answer:
    body = {"member": person.id, "amount_minor": amount_minor, "reason": "We are sorry.", **more}
    return await client.post(PATH, body, Idempotency_Key=f"a{next(_numbers)}")


async def test_money_is_given_and_taken_back(client: Client, app: App, db: Db) -> None:
    asha, operator = await cash.person(client, app), cash.operator(client)
    given = await adjust(operator, asha, 50 * RUPEES, ticket="T-17")
    assert (given.status, given.body["state"]) == (201, "posted")
    assert await cash.balance(asha) == (50 * RUPEES, 0)
    action, _, after = await last(db)
    assert (action, after["ticket"]) == ("adjustment.post", "T-17")
    assert (await adjust(operator, asha, -20 * RUPEES)).body["state"] == "posted"
    assert await cash.balance(asha) == (30 * RUPEES, 0)
    lines = (await asha.client.get("/v1/wallet/transactions")).body["data"]
    assert [(one["type"], one["reason"]) for one in lines] == [("adjustment", "We are sorry.")] * 2
    assert await cash.is_sound(app)


async def test_no_more_is_taken_than_there_is(client: Client, app: App) -> None:
    asha, operator = await cash.person(client, app), cash.operator(client)
    await cash.credit(app, asha, 10)
    refused = await adjust(operator, asha, -11)
    assert (refused.status, refused.code) == (409, "insufficient_balance")
    made = await asyncio.gather(*(adjust(operator, asha, -4) for _ in range(6)))
    assert sorted(one.status for one in made) == [201] * 2 + [409] * 4
    assert await cash.balance(asha) == (2, 0)
    assert await cash.is_sound(app)


async def test_a_debt_is_written_off_and_was_not_earned(client: Client, app: App) -> None:
    asha, operator = await cash.person(client, app), cash.operator(client)
    await cash.credit(app, asha, -40 * RUPEES)
    refused = await adjust(operator, asha, 41 * RUPEES, kind="write_off")
    assert (refused.status, refused.code) == (409, "conflict")
    done = await adjust(operator, asha, 40 * RUPEES, kind="write_off")
    assert done.body["state"] == "posted"
    found = (await asha.client.get("/v1/wallet")).body["balances"][0]
    assert (found["available_minor"], found["is_negative"]) == (0, False)
    assert found["lifetime_minor"] == -40 * RUPEES
    assert (await adjust(operator, asha, 1, kind="write_off")).code == "conflict"
    assert await cash.is_sound(app)


async def test_above_the_threshold_another_operator_approves(
    client: Client, staff: Client, app: App
) -> None:
    await set_rules(client, staff, two_approvals_above_minor=100)
    asha = await cash.person(client, app)
    one, other = cash.operator(client, 1), cash.operator(client, 2)
    assert (await adjust(client, asha, 101)).code == "forbidden"
    made = await adjust(one, asha, 101)
    assert (made.status, made.body["state"]) == (201, "proposed")
    assert await cash.balance(asha) == (0, 0)
    path = f"{PATH}/{made.body['id']}"
    assert (await one.post(f"{path}/approve", {})).code == "second_approver_needed"
    assert (await client.post(f"{path}/approve", {})).code == "forbidden"
    assert await cash.balance(asha) == (0, 0)
    done = await asyncio.gather(*(other.post(f"{path}/approve", {}) for _ in range(4)))
    assert sorted(each.status for each in done) == [200, 409, 409, 409]
    assert await cash.balance(asha) == (101, 0)
    assert (await other.post(f"{path}/drop", {})).code == "adjustment_not_open"


async def test_a_proposal_can_be_dropped(client: Client, staff: Client, app: App) -> None:
    await set_rules(client, staff, two_approvals_above_minor=100)
    asha, one = await cash.person(client, app), cash.operator(client)
    path = f"{PATH}/{(await adjust(one, asha, -101)).body['id']}"
    assert (await one.post(f"{path}/drop", {})).body["state"] == "dropped"
    refused = await cash.operator(client, 2).post(f"{path}/approve", {})
    assert (refused.status, refused.code) == (409, "adjustment_not_open")


async def test_what_was_spent_meanwhile_is_not_taken(
    client: Client, staff: Client, app: App
) -> None:
    await set_rules(client, staff, two_approvals_above_minor=100)
    asha, one = await cash.person(client, app), cash.operator(client)
    await cash.credit(app, asha, 200)
    path = f"{PATH}/{(await adjust(one, asha, -200)).body['id']}"
    await cash.credit(app, asha, -1)
    refused = await cash.operator(client, 2).post(f"{path}/approve", {})
    assert (refused.status, refused.code) == (409, "insufficient_balance")
    assert (await one.get(path)).body["state"] == "proposed"
    assert await cash.balance(asha) == (199, 0)


async def test_a_wish_is_made_once_for_its_key(client: Client, app: App) -> None:
    asha, operator = await cash.person(client, app), cash.operator(client)
    body = {"member": asha.id, "amount_minor": 5, "reason": "x"}
    assert (await operator.post(PATH, body)).code == "idempotency_key_missing"
    for _ in range(2):
        assert (await operator.post(PATH, body, Idempotency_Key="k")).status == 201
    assert await cash.balance(asha) == (5, 0)


async def test_operators_find_them_and_strangers_do_not(
    client: Client, other: Client, app: App
) -> None:
    asha, operator = await cash.person(client, app), cash.operator(client)
    ids = [(await adjust(operator, asha, 5)).body["id"] for _ in range(2)]
    reader = cash.operator(client, role="staff")
    found = (await reader.get(f"{PATH}?member_id={asha.id}&state=posted&limit=1")).body
    assert [one["id"] for one in found["data"]] == ids[1:]
    rest = await reader.get(f"{PATH}?cursor={found['next_cursor']}")
    assert [one["id"] for one in rest.body["data"]] == ids[:1]
    assert (await cash.operator(other).get(PATH)).body["data"] == []
    assert (await adjust(reader, asha, 5)).status == 403
    assert (await adjust(asha.client, asha, 5)).status == 403
    assert (await adjust(cash.operator(other), asha, 5)).code == "member_not_found"


@pytest.mark.parametrize(
    "body",
    [
        {"amount_minor": 0},
        {"amount_minor": -5, "kind": "write_off"},
        {"amount_minor": 5, "kind": "gift"},
        {"amount_minor": 5, "reason": ""},
        {"amount_minor": 10**16},
        {"amount_minor": 5.5},
    ],
)
async def test_what_makes_no_sense_changes_nothing(
    client: Client, app: App, body: dict[str, object]
) -> None:
    asha, operator = await cash.person(client, app), cash.operator(client)
    sent = {"member": asha.id, "reason": "x", **body}
    refused = await operator.post(PATH, sent, Idempotency_Key="k")
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert (await operator.get(PATH)).body["data"] == []


async def test_nothing_is_given_to_a_member_who_has_left(
    client: Client, staff: Client, app: App, db: Db
) -> None:
    await set_rules(client, staff, two_approvals_above_minor=10 * RUPEES)
    asha, one, other = await cash.person(client, app), *(cash.operator(client, n) for n in (1, 2))
    proposed = await adjust(one, asha, 50 * RUPEES)
    assert proposed.body["state"] == "proposed"
    await db.execute("UPDATE member SET deleted_at = now() WHERE id = $1", asha.id)
    refused = await other.post(f"{PATH}/{proposed.body['id']}/approve", {})
    assert (refused.status, refused.code) == (404, "member_not_found")
    assert (await one.post(f"{PATH}/{proposed.body['id']}/drop", {})).status == 200
    for amount_minor in (5, -5, 50 * RUPEES):
        assert (await adjust(one, asha, amount_minor)).code == "member_not_found"


async def test_the_debt_of_a_member_who_has_left_is_written_off(
    client: Client, app: App, db: Db
) -> None:
    asha, operator = await cash.person(client, app), cash.operator(client)
    await cash.credit(app, asha, -40 * RUPEES)
    await db.execute("UPDATE member SET deleted_at = now() WHERE id = $1", asha.id)
    done = await adjust(operator, asha, 40 * RUPEES, kind="write_off")
    assert (done.status, done.body["state"]) == (201, "posted")
    assert await cash.is_sound(app)
