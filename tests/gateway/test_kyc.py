"""Who a member is: handed in, looked at, decided, and never shown in full."""

from __future__ import annotations

import pytest

from gateway.app import App
from tests.gateway import cash
from tests.gateway.cash import PAN
from tests.gateway.conftest import Client, Db
from tests.gateway.test_auditing import written


async def test_nothing_was_handed_in_at_first(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    found = await asha.client.get("/v1/kyc")
    assert (found.body["state"], found.body["number"]) == ("missing", None)
    path = f"/v1/members/{asha.id}/kyc"
    assert (await cash.operator(client).get(path)).body["state"] == "missing"
    refused = await cash.operator(client).post(f"{path}/verify", {"version": 1})
    assert (refused.status, refused.code) == (404, "kyc_not_found")


async def test_a_document_is_handed_in_and_verified(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    put = await asha.client.put("/v1/kyc", PAN)
    assert put.body["state"] == "submitted"
    assert (put.body["number"], put.body["name"]) == ("••••234F", "Asha Verma")
    path = f"/v1/members/{asha.id}/kyc"
    done = await cash.operator(client).post(f"{path}/verify", {"version": 1})
    assert (done.body["state"], done.body["same_document"]) == ("verified", [])
    # Whoever looked at it before that has not seen that it was decided.
    body = {"version": 1, "reason": "It is forged."}
    assert (await cash.operator(client, 2).post(f"{path}/reject", body)).code == "conflict"
    assert (await asha.client.get("/v1/kyc")).body["state"] == "verified"


async def test_the_member_is_told_why_not_and_hands_in_another(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    await asha.client.put("/v1/kyc", PAN)
    path = f"/v1/members/{asha.id}/kyc/reject"
    body = {"version": 1, "reason": "The name is another one."}
    assert (await cash.operator(client).post(path, body)).body["state"] == "rejected"
    assert (await asha.client.get("/v1/kyc")).body["reason"] == "The name is another one."
    again = await asha.client.put("/v1/kyc", {**PAN, "number": "ABCPE9999F"})
    assert (again.body["state"], again.body["reason"]) == ("submitted", None)


async def test_what_is_verified_stays_so_until_it_is_another_document(
    client: Client, app: App
) -> None:
    asha = await cash.person(client, app)
    await cash.verified(client, asha)
    assert (await asha.client.put("/v1/kyc", PAN)).body["state"] == "verified"
    changed = await asha.client.put("/v1/kyc", {**PAN, "name": "Ben Kapoor"})
    assert changed.body["state"] == "submitted"


async def test_what_was_changed_since_is_not_verified_by_mistake(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    await asha.client.put("/v1/kyc", PAN)
    await asha.client.put("/v1/kyc", {**PAN, "number": "ABCPE9999F"})
    path = f"/v1/members/{asha.id}/kyc/verify"
    refused = await cash.operator(client).post(path, {"version": 1})
    assert (refused.status, refused.code) == (409, "conflict")
    assert (await asha.client.get("/v1/kyc")).body["state"] == "submitted"


async def test_a_review_that_is_sent_again_is_told_what_was_decided(
    client: Client, app: App
) -> None:
    asha = await cash.person(client, app)
    await asha.client.put("/v1/kyc", PAN)
    path = f"/v1/members/{asha.id}/kyc/verify"
    assert (await cash.operator(client).post(path, {"version": 1})).status == 200
    again = await cash.operator(client).post(path, {"version": 1})
    assert (again.status, again.code) == (409, "conflict")
    assert again.body["detail"].startswith("This version was reviewed, and is verified")
    await asha.client.put("/v1/kyc", {**PAN, "number": "ABCPE9999F"})
    since = await cash.operator(client).post(path, {"version": 2})
    assert since.body["detail"] == "The present version is 3: look at it first."


async def test_operators_are_told_who_else_has_the_document(
    client: Client, other: Client, app: App
) -> None:
    asha, ben = await cash.person(client, app), await cash.person(client, app)
    stranger = await cash.person(other, app)
    for one in (asha, ben, stranger):
        await one.client.put("/v1/kyc", PAN)
    found = await cash.operator(client).get(f"/v1/members/{asha.id}/kyc")
    assert found.body["same_document"] == [ben.id]
    assert "same_document" not in (await asha.client.get("/v1/kyc")).body


@pytest.mark.parametrize(
    "body",
    [
        {},
        {"kind": "pan", "number": "1234567890", "name": "Asha"},
        {**PAN, "country": "in"},
        {**PAN, "country": "DE"},
        {**PAN, "name": ""},
        {**PAN, "state": "verified"},
        {**PAN, "kind": "library_card"},
    ],
)
async def test_what_is_no_document_is_refused(client: Client, app: App, body: object) -> None:
    asha = await cash.person(client, app)
    refused = await asha.client.put("/v1/kyc", body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert (await asha.client.get("/v1/kyc")).body["state"] == "missing"


async def test_staff_may_look_and_not_decide(client: Client, app: App) -> None:
    asha = await cash.person(client, app)
    await asha.client.put("/v1/kyc", PAN)
    staff = cash.operator(client, role="staff")
    path = f"/v1/members/{asha.id}/kyc"
    assert (await staff.get(path)).status == 200
    assert (await staff.post(f"{path}/verify", {"version": 1})).status == 403


async def test_the_number_stands_nowhere_in_the_clear(client: Client, app: App, db: Db) -> None:
    asha = await cash.person(client, app)
    await cash.verified(client, asha)
    stored = str([tuple(row) for row in await db.fetch("SELECT * FROM kyc")])
    assert "ABCPE1234F" not in stored + str(await written(db))
    assert [one["action"] for one in await written(db)][-2:] == ["kyc.submit", "kyc.verify"]


async def test_another_programs_operator_finds_nobody(
    client: Client, other: Client, app: App
) -> None:
    asha = await cash.person(client, app)
    await asha.client.put("/v1/kyc", PAN)
    path = f"/v1/members/{asha.id}/kyc"
    assert (await cash.operator(other).get(path)).status == 404
    assert (await cash.operator(other).post(f"{path}/verify", {"version": 1})).status == 404
