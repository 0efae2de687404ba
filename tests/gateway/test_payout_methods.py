"""Where members are paid: at most five, shown masked, compared with others'."""

from __future__ import annotations

import asyncio

import pytest

from gateway.app import App
from tests.gateway import cash
from tests.gateway.cash import BANK, UPI
from tests.gateway.conftest import Client, Db
from tests.gateway.test_auditing import written

PATH = "/v1/payout-methods"


async def test_a_method_is_kept_and_shown_without_most_of_it(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    upi = (await asha.client.post(PATH, UPI)).body
    bank = (await asha.client.post(PATH, BANK)).body
    assert (upi["kind"], upi["account"], upi["ifsc"]) == ("upi", "••••ha@okbank", None)
    assert (bank["kind"], bank["account"], bank["ifsc"]) == ("bank", "••••5678", "HDFC0001234")
    assert (await asha.client.get(PATH)).body == {"data": [upi, bank]}


async def test_the_same_account_again_is_the_same_method(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    first = await cash.method(asha)
    assert await cash.method(asha, {**UPI, "vpa": " asha@OKBANK", "name": "A. Verma"}) == first


async def test_there_are_at_most_five_also_when_they_come_at_once(
    client: Client, app: App, db: Db
) -> None:
    asha = await cash.person(client, app)
    bodies = [{**UPI, "vpa": f"asha{number}@okbank"} for number in range(9)]
    made = await asyncio.gather(*(asha.client.post(PATH, body) for body in bodies))
    assert sorted(one.status for one in made) == [201] * 5 + [409] * 4
    assert {one.code for one in made if one.status == 409} == {"too_many_payout_methods"}
    assert await db.fetchval("SELECT count(*) FROM payout_method") == 5


async def test_a_method_can_be_deleted_by_its_member_alone(
    client: Client, other: Client, app: App
) -> None:
    asha, ben = await cash.person(client, app), await cash.person(client, app)
    stranger = await cash.person(other, app)
    path = f"{PATH}/{await cash.method(asha)}"
    for one in (ben, stranger):
        refused = await one.client.delete(path)
        assert (refused.status, refused.code) == (404, "payout_method_not_found")
    assert (await asha.client.delete(path)).status == 204
    assert (await asha.client.get(PATH)).body == {"data": []}
    assert (await asha.client.delete(path)).status == 404


async def test_operators_are_told_who_else_is_paid_there(
    client: Client, other: Client, app: App
) -> None:
    asha, ben = await cash.person(client, app), await cash.person(client, app)
    for one in (asha, ben, await cash.person(other, app)):
        await cash.method(one)
    path = f"/v1/members/{asha.id}/payout-methods"
    found = (await cash.operator(client, role="staff").get(path)).body["data"]
    assert [one["same_account"] for one in found] == [[ben.id]]
    assert (await cash.operator(other).get(path)).status == 404


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "cheque", "name": "Asha"},
        {**UPI, "vpa": "asha"},
        {**UPI, "name": ""},
        {**BANK, "ifsc": "HDFC"},
        {**BANK, "account_number": "12-34"},
        {**BANK, "vpa": "asha@okbank"},
    ],
)
async def test_where_nobody_can_be_paid_is_refused(client: Client, app: App, body: object) -> None:
    asha = await cash.person(client, app)
    refused = await asha.client.post(PATH, body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert (await asha.client.get(PATH)).body == {"data": []}


async def test_an_account_stands_nowhere_in_the_clear(client: Client, app: App, db: Db) -> None:
    asha = await cash.person(client, app)
    await cash.method(asha)
    await cash.method(asha, BANK)
    stored = [tuple(row) for row in await db.fetch("SELECT * FROM payout_method")]
    for secret in ("okbank", "50100012345678"):
        assert secret not in str(stored) + str(await written(db))
