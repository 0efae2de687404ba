"""Setting a password with a code over HTTP, and the codes of operators."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pytest

from core import sessions as core_sessions
from core.settings import Settings
from db import mfa, sessions
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Answer, Client, Db
from tests.gateway.test_answers import WAITING
from tests.gateway.test_mfa import TOKEN_INVALID, Phone, complete

EMAIL = "asha@example.com"
NEW_PASSWORD = "quite another fine day"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without the bound on failed sign-ins, so that the bounds of codes themselves show."""
    return msgspec.structs.replace(settings, sign_in_failures_max=1_000)


@pytest.fixture
async def member_id(client: Client, app: App) -> str:
    return await people.member(client, app)


@pytest.fixture
async def program_id(app: App, member_id: str) -> str:
    return await people.program_of(app, member_id)


@pytest.fixture
def anyone(client: Client, program_id: str) -> Client:
    """Somebody without a credential who names the program."""
    return Client(client.session, client.url, {"Stampgate-Program": program_id})


async def reset(anyone: Client, code: str, email: str = EMAIL) -> Answer:
    body = {"email": email, "code": code, "new_password": NEW_PASSWORD}
    return await anyone.post("/v1/auth/password/reset/confirm", body)


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


CODE_INVALID = (422, "code_invalid")


async def test_a_password_is_set_with_a_code_and_all_sessions_end(
    client: Client, anyone: Client, app: App, db: Db, program_id: str, member_id: str
) -> None:
    before = await people.log_in(client, program_id)
    assert (await anyone.post("/v1/auth/password/reset", {"email": EMAIL})).status == 202
    (letter,) = await postbox.letters(app)
    assert letter.template == "reset_password"
    assert refusal(await reset(anyone, postbox.wrong(letter.code))) == CODE_INVALID
    assert (await people.log_in(client, program_id)).status == 200
    assert (await reset(anyone, letter.code)).status == 204
    assert (await people.log_in(client, program_id)).status == 401
    assert (await people.log_in(client, program_id, password=NEW_PASSWORD)).status == 200
    assert (await people.refresh(client, before.body["refresh_token"])).code == "token_revoked"
    # A stolen access token goes with it, before its fifteen minutes are over.
    assert (await people.holding(client, before.body).get("/v1/me")).code == "token_revoked"
    assert (await postbox.letters(app))[-1].template == "password_changed"
    written = await db.fetchrow("SELECT * FROM audit_entry WHERE action = 'password.reset'")
    assert written is not None
    assert (written["program_id"], written["object_id"]) == (program_id, member_id)
    assert refusal(await reset(anyone, letter.code)) == CODE_INVALID


@pytest.mark.parametrize("end", ["change", "reset", "logout-everywhere"])
async def test_a_sign_in_that_waits_for_its_second_factor_ends_with_the_first(
    client: Client, anyone: Client, app: App, program_id: str, member_id: str, end: str
) -> None:
    """Who knew the password, and gets at a code of the app a minute too late."""
    me = people.holding(client, (await people.log_in(client, program_id)).body)
    phone = Phone(app, (await me.post("/v1/auth/mfa/totp/enroll", None)).body["secret"])
    await me.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    waiting = (await people.log_in(client, program_id)).body["mfa_token"]
    assert (await ended(end, me, anyone, app)).status == 204
    assert refusal(await complete(client, waiting, phone.code())) == TOKEN_INVALID


async def ended(end: str, me: Client, anyone: Client, app: App) -> Answer:
    """The answer to whoever ends what was begun with the password."""
    if end == "change":
        body = {"current_password": people.PASSWORD, "new_password": NEW_PASSWORD}
        return await me.post("/v1/auth/password/change", body)
    if end == "reset":
        await anyone.post("/v1/auth/password/reset", {"email": EMAIL})
        return await reset(anyone, await postbox.code(app))
    return await me.post("/v1/auth/logout-everywhere", None)


@pytest.mark.parametrize("end", ["change", "reset", "logout-everywhere"])
async def test_a_sign_in_that_is_just_being_completed_ends_with_the_first_factor_too(
    client: Client, anyone: Client, app: App, db: Db, program_id: str, member_id: str, end: str
) -> None:
    """Its second factor was right, and its session is not stored yet."""
    me = people.holding(client, (await people.log_in(client, program_id)).body)
    phone = Phone(app, (await me.post("/v1/auth/mfa/totp/enroll", None)).body["secret"])
    await me.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    waiting = (await people.log_in(client, program_id)).body["mfa_token"]
    refresh = core_sessions.begin(app.new_id("session"), bytes(48))
    opening = sessions.Opening(
        subject_id=member_id,
        is_member=True,
        has_second_factor=True,
        refresh=refresh,
        user_agent="",
        address=None,
    )
    async with app.transaction() as completing:
        code, now_ms = phone.code(), app.now_ms()
        assert await mfa.answer(completing, app.ring, waiting, code, now_ms) == member_id
        ending = asyncio.create_task(ended(end, me, anyone, app))
        async with asyncio.timeout(10):
            while not await db.fetchval(WAITING):
                await db.execute("SELECT pg_sleep(0.01)")
        await sessions.open(completing, opening, app.lifetimes)
    assert (await ending).status == 204
    gone = await people.refresh(client, core_sessions.dump(refresh))
    assert refusal(gone) == (401, "token_revoked")


async def test_a_weak_password_costs_no_try(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    await anyone.post("/v1/auth/password/reset", {"email": EMAIL})
    code = await postbox.code(app)
    for weak in ("password", "short", EMAIL):
        body = {"email": EMAIL, "code": code, "new_password": weak}
        answer = await anyone.post("/v1/auth/password/reset/confirm", body)
        assert refusal(answer) == (422, "password_too_weak")
    assert await db.fetchval("SELECT wrong FROM one_time_code") == 0
    assert (await reset(anyone, code)).status == 204


async def test_a_member_without_a_password_gets_one(
    client: Client, anyone: Client, app: App, program_id: str, member_id: str
) -> None:
    email = "bela@example.com"
    await people.member(client, app, email=email, password=None)
    await anyone.post("/v1/auth/password/reset", {"email": email})
    assert (await reset(anyone, await postbox.code(app), email=email)).status == 204
    answer = await people.log_in(client, program_id, email=email, password=NEW_PASSWORD)
    assert answer.status == 200


@pytest.mark.parametrize("role", ["owner", "admin"])
async def test_operators_sign_in_and_set_passwords_with_codes(
    anyone: Client, app: App, program_id: str, member_id: str, role: Any
) -> None:
    home = None if role == "admin" else program_id
    await people.operator(app, role=role, program_id=home)
    email = {"email": "owner@example.com"}
    assert (await anyone.post("/v1/auth/operators/otp/send", email)).status == 202
    code = await postbox.code(app)
    answer = await anyone.post("/v1/auth/operators/otp/verify", {**email, "code": code})
    assert people.claims(answer.body["access_token"])["role"] == role
    assert (await anyone.post("/v1/auth/operators/password/reset", email)).status == 202
    wanted = {**email, "code": await postbox.code(app), "new_password": NEW_PASSWORD}
    done = await anyone.post("/v1/auth/operators/password/reset/confirm", wanted)
    assert done.status == 204
    assert (await people.log_in_operator(anyone)).status == 401
    assert (await people.log_in_operator(anyone, password=NEW_PASSWORD)).status == 200


async def test_a_suspended_operator_is_sent_no_code(
    anyone: Client, app: App, db: Db, program_id: str, member_id: str
) -> None:
    await people.operator(app, program_id=program_id)
    await db.execute("UPDATE operator SET state = 'suspended'")
    await anyone.post("/v1/auth/operators/otp/send", {"email": "owner@example.com"})
    assert await postbox.letters(app) == []


async def test_an_operators_code_is_no_members(
    anyone: Client, app: App, program_id: str, member_id: str
) -> None:
    await people.operator(app, program_id=program_id, email=EMAIL)
    await anyone.post("/v1/auth/operators/otp/send", {"email": EMAIL})
    code = await postbox.code(app)
    used = await anyone.post("/v1/auth/otp/verify", {"email": EMAIL, "code": code})
    assert refusal(used) == CODE_INVALID
