"""What nobody hands on: powers of operators, passwords of others, and admins who would let
themselves in."""

from __future__ import annotations

from typing import Any

import bcrypt
import pytest

from core import roles
from db import notifications
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import Answer, Client, Db, bearer, token
from tests.gateway.test_break_glass import admin

NEW = {"email": "sam@example.com", "name": "Sam", "role": "staff"}
OPERATORS = ["operators:read", "operators:write"]


@pytest.fixture
def program_id(client: Client) -> str:
    return people.program(client)


def holding(client: Client, program_id: str, *scopes: str) -> Client:
    return Client(client.session, client.url, bearer(token(program_id, scopes)))


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


async def test_a_key_makes_nobody_who_may_do_more(client: Client, program_id: str) -> None:
    weak = holding(client, program_id, *OPERATORS)
    as_staff = holding(client, program_id, *OPERATORS, *(roles.STAFF - roles.OPERATOR))
    for role in ("staff", "owner"):
        assert refusal(await weak.post("/v1/operators", {**NEW, "role": role})) == (
            403,
            "scope_not_yours",
        )
    made = await as_staff.post("/v1/operators", NEW)
    assert made.status == 201
    raised = await as_staff.patch(f"/v1/operators/{made.body['id']}", {"role": "owner"})
    assert refusal(raised) == (403, "scope_not_yours")


async def test_a_key_changes_nobody_who_may_do_more(
    client: Client, app: App, program_id: str
) -> None:
    weak = holding(client, program_id, *OPERATORS)
    await people.operator(app, program_id=program_id, email="a@example.com", password=None)
    owner = await people.operator(app, program_id=program_id, email="b@example.com", password=None)
    path = f"/v1/operators/{owner}"
    for answer in (
        await weak.patch(path, {"state": "suspended"}),
        await weak.patch(path, {"name": "X"}),
        await weak.delete(path),
        await weak.call("POST", f"{path}/invite"),
        await weak.delete(f"{path}/mfa/totp"),
    ):
        assert refusal(answer) == (403, "scope_not_yours")
    assert (await client.patch(path, {"state": "suspended"})).status == 200


async def test_an_admin_lets_nobody_into_a_program_that_has_an_owner(
    client: Client, app: App, program_id: str
) -> None:
    caller = admin(client)
    caller.headers["Stampgate-Program"] = program_id
    first = await caller.post("/v1/operators", {**NEW, "role": "owner"})
    assert first.status == 201
    # Whoever never came may have been misspelled.
    assert (await caller.post("/v1/operators", {**NEW, "email": "b@example.com"})).status == 201
    owner = await people.operator(app, program_id=program_id)
    staff = await people.operator(app, program_id=program_id, role="staff", email="s@example.com")
    refused = await caller.post("/v1/operators", {**NEW, "email": "c@example.com"})
    assert refusal(refused) == (403, "forbidden")
    raised = await caller.patch(f"/v1/operators/{staff}", {"role": "owner"})
    assert refusal(raised) == (403, "forbidden")
    # What lets nobody in is an admin's to do.
    assert (await caller.patch(f"/v1/operators/{staff}", {"state": "suspended"})).status == 200
    assert (await caller.patch(f"/v1/operators/{owner}", {"name": "Olga K"})).status == 200


def test_nothing_that_outlasts_the_hour_is_behind_the_glass() -> None:
    lasting = {"keys:write", "operators:write", "webhooks:write", "platform:admin", "self", "me"}
    assert not roles.BREAK_GLASS & lasting


async def test_staff_leave_alone_how_members_sign_in(
    client: Client, app: App, program_id: str
) -> None:
    await people.operator(app, program_id=program_id, role="staff")
    staff = people.holding(client, (await people.log_in_operator(client)).body)
    member = (await staff.post("/v1/members", {"name": "Asha", "email": "a@example.com"})).body
    reset = await staff.delete(f"/v1/members/{member['id']}/mfa/totp")
    assert refusal(reset) == (403, "insufficient_scope")
    known = bcrypt.hashpw(people.PASSWORD.encode(), bcrypt.gensalt(4)).decode()
    with_password = {"email": "b@example.com", "password_hash": known}
    assert refusal(await staff.post("/v1/members", with_password)) == (403, "insufficient_scope")
    bulk = await staff.post("/v1/members/bulk", {"items": [with_password, {"name": "Ben"}]})
    assert [one["status"] for one in bulk.body["data"]] == [403, 201]
    assert (await people.log_in(client, program_id, email="b@example.com")).status == 401
    assert (await client.post("/v1/members", with_password)).status == 201


async def test_tests_of_texts_are_few(
    client: Client, other: Client, db: Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notifications, "TESTS_PER_HOUR", 2)
    path, body = "/v1/templates/password_changed/email/en/test-send", {"to": "a@example.com"}

    async def statuses(caller: Client) -> list[Any]:
        return [(await caller.post(path, body)).status for _ in range(3)]

    assert await statuses(client) == [202, 202, 429]
    assert await statuses(other) == [202, 202, 429]
    assert await db.fetchval("SELECT count(*) FROM notification") == 4
    await db.execute("UPDATE notification SET created_at = now() - interval '61 minutes'")
    assert await statuses(client) == [202, 202, 429]
