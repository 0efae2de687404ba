"""Whose account it is that a person is let into."""

from __future__ import annotations

from typing import Any

import aiohttp
import pyotp
import pytest

from core.providers.social import flow
from tests.gateway.conftest import Client, Db, Enter, bearer, token
from tests.gateway.social.browsers import Browser
from tests.gateway.social.conftest import (
    KINDS,
    Begin,
    identities_of,
    listed,
    subject_of,
)
from tests.gateway.test_mfa import Phone
from tests.providers.google import Google
from tests.providers.server import Server


@pytest.mark.parametrize("provider", KINDS)
async def test_a_person_signs_in_and_is_the_same_member_again(begin: Begin, provider: str) -> None:
    member = await begin(provider).member()
    assert await identities_of(member) == [provider]
    again = await begin(provider).member()
    assert await subject_of(again) == await subject_of(member)


async def test_a_new_member_has_an_account_and_the_name_and_mail_of_the_provider(
    begin: Begin, program: str, session: aiohttp.ClientSession, browser: Browser
) -> None:
    member = await begin().member()
    me = (await member.get("/v1/me")).body
    assert (me["name"], me["role"], me["program_id"]) == ("Asha Rao", "member", program)
    (contact,) = me["contacts"]
    assert (contact["address"], contact["channel"]) == ("asha@example.test", "email")
    assert contact["verified_at"] is not None
    app = Client(session, browser.gateway, bearer(token(program)))
    award = {"member": me["id"], "kind": "points", "amount": 5}
    assert (await app.post("/v1/awards", award, Idempotency_Key="a")).status == 201


async def test_an_answer_with_tokens_is_kept_by_nobody(begin: Begin) -> None:
    attempt = begin()
    answer = await attempt.redeem(await attempt.code())
    assert answer.headers["Cache-Control"] == "no-store"
    assert set(answer.body) >= {"access_token", "refresh_token", "token_type", "expires_in"}


async def test_who_has_an_authenticator_app_does_not_get_past_it(begin: Begin) -> None:
    member = await begin().member()
    secret = (await member.post("/v1/auth/mfa/totp/enroll", None)).body["secret"]
    code = pyotp.TOTP(secret).now()
    assert (await member.post("/v1/auth/mfa/totp/verify", {"code": code})).status == 200
    attempt = begin()
    answer = await attempt.redeem(await attempt.code())
    assert answer.status == 200
    assert answer.body["outcome"] == "second_factor"
    assert "access_token" not in answer.body


async def test_our_code_is_good_once(begin: Begin) -> None:
    attempt = begin()
    code = await attempt.code()
    assert (await attempt.redeem(code)).status == 200
    again = await attempt.redeem(code)
    assert (again.status, again.code) == (400, "sign_in_code_invalid")


async def test_our_code_needs_the_verifier_of_the_app(begin: Begin) -> None:
    attempt = begin()
    code = await attempt.code()
    stolen = await attempt.redeem(code, code_verifier=flow.secret(b"x" * 32))
    assert (stolen.status, stolen.code) == (400, "sign_in_code_invalid")
    assert (await attempt.redeem(code)).code == "sign_in_code_invalid"


async def test_our_code_is_good_in_its_program(begin: Begin, enter: Enter, staff: Client) -> None:
    await enter()
    other = await listed(staff)
    attempt = begin()
    refused = await attempt.redeem(await attempt.code(), program=other)
    assert (refused.status, refused.code) == (400, "sign_in_code_invalid")


async def test_the_program_is_named_in_the_header(begin: Begin) -> None:
    code = flow.secret(b"x" * 32)
    missing = await begin().redeem(code, program=None)
    assert (missing.status, missing.code) == (400, "bad_request")
    unknown = await begin().redeem(code, program="prg_nothing")
    assert (unknown.status, unknown.code) == (404, "program_not_found")


async def test_a_body_of_another_shape_is_refused(begin: Begin) -> None:
    for changes in ({"code": "short"}, {"code_verifier": "short"}, {"program_id": "prg_x"}):
        answer = await begin().redeem(**{"code": flow.secret(b"x" * 32), **changes})
        assert (answer.status, answer.code) == (422, "invalid_request")


async def test_a_code_that_nobody_gave_is_refused(begin: Begin) -> None:
    answer = await begin().redeem(flow.secret(b"x" * 32))
    assert (answer.status, answer.code) == (400, "sign_in_code_invalid")


async def test_the_same_person_in_two_programs_is_two_members(
    begin: Begin, enter: Enter, staff: Client
) -> None:
    await enter()
    there = await begin(program_id=await listed(staff)).member()
    here = await begin().member()
    assert await subject_of(here) != await subject_of(there)


async def test_a_mail_address_verified_on_both_sides_is_one_member(
    begin: Begin, google: Google, theirs: dict[str, Server], db: Db
) -> None:
    member = await begin("facebook").member()
    assert (await member.get("/v1/me")).body["contacts"] == []
    first = await begin().member()
    await db.execute("DELETE FROM identity WHERE provider = 'google'")
    google.person.id = "another-subject"
    again = await begin().member()
    assert await subject_of(again) == await subject_of(first)
    assert await subject_of(member) != await subject_of(first)
    told = await db.fetch("SELECT template, recipient_id FROM notification")
    assert [tuple(row) for row in told] == [("sign_in_added", await subject_of(first))]


@pytest.mark.parametrize("provider", ["spotify", "facebook"])
async def test_a_mail_address_that_the_provider_has_not_verified_opens_no_account(
    begin: Begin, provider: str
) -> None:
    await begin().member()
    attempt = begin(provider)
    refused = await attempt.redeem(await attempt.code())
    assert (refused.status, refused.code) == (409, "mail_taken")


async def test_a_mail_address_that_is_not_verified_here_is_not_handed_over(
    begin: Begin, db: Db
) -> None:
    await begin().member()
    await db.execute("UPDATE member_contact SET verified_at = NULL")
    await db.execute("DELETE FROM identity")
    attempt = begin()
    refused = await attempt.redeem(await attempt.code())
    assert (refused.status, refused.code) == (409, "mail_taken")
    assert await db.fetchval("SELECT count(*) FROM identity") == 0


async def test_a_deleted_member_comes_back_as_a_new_one(
    begin: Begin, program: str, session: aiohttp.ClientSession, browser: Browser
) -> None:
    first = await subject_of(await begin("facebook").member())
    app = Client(session, browser.gateway, bearer(token(program)))
    assert (await app.delete(f"/v1/members/{first}")).status == 204
    assert await subject_of(await begin("facebook").member()) != first


async def test_a_refresh_token_of_the_provider_is_kept_sealed(
    begin: Begin, theirs: dict[str, Server], db: Db
) -> None:
    await begin("spotify").member()
    (refresh_token,) = theirs["spotify"].refresh_tokens
    row = await db.fetchrow("SELECT * FROM identity")
    assert row is not None
    assert row["refresh_token"] is not None
    assert refresh_token not in str(dict(row))


async def test_a_member_with_an_authenticator_app_is_asked_for_its_code(
    begin: Begin, gateway: tuple[Any, str]
) -> None:
    member = await begin().member()
    enrolled = (await member.post("/v1/auth/mfa/totp/enroll", None)).body
    phone = Phone(gateway[0], enrolled["secret"])
    confirmed = await member.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    assert confirmed.status == 200
    attempt = begin()
    asked = await attempt.redeem(await attempt.code())
    assert (asked.status, asked.body["outcome"]) == (200, "second_factor")
    assert "access_token" not in asked.body
    body = {"mfa_token": asked.body["mfa_token"], "code": phone.code()}
    granted = await member.post("/v1/auth/mfa", body, Authorization=None)
    assert (granted.status, granted.body["outcome"]) == (200, "granted")
