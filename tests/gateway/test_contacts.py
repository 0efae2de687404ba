"""A member's own contacts over HTTP: proved by a code, and taken only by whoever reads it."""

from __future__ import annotations

from typing import Any

import pytest

from core import codes
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Answer, Client, Db

EMAIL = "asha@example.com"
NEW_EMAIL = "asha@tea.example"
PHONE = "+919876543210"


@pytest.fixture
async def program_id(client: Client, app: App) -> str:
    return await people.program_of(app, await people.member(client, app))


@pytest.fixture
async def me(client: Client, program_id: str) -> Client:
    return people.holding(client, (await people.log_in(client, program_id)).body)


async def contacts(me: Client) -> dict[str, Any]:
    """Addresses by channel, those in brackets that are not verified."""
    found = (await me.get("/v1/me")).body["contacts"]
    return {
        one["channel"]: one["address"] if one["verified_at"] else f"({one['address']})"
        for one in found
    }


async def ask(me: Client, channel: str, address: str | None = None) -> Answer:
    body = {} if address is None else {"address": address}
    return await me.post(f"/v1/me/contacts/{channel}/verify", body)


async def confirm(me: Client, channel: str, code: str, address: str | None = None) -> Answer:
    body = {"code": code} if address is None else {"code": code, "address": address}
    return await me.post(f"/v1/me/contacts/{channel}/verify/confirm", body)


async def test_a_member_verifies_the_contact_that_the_program_noted(
    me: Client, app: App, db: Db
) -> None:
    await db.execute("UPDATE member_contact SET verified_at = NULL")
    assert await contacts(me) == {"email": f"({EMAIL})"}
    asked = await ask(me, "email")
    assert (asked.status, asked.body) == (202, {"expires_in": 300, "resend_after": 30})
    (letter,) = await postbox.letters(app)
    assert letter[:3] == ("verify_contact", "email", EMAIL)
    confirmed = await confirm(me, "email", letter.code)
    assert confirmed.status == 200
    assert (confirmed.body["channel"], confirmed.body["address"]) == ("email", EMAIL)
    assert await contacts(me) == {"email": EMAIL}
    assert len(await postbox.letters(app)) == 1


async def test_a_new_address_takes_the_place_of_the_old_one_once_it_is_proved(
    client: Client, me: Client, app: App, program_id: str
) -> None:
    await ask(me, "email", NEW_EMAIL.upper())
    (letter,) = await postbox.letters(app)
    assert letter.address == NEW_EMAIL
    assert await contacts(me) == {"email": EMAIL}
    wrong = await confirm(me, "email", postbox.wrong(letter.code), NEW_EMAIL)
    assert (wrong.status, wrong.code) == (422, "code_invalid")
    # The code is good for the address that it was sent to, and no other.
    elsewhere = await confirm(me, "email", letter.code)
    assert (elsewhere.status, elsewhere.code) == (422, "code_invalid")
    assert (await confirm(me, "email", letter.code, NEW_EMAIL)).status == 200
    assert await contacts(me) == {"email": NEW_EMAIL}
    # Should it not have been the member, the old address hears of it.
    told = [(one.template, one.address) for one in await postbox.letters(app)]
    assert told[1:] == [("contact_changed", EMAIL)]
    assert (await people.log_in(client, program_id, email=NEW_EMAIL)).status == 200
    assert (await people.log_in(client, program_id, email=EMAIL)).status == 401


async def test_a_phone_number_is_added(me: Client, app: App) -> None:
    await ask(me, "phone", "+91 98765 43210")
    (letter,) = await postbox.letters(app)
    assert letter[:3] == ("verify_contact", "sms", PHONE)
    assert (await confirm(me, "phone", letter.code, PHONE)).status == 200
    assert await contacts(me) == {"email": EMAIL, "phone": PHONE}
    # One signs in with it from now on: should it not be the member's, the member hears of it.
    told = [(one.template, one.address) for one in await postbox.letters(app)]
    assert told[1:] == [("sign_in_added", EMAIL)]


async def test_an_address_that_is_taken_says_so_to_its_reader_alone(
    client: Client, me: Client, app: App
) -> None:
    await people.member(client, app, email=NEW_EMAIL)
    free = await ask(me, "email", "free@example.com")
    taken = await ask(me, "email", NEW_EMAIL)
    assert (taken.status, taken.body) == (free.status, free.body)
    code = await postbox.code(app)
    refused = await confirm(me, "email", code, NEW_EMAIL)
    assert (refused.status, refused.code) == (409, "contact_taken")
    assert await contacts(me) == {"email": EMAIL}


async def test_another_members_code_gives_nobody_the_address(
    client: Client, me: Client, app: App, program_id: str
) -> None:
    """Who talks a member into reading out a code gets nothing for it."""
    await people.member(client, app, email="bela@example.com")
    grant = await people.log_in(client, program_id, email="bela@example.com")
    thief = people.holding(client, grant.body)
    await ask(me, "email", NEW_EMAIL)
    refused = await confirm(thief, "email", await postbox.code(app), NEW_EMAIL)
    assert (refused.status, refused.code) == (422, "code_invalid")
    assert await contacts(thief) == {"email": "bela@example.com"}


async def test_a_member_asks_for_ten_codes_an_hour_whatever_the_address(me: Client) -> None:
    answers = [
        await ask(me, "email", f"a{number}@example.com")
        for number in range(codes.SENDS_PER_PERSON + 1)
    ]
    assert [answer.status for answer in answers] == [202] * codes.SENDS_PER_PERSON + [429]


async def test_what_is_no_contact_is_refused(me: Client) -> None:
    none = await ask(me, "phone")
    assert (none.status, none.code) == (404, "contact_not_found")
    nowhere = await ask(me, "pigeon", "loft 3")
    assert (nowhere.status, nowhere.code) == (404, "not_found")
    for channel, address in (("email", PHONE), ("phone", EMAIL)):
        refused = await ask(me, channel, address)
        assert (refused.status, refused.code) == (422, "invalid_request")


async def test_operators_and_apps_have_no_such_contacts(
    client: Client, app: App, program_id: str
) -> None:
    await people.operator(app, program_id=program_id)
    operator = people.holding(client, (await people.log_in_operator(client)).body)
    for caller in (client, operator):
        refused = await ask(caller, "email", EMAIL)
        assert (refused.status, refused.code) == (403, "insufficient_scope")
