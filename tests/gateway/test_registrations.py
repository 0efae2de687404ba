"""Signing up over HTTP, with the worker that sends the codes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Answer, Client, Db

ASHA = {"email": "asha@example.com", "password": people.PASSWORD, "name": "Asha"}


@pytest.fixture
def program_id(client: Client) -> str:
    return people.program(client)


@pytest.fixture
def anybody(client: Client, program_id: str) -> Client:
    """A caller without a credential, of the client's program."""
    return Client(client.session, client.url, {"Stampgate-Program": program_id})


async def confirm(anybody: Client, registration: str, code: str) -> Answer:
    body = {"registration_token": registration, "code": code}
    return await anybody.post("/v1/auth/register/confirm", body)


async def test_a_member_signs_up_and_is_in(
    anybody: Client, client: Client, app: App, db: Db, program_id: str
) -> None:
    asked = await anybody.post("/v1/auth/register", ASHA)
    assert asked.status == 202
    # Nobody is a member yet.
    assert (await client.get("/v1/members")).body["data"] == []
    assert (await people.log_in(client, program_id)).status == 401
    made = await confirm(anybody, asked.body["registration_token"], await postbox.code(app))
    assert made.status == 201
    me = (await people.holding(client, made.body).get("/v1/me")).body
    assert (me["name"], me["role"], me["has_password"]) == ("Asha", "member", True)
    assert me["contacts"][0]["verified_at"] is not None
    assert (await people.log_in(client, program_id)).status == 200
    award = {"member": me["id"], "kind": "points", "amount": 5}
    assert (await client.post("/v1/awards", award, Idempotency_Key="a")).status == 201


async def test_a_sign_up_is_confirmed_once(anybody: Client, app: App, db: Db) -> None:
    token = (await anybody.post("/v1/auth/register", ASHA)).body["registration_token"]
    code = await postbox.code(app)
    answers = await asyncio.gather(*(confirm(anybody, token, code) for _ in range(3)))
    assert sorted(answer.status for answer in answers) == [201, 404, 404]
    assert (await confirm(anybody, token, code)).code == "registration_not_found"


async def test_nobody_learns_whether_an_address_is_taken(
    anybody: Client, client: Client, app: App, db: Db
) -> None:
    await people.member(client, app)
    taken = await anybody.post("/v1/auth/register", ASHA)
    free = await anybody.post("/v1/auth/register", {**ASHA, "email": "bela@example.com"})
    assert taken.status == free.status == 202
    assert len(taken.body["registration_token"]) == len(free.body["registration_token"])
    assert {**taken.body, "registration_token": ""} == {**free.body, "registration_token": ""}
    sent = await postbox.letters(app)
    assert sorted(one.template for one in sent) == ["already_registered", "verify_contact"]
    wrong = [
        await confirm(anybody, one.body["registration_token"], "000000") for one in (taken, free)
    ]
    assert [answer.code for answer in wrong] == ["code_invalid"] * 2


async def test_signing_up_never_looks_whether_somebody_has_the_address(
    anybody: Client, db: Db
) -> None:
    """So the time that the answer takes cannot tell either."""
    for table in ("member_contact", "credential", "identity", "operator"):
        await db.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    assert (await anybody.post("/v1/auth/register", ASHA)).status == 202


async def test_nobody_prepares_an_account_for_somebody_else(
    anybody: Client, client: Client, app: App, db: Db, program_id: str
) -> None:
    """Pre-hijacking: the code that the owner gets confirms no sign-up but the owner's."""
    attacker = (
        await anybody.post("/v1/auth/register", {**ASHA, "password": "mine, all mine"})
    ).body
    await postbox.letters(app)
    await db.execute("UPDATE one_time_code SET asked_at = asked_at - interval '1 minute'")
    owner = (await anybody.post("/v1/auth/register", ASHA)).body
    code = await postbox.code(app)
    assert (await confirm(anybody, attacker["registration_token"], code)).code == "code_invalid"
    await db.execute("UPDATE one_time_code SET asked_at = asked_at - interval '1 minute'")
    owner = (await anybody.post("/v1/auth/register", ASHA)).body
    code = await postbox.code(app)
    assert (await confirm(anybody, owner["registration_token"], code)).status == 201
    assert (await people.log_in(client, program_id, password="mine, all mine")).status == 401


async def test_a_code_is_guessed_five_times_at_most(anybody: Client, app: App, db: Db) -> None:
    token = (await anybody.post("/v1/auth/register", ASHA)).body["registration_token"]
    code = await postbox.code(app)
    wrong = "000000" if code != "000000" else "000001"
    codes = [(await confirm(anybody, token, wrong)).code for _ in range(5)]
    assert codes == ["code_invalid"] * 5
    assert (await confirm(anybody, token, code)).status == 429


async def test_a_sign_up_of_another_program_is_not_found(
    anybody: Client, other: Client, app: App, db: Db
) -> None:
    token = (await anybody.post("/v1/auth/register", ASHA)).body["registration_token"]
    code = await postbox.code(app)
    elsewhere = Client(other.session, other.url, {"Stampgate-Program": people.program(other)})
    assert (await confirm(elsewhere, token, code)).code == "registration_not_found"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"password": "password123"}, "password_too_weak"),
        ({"password": "asha@example.com"}, "password_too_weak"),
        ({"email": None}, "invalid_request"),
        ({"role": "owner"}, "invalid_request"),
        ({"attributes": {}}, "invalid_request"),
    ],
)
async def test_a_bad_sign_up_is_refused(
    anybody: Client, change: dict[str, Any], code: str, db: Db
) -> None:
    assert (await anybody.post("/v1/auth/register", {**ASHA, **change})).code == code
    assert await db.fetchval("SELECT count(*) FROM registration") == 0


async def test_a_sign_up_is_stored_sealed(anybody: Client, db: Db) -> None:
    await anybody.post("/v1/auth/register", ASHA)
    row = await db.fetchrow("SELECT * FROM registration")
    assert row is not None
    assert b"asha" not in bytes(row["contact"]) + bytes(row["name"]).lower()
    assert row["password_hash"].startswith("$argon2id$")
