"""One-time codes over HTTP: signing in, setting a password, and what the answers do not tell."""

from __future__ import annotations

import asyncio
import logging
import re
from typing import Any

import msgspec
import pytest

from core import codes
from core.settings import Settings
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Answer, Client, Db, running
from web import logs

EMAIL = "asha@example.com"
PHONE = "+919876543210"
NEW_PASSWORD = "quite another fine day"


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without the bound on failed sign-ins, so that the bounds of codes themselves show."""
    return msgspec.structs.replace(settings, sign_in_failures_max=1_000)


@pytest.fixture
async def member_id(client: Client, app: App) -> str:
    return await people.member(client, app, phone=PHONE)


@pytest.fixture
async def program_id(app: App, member_id: str) -> str:
    return await people.program_of(app, member_id)


@pytest.fixture
def anyone(client: Client, program_id: str) -> Client:
    """Somebody without a credential who names the program."""
    return Client(client.session, client.url, {"Stampgate-Program": program_id})


async def send(anyone: Client, **contact: str) -> Answer:
    return await anyone.post("/v1/auth/otp/send", contact or {"email": EMAIL})


async def sign_in(anyone: Client, code: str, **contact: str) -> Answer:
    return await anyone.post("/v1/auth/otp/verify", {**(contact or {"email": EMAIL}), "code": code})


async def reset(anyone: Client, code: str, email: str = EMAIL) -> Answer:
    body = {"email": email, "code": code, "new_password": NEW_PASSWORD}
    return await anyone.post("/v1/auth/password/reset/confirm", body)


async def make_old(db: Db, seconds: int) -> None:
    """As if all codes had been asked for so long ago."""
    await db.execute(
        "UPDATE one_time_code SET asked_at = asked_at - make_interval(secs => $1)", seconds
    )


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


CODE_INVALID = (422, "code_invalid")


@pytest.mark.parametrize(
    ("contact", "channel"), [({"email": EMAIL}, "email"), ({"phone": PHONE}, "sms")]
)
async def test_a_member_signs_in_with_a_code(
    anyone: Client, app: App, member_id: str, contact: dict[str, str], channel: str
) -> None:
    sent = await anyone.post("/v1/auth/otp/send", contact, Accept_Language="de-AT, en;q=0.5")
    assert (sent.status, sent.body) == (202, {"expires_in": 300, "resend_after": 30})
    (letter,) = await postbox.letters(app)
    assert letter[:4] == ("sign_in_code", channel, *contact.values(), "de-at")
    answer = await sign_in(anyone, letter.code, **contact)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body["outcome"] == "granted"
    me = await people.holding(anyone, answer.body).get("/v1/me")
    assert me.body["id"] == member_id


async def test_a_used_code_is_as_wrong_as_any(anyone: Client, app: App, member_id: str) -> None:
    await send(anyone)
    code = await postbox.code(app)
    wrong = await sign_in(anyone, postbox.wrong(code))
    assert (await sign_in(anyone, code)).status == 200
    used = await sign_in(anyone, code)
    assert refusal(used) == refusal(wrong) == CODE_INVALID
    assert used.body == wrong.body


async def test_an_expired_code_is_as_wrong_as_any(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    await send(anyone)
    code = await postbox.code(app)
    await make_old(db, codes.TTL_S)
    assert refusal(await sign_in(anyone, code)) == CODE_INVALID


async def test_a_code_that_would_come_too_late_is_not_sent(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    await send(anyone)
    await make_old(db, codes.TTL_S)
    assert await postbox.letters(app) == []


async def test_an_unverified_contact_is_verified_by_the_code(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    await db.execute("UPDATE member_contact SET verified_at = NULL")
    await send(anyone)
    await sign_in(anyone, await postbox.code(app))
    verified = await db.fetch("SELECT channel FROM member_contact WHERE verified_at IS NOT NULL")
    assert [row["channel"] for row in verified] == ["email"]


async def test_of_tries_that_race_exactly_five_count_and_none_after_them(
    anyone: Client, app: App, db: Db, settings: Settings, member_id: str
) -> None:
    """Through two processes at once, so that nothing in memory can do the counting."""
    await send(anyone)
    code = await postbox.code(app)
    tries = [f"{(int(code) + 1 + number) % 10**6:06}" for number in range(24)]
    async with running(settings) as (_, url):
        callers = anyone, Client(anyone.session, url, anyone.headers)
        answers = await asyncio.gather(
            *(sign_in(callers[number % 2], wrong) for number, wrong in enumerate(tries))
        )
        assert {refusal(answer) for answer in answers} == {CODE_INVALID}
        assert await db.fetchval("SELECT wrong FROM one_time_code") == codes.WRONG_MAX
        for caller in callers:
            assert refusal(await sign_in(caller, code)) == CODE_INVALID


async def test_ever_new_codes_bring_no_more_than_25_tries_a_day(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    code = ""
    for _ in range(codes.WRONG_PER_DAY // codes.WRONG_MAX):
        await make_old(db, codes.HOUR_S // codes.SENDS_PER_HOUR + 1)
        assert (await send(anyone)).status == 202
        code = await postbox.code(app)
        wrong = [await sign_in(anyone, postbox.wrong(code)) for _ in range(codes.WRONG_MAX)]
        assert {refusal(answer) for answer in wrong} == {CODE_INVALID}
    await make_old(db, codes.RESEND_AFTER_S)
    for answer in (await sign_in(anyone, code), await send(anyone)):
        assert refusal(answer) == (429, "rate_limited")
        assert codes.DAY_S - 2 * codes.HOUR_S < int(answer.headers["Retry-After"]) < codes.DAY_S


async def test_wrong_codes_and_wrong_passwords_are_failed_sign_ins(
    client: Client, anyone: Client, app: App, settings: Settings, program_id: str
) -> None:
    app.settings = msgspec.structs.replace(settings, sign_in_failures_max=4)  # type: ignore[misc]  # final
    await send(anyone)
    code = await postbox.code(app)
    for _ in range(3):
        assert refusal(await sign_in(anyone, postbox.wrong(code))) == CODE_INVALID
    assert (await people.log_in(client, program_id, password="wrong")).status == 401
    for answer in (
        await sign_in(anyone, code),
        await people.log_in(client, program_id),
        await reset(anyone, code),
    ):
        assert refusal(answer) == (429, "rate_limited")
        assert int(answer.headers["Retry-After"]) > 800


async def test_an_unknown_contact_is_answered_like_a_known_one(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    """Every answer on the way, header by header, and what it leaves in the database."""
    seen: dict[str, list[Any]] = {}
    for email in (EMAIL, "nobody@example.com"):
        answers = []
        for path in ("/v1/auth/otp/send", "/v1/auth/password/reset"):
            answers += [await anyone.post(path, {"email": email}) for _ in range(2)]
        # The code of the known one is right with a chance of one in a million.
        answers += [await sign_in(anyone, "000000", email=email) for _ in range(2)]
        answers.append(await reset(anyone, "000000", email=email))
        seen[email] = [
            (answer.status, answer.body, sorted(answer.headers.keys())) for answer in answers
        ]
    assert seen[EMAIL] == seen["nobody@example.com"]
    assert [status for status, *_ in seen[EMAIL]] == [202, 429, 202, 429, 422, 422, 422]
    rows = await db.fetch(
        "SELECT purpose, wrong, contact_hash FROM one_time_code ORDER BY asked_at"
    )
    assert [(row["purpose"], row["wrong"]) for row in rows] == 2 * [("sign_in", 2), ("reset", 1)]


async def test_asking_for_a_code_never_looks_whether_somebody_has_the_contact(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    """So the time that the answer takes cannot tell either."""
    for table in ("member_contact", "operator", "credential"):
        await db.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    assert (await send(anyone)).status == 202
    assert (await anyone.post("/v1/auth/password/reset", {"email": EMAIL})).status == 202
    for path in ("/v1/auth/operators/otp/send", "/v1/auth/operators/password/reset"):
        assert (await anyone.post(path, {"email": EMAIL})).status == 202


async def test_nobody_is_sent_a_code_for_a_contact_that_is_not_there(
    anyone: Client, app: App, db: Db, member_id: str
) -> None:
    await send(anyone, email="nobody@example.com")
    assert await postbox.letters(app) == []
    assert await db.fetchval("SELECT count(*) FROM one_time_code WHERE contact IS NOT NULL") == 0
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0


async def test_the_next_code_may_be_asked_for_after_half_a_minute(
    anyone: Client, db: Db, member_id: str
) -> None:
    assert (await send(anyone)).status == 202
    refused = await send(anyone)
    assert refusal(refused) == (429, "rate_limited")
    assert 0 < int(refused.headers["Retry-After"]) <= codes.RESEND_AFTER_S
    await make_old(db, codes.RESEND_AFTER_S)
    assert (await send(anyone)).status == 202


async def test_one_network_asks_for_so_many_codes(
    anyone: Client, settings: Settings, app: App, db: Db, member_id: str
) -> None:
    app.settings = msgspec.structs.replace(settings, code_network_hourly=3)  # type: ignore[misc]  # final
    answers = [await send(anyone, email=f"a{number}@example.com") for number in range(4)]
    assert [answer.status for answer in answers] == [202, 202, 202, 429]


async def test_a_code_of_one_program_is_none_in_another(
    anyone: Client, app: App, other: Client, member_id: str, db: Db
) -> None:
    await send(anyone)
    code = await postbox.code(app)
    (theirs,) = await db.fetch(
        "SELECT id FROM program WHERE id <> $1", anyone.headers["Stampgate-Program"]
    )
    elsewhere = Client(anyone.session, anyone.url, {"Stampgate-Program": theirs["id"]})
    assert refusal(await sign_in(elsewhere, code)) == CODE_INVALID
    assert (await sign_in(anyone, code)).status == 200


async def test_a_code_for_one_purpose_is_none_for_another(
    anyone: Client, app: App, member_id: str
) -> None:
    await send(anyone)
    code = await postbox.code(app)
    assert refusal(await reset(anyone, code)) == CODE_INVALID
    await anyone.post("/v1/auth/password/reset", {"email": EMAIL})
    assert refusal(await sign_in(anyone, await postbox.code(app))) == CODE_INVALID


async def test_a_deleted_member_is_not_signed_in(
    client: Client, anyone: Client, app: App, member_id: str
) -> None:
    await send(anyone)
    code = await postbox.code(app)
    assert (await client.delete(f"/v1/members/{member_id}")).status == 204
    assert (await sign_in(anyone, code)).status in {401, 422}


async def test_a_contact_that_changed_hands_signs_nobody_in(
    client: Client, anyone: Client, app: App, db: Db, member_id: str
) -> None:
    await send(anyone)
    code = await postbox.code(app)
    other_id = await people.member(client, app, email="bela@example.com")
    await db.execute(
        "DELETE FROM member_contact WHERE channel = 'email' AND member_id = $1", other_id
    )
    await db.execute(
        "UPDATE member_contact SET member_id = $2 WHERE channel = 'email' AND member_id = $1",
        *(member_id, other_id),
    )
    assert refusal(await sign_in(anyone, code)) == CODE_INVALID


async def test_neither_code_nor_contact_is_in_the_log_or_readable_in_the_database(
    anyone: Client, app: App, db: Db, member_id: str, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        await send(anyone)
        code = await postbox.code(app)
        await sign_in(anyone, postbox.wrong(code))
        assert (await sign_in(anyone, code)).status == 200
        await db.execute("ALTER TABLE one_time_code RENAME TO away")
        assert (await sign_in(anyone, code)).status == 500
    written = logs._Formatter()
    told = [f"{written.format(record)} {record.getMessage()}" for record in caplog.records]
    tables = await db.fetch(
        "SELECT table_name FROM information_schema.tables"
        " WHERE table_schema = 'public' AND table_type = 'BASE TABLE'"
    )
    rows = [
        str(dict(row)) for table in tables for row in await db.fetch(f"SELECT * FROM {table[0]}")
    ]
    assert told
    assert len(rows) > 10
    # A longer number may have the same six digits in it by chance.
    for text in (code, EMAIL):
        alone = re.compile(rf"(?<![0-9A-Fa-f.]){re.escape(text)}(?![0-9A-Fa-f])")
        assert [line for line in (*told, *rows) if alone.search(line)] == []


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/auth/otp/send", {}),
        ("/v1/auth/otp/send", {"email": EMAIL, "phone": PHONE}),
        ("/v1/auth/otp/send", {"email": "nobody"}),
        ("/v1/auth/otp/send", {"phone": "12345"}),
        ("/v1/auth/otp/send", {"email": EMAIL, "purpose": "reset"}),
        ("/v1/auth/otp/verify", {"email": EMAIL, "code": "12345"}),
        ("/v1/auth/otp/verify", {"email": EMAIL, "code": "1234567"}),
        ("/v1/auth/otp/verify", {"email": EMAIL, "code": "١٢٣٤٥٦"}),
        ("/v1/auth/otp/verify", {"email": EMAIL, "code": 123456}),
        ("/v1/auth/otp/verify", {"email": EMAIL, "code": "123456", "member_id": "mem_1"}),
        ("/v1/auth/password/reset/confirm", {"email": EMAIL, "code": "123456"}),
        ("/v1/auth/operators/otp/send", {"phone": PHONE}),
    ],
)
async def test_a_body_of_another_shape_changes_nothing(
    anyone: Client, db: Db, member_id: str, path: str, body: object
) -> None:
    assert refusal(await anyone.post(path, body)) == (422, "invalid_request")
    assert await db.fetchval("SELECT count(*) FROM one_time_code") == 0


async def test_a_member_names_the_program(client: Client, member_id: str) -> None:
    unnamed = Client(client.session, client.url, {})
    assert (await send(unnamed)).status == 400
    missing = Client(client.session, client.url, {"Stampgate-Program": "prg_x"})
    assert refusal(await send(missing)) == (404, "program_not_found")
