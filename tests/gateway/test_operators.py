"""Operators over HTTP: invited, changed, suspended; and what nobody may do to themselves."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from core import fields
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import Client, Db

NEW = {"email": "sam@example.com", "name": "Sam", "role": "staff"}


@pytest.fixture
def program_id(client: Client) -> str:
    return people.program(client)


@pytest.fixture
async def owner(client: Client, app: App, program_id: str) -> Client:
    """The signed-in owner of the client's program."""
    await people.operator(app, program_id=program_id)
    return people.holding(client, (await people.log_in_operator(client)).body)


@pytest.fixture
def owner_id(owner: Client) -> str:
    return str(people.claims(owner.headers["Authorization"])["sub"])


async def invitation(app: App, db: Db) -> dict[str, Any]:
    """What the newest invitation says."""
    row = await db.fetchrow("SELECT id, variables FROM notification ORDER BY id DESC LIMIT 1")
    assert row is not None
    text = fields.unseal(app.ring, row["variables"], f"notification.variables:{row['id']}")
    said: dict[str, Any] = msgspec.json.decode(text)
    return said


async def accept(client: Client, code: str, password: str = people.PASSWORD) -> Any:
    return await client.post(
        "/v1/auth/operators/accept", {"code": code, "password": password}, Authorization=None
    )


async def test_an_invited_operator_chooses_a_password_and_is_in(
    client: Client, owner: Client, app: App, db: Db
) -> None:
    made = await owner.post("/v1/operators", NEW)
    assert made.status == 201
    assert (made.body["email"], made.body["has_password"]) == ("sam@example.com", False)
    assert (await people.log_in_operator(client, email="sam@example.com")).status == 401
    said = await invitation(app, db)
    assert said["hours"] == 72
    for text in ("password123", "Sam@Example.com"):
        weak = await accept(client, said["code"], text)
        assert weak.code == "password_too_weak"
    grant = await accept(client, said["code"])
    assert grant.status == 200
    assert (await people.holding(client, grant.body).get("/v1/me")).body["name"] == "Sam"
    assert (await people.log_in_operator(client, email="sam@example.com")).status == 200
    again = await accept(client, said["code"])
    assert (again.status, again.code) == (404, "invitation_not_found")


async def test_a_second_invitation_voids_the_first(
    client: Client, owner: Client, app: App, db: Db
) -> None:
    operator_id = (await owner.post("/v1/operators", NEW)).body["id"]
    first = (await invitation(app, db))["code"]
    assert (await owner.call("POST", f"/v1/operators/{operator_id}/invite")).status == 204
    second = (await invitation(app, db))["code"]
    assert (await accept(client, first)).status == 404
    assert (await accept(client, second)).status == 200
    late = await owner.call("POST", f"/v1/operators/{operator_id}/invite")
    assert (late.status, late.code) == (409, "conflict")


async def test_an_invitation_expires(client: Client, owner: Client, app: App, db: Db) -> None:
    await owner.post("/v1/operators", NEW)
    await db.execute("UPDATE invitation SET expires_at = now()")
    assert (await accept(client, (await invitation(app, db))["code"])).status == 404


async def test_a_mail_address_belongs_to_one_operator(owner: Client) -> None:
    assert (await owner.post("/v1/operators", NEW)).status == 201
    again = await owner.post("/v1/operators", {**NEW, "email": "SAM@example.com"})
    assert (again.status, again.code) == (409, "contact_taken")


async def test_an_owner_makes_no_admin(owner: Client, staff: Client) -> None:
    refused = await owner.post("/v1/operators", {**NEW, "role": "admin"})
    assert (refused.status, refused.code) == (422, "invalid_request")
    for role in ("staff", "owner"):
        assert (await staff.post("/v1/operators", {**NEW, "role": role})).status == 422
    assert (await staff.post("/v1/operators", {**NEW, "role": "admin"})).status == 201


async def test_operators_are_those_of_the_program(
    owner: Client, other: Client, staff: Client, owner_id: str
) -> None:
    assert [one["id"] for one in (await owner.get("/v1/operators")).body["data"]] == [owner_id]
    assert (await other.get("/v1/operators")).body["data"] == []
    assert (await staff.get("/v1/operators")).body["data"] == []
    path = f"/v1/operators/{owner_id}"
    for caller in (other, staff):
        for answer in (
            await caller.get(path),
            await caller.patch(path, {"name": "X"}),
            await caller.delete(path),
        ):
            assert (answer.status, answer.code) == (404, "operator_not_found")


async def test_a_suspended_operator_is_out_at_once(
    client: Client, owner: Client, app: App, program_id: str
) -> None:
    sam = await people.operator(app, program_id=program_id, role="staff", email="sam@example.com")
    grant = (await people.log_in_operator(client, email="sam@example.com")).body
    changed = await owner.patch(f"/v1/operators/{sam}", {"state": "suspended"})
    assert changed.body["state"] == "suspended"
    assert (await people.holding(client, grant).get("/v1/me")).code == "token_revoked"
    assert (await people.refresh(client, grant["refresh_token"])).code == "token_revoked"
    assert (await people.log_in_operator(client, email="sam@example.com")).status == 401
    await owner.patch(f"/v1/operators/{sam}", {"state": "active"})
    assert (await people.log_in_operator(client, email="sam@example.com")).status == 200


async def test_a_deleted_operator_is_out_at_once(
    client: Client, owner: Client, app: App, program_id: str
) -> None:
    sam = await people.operator(app, program_id=program_id, role="staff", email="sam@example.com")
    grant = (await people.log_in_operator(client, email="sam@example.com")).body
    assert (await owner.delete(f"/v1/operators/{sam}")).status == 204
    assert (await people.holding(client, grant).get("/v1/me")).code == "token_revoked"
    assert (await people.log_in_operator(client, email="sam@example.com")).status == 401
    assert (await owner.get(f"/v1/operators/{sam}")).status == 404


async def test_another_role_asks_for_another_sign_in(
    client: Client, owner: Client, app: App, program_id: str
) -> None:
    sam = await people.operator(app, program_id=program_id, email="sam@example.com")
    grant = (await people.log_in_operator(client, email="sam@example.com")).body
    await owner.patch(f"/v1/operators/{sam}", {"role": "staff"})
    assert (await people.holding(client, grant).get("/v1/operators")).code == "token_revoked"
    again = (await people.log_in_operator(client, email="sam@example.com")).body
    assert (await people.holding(client, again).get("/v1/operators")).status == 403


@pytest.mark.parametrize("change", [{"role": "staff"}, {"state": "suspended"}])
async def test_nobody_changes_what_they_are_or_deletes_themselves(
    owner: Client, owner_id: str, change: dict[str, str]
) -> None:
    path = f"/v1/operators/{owner_id}"
    assert (await owner.patch(path, change)).code == "conflict"
    assert (await owner.delete(path)).code == "conflict"
    assert (await owner.patch(path, {"name": "Olga K"})).body["name"] == "Olga K"


async def test_a_program_keeps_an_owner(
    client: Client, owner: Client, app: App, owner_id: str, program_id: str
) -> None:
    path = f"/v1/operators/{owner_id}"
    for answer in (
        await client.patch(path, {"role": "staff"}),
        await client.patch(path, {"state": "suspended"}),
        await client.delete(path),
    ):
        assert (answer.status, answer.code) == (409, "last_owner")
    second = await people.operator(app, program_id=program_id, email="b@example.com")
    answers = await asyncio.gather(
        client.delete(path), client.patch(f"/v1/operators/{second}", {"state": "suspended"})
    )
    assert sorted(answer.status for answer in answers) in ([200, 409], [204, 409])


async def test_names_and_addresses_of_operators_are_sealed(owner: Client, db: Db) -> None:
    row = await db.fetchrow("SELECT * FROM operator")
    assert row is not None
    assert b"owner@" not in bytes(row["email"])
    assert b"Olga" not in bytes(row["name"])
