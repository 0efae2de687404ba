"""Signing in with a password: what is let in, and what nobody learns from a refusal."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import bcrypt
import msgspec
import pytest

from core import errors, passwords
from core.settings import Settings
from gateway.app import App
from gateway.hashing import Hashing
from tests.gateway import people, postbox
from tests.gateway.conftest import Answer, Client, Db, running

BCRYPT = bcrypt.hashpw(people.PASSWORD.encode(), bcrypt.gensalt(4)).decode()


@pytest.fixture
def program_id(client: Client) -> str:
    return people.program(client)


def said(answer: Answer) -> tuple[Any, ...]:
    """All that a client can tell two answers apart by."""
    varying = {"Request-Id", "Date"}
    headers = sorted((k, v) for k, v in answer.headers.items() if k not in varying)
    return answer.status, repr(answer.body), repr([h for h in headers if "RateLimit" not in h[0]])


async def test_a_member_signs_in_by_mail_or_phone(
    client: Client, app: App, program_id: str
) -> None:
    member_id = await people.member(client, app, phone="+919812345678")
    for body in (
        {"email": " ASHA@Example.com "},
        {"phone": "+91 98123 45678"},
    ):
        answer = await client.post(
            "/v1/auth/login",
            {**body, "password": people.PASSWORD},
            Authorization=None,
            Stampgate_Program=program_id,
        )
        assert answer.status == 200
        assert people.claims(answer.body["access_token"])["sub"] == member_id


async def test_an_operator_signs_in_with_what_the_role_may(
    client: Client, app: App, program_id: str
) -> None:
    await people.operator(app, program_id=program_id, role="staff")
    grant = (await people.log_in_operator(client)).body
    caller = people.holding(client, grant)
    assert (await caller.get("/v1/members")).status == 200
    refused = await caller.post("/v1/links", {})
    assert (refused.status, refused.code) == (403, "insufficient_scope")
    me = (await caller.get("/v1/me")).body
    assert (me["role"], me["program_id"]) == ("staff", program_id)


async def test_an_admin_is_of_no_program(client: Client, app: App) -> None:
    await people.operator(app, role="admin")
    grant = (await people.log_in_operator(client)).body
    assert people.claims(grant["access_token"])["role"] == "admin"
    assert "program" not in people.claims(grant["access_token"])


async def test_nobody_learns_from_a_refusal_whether_there_is_an_account(
    client: Client, app: App, program_id: str
) -> None:
    await people.member(client, app)
    await people.member(client, app, email="code@example.com", password=None)
    await people.operator(app, program_id=program_id)
    refusals = [
        await people.log_in(client, program_id, password="not the password"),
        await people.log_in(client, program_id, email="nobody@example.com"),
        await people.log_in(client, program_id, email="code@example.com"),
        await people.log_in_operator(client, password="not the password"),
        await people.log_in_operator(client, email="nobody@example.com"),
    ]
    assert {said(refusal) for refusal in refusals} == {said(refusals[0])}
    assert (refusals[0].status, refusals[0].code) == (401, "sign_in_refused")


async def test_a_member_is_nobody_in_another_program(
    client: Client, other: Client, app: App
) -> None:
    await people.member(client, app)
    assert (await people.log_in(client, people.program(other))).code == "sign_in_refused"


async def test_a_program_must_be_named(client: Client, program_id: str) -> None:
    body = {"email": "asha@example.com", "password": "x"}
    none = await client.post("/v1/auth/login", body, Authorization=None)
    assert (none.status, none.code) == (400, "bad_request")
    unknown = await people.log_in(client, program_id[:-1] + "0")
    assert (unknown.status, unknown.code) == (404, "program_not_found")


@pytest.mark.parametrize(
    "body",
    [
        {"email": "a@example.com", "phone": "+919812345678", "password": "x"},
        {"password": "x"},
        {"email": "a@example.com"},
        {"email": "a@example.com", "password": ""},
        {"email": "a@example.com", "password": "x" * 129},
        {"email": "a@example.com", "password": "x", "role": "admin"},
        {"email": "no address", "password": "x"},
        {"phone": "12", "password": "x"},
    ],
)
async def test_a_body_that_is_no_sign_in_is_refused(
    client: Client, program_id: str, body: dict[str, Any]
) -> None:
    answer = await client.post(
        "/v1/auth/login", body, Authorization=None, Stampgate_Program=program_id
    )
    assert (answer.status, answer.code) == (422, "invalid_request")


async def test_a_refusal_is_the_same_work_whether_or_not_there_is_an_account(
    app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    verify, work = passwords.verify, list[str]()

    def noted(stored: str, password: str) -> bool:
        # All but salt and digest: the kind and its costs.
        work.append(stored[:7] if passwords.is_imported(stored) else stored.rsplit("$", 2)[0])
        return verify(stored, password)

    monkeypatch.setattr(passwords, "verify", noted)
    for stored in (people.hashed(people.PASSWORD), BCRYPT, None):
        work.clear()
        assert not app.hashing._verify(stored, "not the password", BCRYPT)
        assert work == ["$argon2id$v=19$m=8,t=1,p=1", "$2b$04$"]


async def test_a_bcrypt_hash_from_an_import_lets_in_and_is_replaced(
    client: Client, app: App, program_id: str, db: Db, costly_passwords: None
) -> None:
    made = await client.post(
        "/v1/members", {"email": "asha@example.com", "password_hash": BCRYPT, "name": "Asha"}
    )
    assert made.status == 201
    assert "password_hash" not in made.body
    assert (await people.log_in(client, program_id, password="wrong")).status == 401
    assert (await people.log_in(client, program_id)).status == 200
    stored = await db.fetchval("SELECT password_hash FROM credential")
    assert stored.startswith("$argon2id$v=19$m=19456,t=2,p=1$")
    assert (await people.log_in(client, program_id)).status == 200


async def test_of_first_sign_ins_at_once_all_are_let_in(
    client: Client, app: App, program_id: str
) -> None:
    await people.member(client, app, password_hash=BCRYPT)
    answers = await asyncio.gather(*(people.log_in(client, program_id) for _ in range(4)))
    assert [answer.status for answer in answers] == [200] * 4


async def test_the_fifth_wrong_password_closes_the_account_for_a_while(
    client: Client, app: App, program_id: str
) -> None:
    await people.member(client, app)
    for _ in range(5):
        assert (await people.log_in(client, program_id, password="wrong")).status == 401
    refused = await people.log_in(client, program_id)
    assert (refused.status, refused.code) == (429, "rate_limited")
    assert int(refused.headers["Retry-After"]) > 0


async def test_who_fails_in_one_program_closes_no_account_in_another(
    client: Client, other: Client, app: App, settings: Settings, program_id: str
) -> None:
    theirs = people.program(other)
    for caller in (client, other):
        await people.member(caller, app)
    chosen = msgspec.structs.replace(settings, trusted_proxies="127.0.0.0/8")
    async with running(chosen) as (_, url):
        anybody = Client(client.session, url, {})
        for number in range(5):
            guesser = {"X_Forwarded_For": f"198.51.100.{number}"}
            refused = await people.log_in(anybody, theirs, password="wrong", **guesser)
            assert refused.status == 401
        statuses = [
            (await people.log_in(anybody, one, X_Forwarded_For="192.0.2.1")).status
            for one in (theirs, program_id)
        ]
    assert statuses == [429, 200]


async def test_more_passwords_than_can_wait_are_answered_503() -> None:
    hashing = Hashing(processes=1, pending_max=2)
    trials = [asyncio.create_task(hashing.verify(None, "x" * 20)) for _ in range(6)]
    done = await asyncio.gather(*trials, return_exceptions=True)
    assert [isinstance(one, errors.OverCapacity) for one in done] == [False] * 2 + [True] * 4
    assert not await hashing.verify(None, "room again")
    hashing.close()


@pytest.fixture
async def busy(app: App) -> AsyncIterator[None]:
    """A gateway whose hashing queue is full."""
    app.hashing._pending += app.hashing._pending_max
    yield
    app.hashing._pending -= app.hashing._pending_max


async def test_a_full_queue_is_told_over_http(
    client: Client, app: App, program_id: str, busy: None
) -> None:
    answer = await people.log_in(client, program_id)
    assert (answer.status, answer.code) == (503, "over_capacity")
    assert answer.headers["Retry-After"]


async def test_who_gives_up_waiting_leaves_the_queue_right() -> None:
    hashing = Hashing(processes=1, pending_max=4)
    gone = asyncio.create_task(hashing.verify(None, "x"))
    await asyncio.sleep(0)
    gone.cancel()
    assert not await hashing.verify(None, "y")
    await asyncio.sleep(0)
    assert hashing._pending == 0
    hashing.close()


async def test_a_changed_password_ends_the_other_sessions(
    client: Client, app: App, program_id: str
) -> None:
    await people.member(client, app)
    first = (await people.log_in(client, program_id)).body
    second = (await people.log_in(client, program_id)).body
    caller = people.holding(client, first)
    new = "another fine day"
    body = {"current_password": people.PASSWORD, "new_password": new}
    assert (await caller.post("/v1/auth/password/change", body)).status == 204
    assert (await people.holding(client, second).get("/v1/me")).code == "token_revoked"
    assert (await caller.get("/v1/me")).status == 200
    assert (await people.log_in(client, program_id)).status == 401
    assert (await people.log_in(client, program_id, password=new)).status == 200
    # Should it have been somebody else, the owner of the mailbox hears of it.
    assert [letter.template for letter in await postbox.letters(app)] == ["password_changed"]


async def test_a_password_changes_only_for_who_knows_it_and_to_a_good_one(
    client: Client, app: App, program_id: str
) -> None:
    await people.member(client, app)
    caller = people.holding(client, (await people.log_in(client, program_id)).body)
    for current, new, code in (
        ("wrong", "another fine day", "sign_in_refused"),
        (people.PASSWORD, "password123", "password_too_weak"),
        (people.PASSWORD, "short", "password_too_weak"),
        (people.PASSWORD, "Asha@Example.com", "password_too_weak"),
    ):
        body = {"current_password": current, "new_password": new}
        assert (await caller.post("/v1/auth/password/change", body)).code == code
    assert (await people.log_in(client, program_id)).status == 200


async def test_a_deleted_member_is_let_in_no_more(
    client: Client, app: App, program_id: str
) -> None:
    member_id = await people.member(client, app)
    grant = (await people.log_in(client, program_id)).body
    assert (await client.delete(f"/v1/members/{member_id}")).status == 204
    assert (await people.holding(client, grant).get("/v1/me")).code == "token_revoked"
    assert (await people.refresh(client, grant["refresh_token"])).code == "token_revoked"
    assert (await people.log_in(client, program_id)).status == 401
    # The address is free again.
    assert (await client.post("/v1/members", {"email": "asha@example.com"})).status == 201


async def test_a_contact_belongs_to_one_member(client: Client, app: App, other: Client) -> None:
    new = {"email": "asha@example.com"}
    assert (await client.post("/v1/members", new)).status == 201
    assert (await other.post("/v1/members", new)).status == 201
    again = await client.post("/v1/members", {"email": "Asha@EXAMPLE.com"})
    assert (again.status, again.code) == (409, "contact_taken")
    items = [new, {"email": "b@example.com"}, {"email": "b@example.com"}, {"phone": "+4930123456"}]
    bulk = await client.post("/v1/members/bulk", {"items": items})
    assert [item["status"] for item in bulk.body["data"]] == [409, 201, 409, 201]


async def test_contacts_and_passwords_are_not_stored_readably(
    client: Client, app: App, db: Db
) -> None:
    await people.member(client, app)
    row = await db.fetchrow("SELECT * FROM member_contact")
    assert row is not None
    assert b"asha" not in bytes(row["sealed"]) + bytes(row["hash"])
    assert people.PASSWORD not in str(await db.fetchval("SELECT password_hash FROM credential"))


async def test_people_change_their_name_and_nothing_else(
    client: Client, app: App, program_id: str
) -> None:
    await people.member(client, app)
    caller = people.holding(client, (await people.log_in(client, program_id)).body)
    assert (await caller.patch("/v1/me", {"name": "Asha Rao"})).body["name"] == "Asha Rao"
    for field in ("role", "program_id", "attributes", "external_id", "contacts", "id"):
        answer = await caller.patch("/v1/me", {field: "admin"})
        assert (answer.status, answer.code) == (422, "invalid_request")
    me = (await caller.get("/v1/me")).body
    assert me["contacts"][0]["address"] == "asha@example.com"
    assert me["has_password"] is True


async def test_signing_in_is_written_into_the_audit_log(
    client: Client, app: App, program_id: str, db: Db
) -> None:
    member_id = await people.member(client, app)
    await people.log_in(client, program_id, password="wrong")
    await people.log_in(client, program_id, email="nobody@example.com")
    await people.log_in(client, program_id)
    rows = await db.fetch(
        "SELECT action, actor, object_id, program_id FROM audit_entry"
        " WHERE action LIKE 'session.%' ORDER BY id"
    )
    assert [row["action"] for row in rows] == ["session.refuse", "session.refuse", "session.open"]
    assert [row["object_id"] for row in rows[:2]] == [member_id, ""]
    assert rows[2]["actor"] == member_id
    assert {row["program_id"] for row in rows} == {program_id}


def test_the_hash_is_what_owasp_names(costly_passwords: None) -> None:
    assert passwords.hashed("a fine day", bytes(16)).startswith("$argon2id$v=19$m=19456,t=2,p=1$")
