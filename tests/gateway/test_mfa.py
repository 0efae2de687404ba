"""The second factor over HTTP: enrolling, signing in with it, replays, and taking it away."""

from __future__ import annotations

import asyncio
from typing import Any

import msgspec
import pyotp
import pytest

from core import totp
from core.settings import Settings
from db.mfa import CHALLENGE_WRONG_MAX
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Answer, Client, Db

STEP_MS = totp.STEP_S * 1000


class Phone:
    """The app on somebody's phone. `ahead` is how many steps its clock is before ours."""

    def __init__(self, app: App, secret: str) -> None:
        self._app = app
        self._totp = pyotp.TOTP(secret)

    def code(self, ahead: int = 0) -> str:
        return self._totp.generate_otp(self._app.now_ms() // STEP_MS + ahead)

    def wrong(self) -> str:
        near = {self.code(ahead) for ahead in range(-3, 4)}
        return next(text for text in map("{:06}".format, range(10)) if text not in near)


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Without the bound on failed sign-ins, so that the bounds of codes themselves show."""
    return msgspec.structs.replace(settings, sign_in_failures_max=1_000)


@pytest.fixture
async def program_id(client: Client, app: App) -> str:
    return await people.program_of(app, await people.member(client, app))


@pytest.fixture
async def me(client: Client, app: App, program_id: str) -> Client:
    """The member, signed in."""
    return people.holding(client, (await people.log_in(client, program_id)).body)


@pytest.fixture
async def enrolled(me: Client, app: App) -> tuple[Phone, list[str]]:
    """The member's phone, whose code of the step before was used, and the recovery codes."""
    begun = await me.post("/v1/auth/mfa/totp/enroll", None)
    assert begun.status == 201
    phone = Phone(app, begun.body["secret"])
    confirmed = await me.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    assert confirmed.status == 200
    return phone, confirmed.body["recovery_codes"]


async def challenge(client: Client, program_id: str) -> str:
    answer = await people.log_in(client, program_id)
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.body.keys() == {"outcome", "mfa_token", "expires_in"}
    assert answer.body["outcome"] == "second_factor"
    return str(answer.body["mfa_token"])


async def complete(client: Client, token: str, code: str) -> Answer:
    body = {"mfa_token": token, "code": code}
    return await client.post("/v1/auth/mfa", body, Authorization=None)


def refusal(answer: Answer) -> tuple[int, str]:
    return answer.status, answer.code


CODE_INVALID = (422, "code_invalid")
TOKEN_INVALID = (401, "mfa_token_invalid")


async def test_an_app_is_enrolled_and_asked_for(
    client: Client, me: Client, app: App, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    phone, recovery_codes = enrolled
    assert len(set(recovery_codes)) == totp.RECOVERY_CODES
    status = await me.get("/v1/auth/mfa")
    assert status.body["recovery_codes_left"] == totp.RECOVERY_CODES
    assert status.body["totp_enabled_at"]
    answer = await complete(client, await challenge(client, program_id), phone.code())
    assert answer.status == 200
    assert answer.headers["Cache-Control"] == "no-store"
    claims = people.claims(answer.body["access_token"])
    assert claims["mfa"] is True
    assert (await people.holding(client, answer.body).get("/v1/me")).status == 200
    assert (await postbox.letters(app))[-1][:3] == ("second_factor_on", "email", "asha@example.com")


async def test_what_the_app_reads_names_the_program_and_the_member(
    me: Client, program_id: str
) -> None:
    begun = await me.post("/v1/auth/mfa/totp/enroll", None)
    read = pyotp.parse_uri(begun.body["uri"])
    assert (read.secret, read.issuer, read.name) == (
        begun.body["secret"],
        "Tea",
        "asha@example.com",
    )
    assert begun.headers["Cache-Control"] == "no-store"


async def test_until_it_is_confirmed_nobody_is_asked_for_an_app(
    client: Client, me: Client, app: App, program_id: str
) -> None:
    begun = await me.post("/v1/auth/mfa/totp/enroll", None)
    wrong = Phone(app, begun.body["secret"]).wrong()
    assert refusal(await me.post("/v1/auth/mfa/totp/verify", {"code": wrong})) == CODE_INVALID
    assert (await people.log_in(client, program_id)).body["outcome"] == "granted"
    assert (await me.get("/v1/auth/mfa")).body == {
        "totp_enabled_at": None,
        "recovery_codes_left": 0,
    }


async def test_a_sign_in_by_code_asks_for_the_app_too(
    client: Client, app: App, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    anyone = Client(client.session, client.url, {"Stampgate-Program": program_id})
    await anyone.post("/v1/auth/otp/send", {"email": "asha@example.com"})
    used = {"email": "asha@example.com", "code": await postbox.code(app)}
    answer = await anyone.post("/v1/auth/otp/verify", used)
    assert answer.body["outcome"] == "second_factor"
    granted = await complete(client, answer.body["mfa_token"], enrolled[0].code())
    assert granted.status == 200


@pytest.mark.parametrize(("ahead", "is_good"), [(-3, False), (0, True), (1, True), (3, False)])
async def test_a_clock_may_be_one_step_off(
    client: Client,
    program_id: str,
    enrolled: tuple[Phone, list[str]],
    ahead: int,
    is_good: bool,  # noqa: FBT001 - a column of the table
) -> None:
    answer = await complete(client, await challenge(client, program_id), enrolled[0].code(ahead))
    assert (answer.status == 200) == is_good


async def test_a_code_that_was_seen_over_a_shoulder_is_used(
    client: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    tokens = [await challenge(client, program_id) for _ in range(2)]
    code = enrolled[0].code(1)
    assert (await complete(client, tokens[0], code)).status == 200
    assert refusal(await complete(client, tokens[1], code)) == CODE_INVALID
    # Nor is one of an earlier step good after it.
    assert refusal(await complete(client, tokens[1], enrolled[0].code())) == CODE_INVALID


async def test_of_parallel_sign_ins_with_one_code_one_succeeds(
    client: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    tokens = [await challenge(client, program_id) for _ in range(6)]
    code = enrolled[0].code(1)
    answers = await asyncio.gather(*(complete(client, token, code) for token in tokens))
    assert sorted(answer.status for answer in answers) == [200] + [422] * 5


async def test_of_parallel_sign_ins_with_one_recovery_code_one_succeeds(
    client: Client, me: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    tokens = [await challenge(client, program_id) for _ in range(6)]
    recovery = enrolled[1][0].upper()
    answers = await asyncio.gather(*(complete(client, token, recovery) for token in tokens))
    assert sorted(answer.status for answer in answers) == [200] + [422] * 5
    assert (await me.get("/v1/auth/mfa")).body["recovery_codes_left"] == totp.RECOVERY_CODES - 1


async def test_a_sign_in_is_completed_once(
    client: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    token = await challenge(client, program_id)
    assert (await complete(client, token, enrolled[1][0])).status == 200
    assert refusal(await complete(client, token, enrolled[1][1])) == TOKEN_INVALID


async def test_after_five_wrong_codes_the_sign_in_is_given_up(
    client: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    phone, recovery_codes = enrolled
    token = await challenge(client, program_id)
    wrong = phone.wrong()
    answers = [await complete(client, token, wrong) for _ in range(CHALLENGE_WRONG_MAX)]
    assert {refusal(answer) for answer in answers} == {CODE_INVALID}
    for code in (phone.code(), recovery_codes[0]):
        assert refusal(await complete(client, token, code)) == TOKEN_INVALID


async def test_new_sign_ins_bring_no_more_tries(
    client: Client, db: Db, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    """Somebody who has the password begins as many sign-ins as he likes."""
    phone, recovery_codes = enrolled
    wrong = phone.wrong()
    for _ in range(totp.WRONG_PER_HOUR // CHALLENGE_WRONG_MAX):
        token = await challenge(client, program_id)
        for _ in range(CHALLENGE_WRONG_MAX):
            await complete(client, token, wrong)
    token = await challenge(client, program_id)
    refused = await complete(client, token, phone.code())
    assert refusal(refused) == (429, "rate_limited")
    assert 3_500 < int(refused.headers["Retry-After"]) <= 3_600
    assert (await complete(client, token, recovery_codes[0])).status == 200


@pytest.mark.parametrize("token", ["forged", "x" * 43])
async def test_a_forged_token_completes_nothing(
    client: Client, enrolled: tuple[Phone, list[str]], token: str
) -> None:
    assert refusal(await complete(client, token, enrolled[0].code())) == TOKEN_INVALID


async def test_the_challenge_is_no_credential(
    client: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    held = people.holding(client, {"access_token": await challenge(client, program_id)})
    assert (await held.get("/v1/me")).status == 401


async def test_the_app_goes_with_one_of_its_codes(
    client: Client, me: Client, app: App, db: Db, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    phone, _ = enrolled
    wrong = {"code": phone.wrong()}
    assert refusal(await me.call("DELETE", "/v1/auth/mfa/totp", wrong)) == CODE_INVALID
    waiting = await challenge(client, program_id)
    gone = await me.call("DELETE", "/v1/auth/mfa/totp", {"code": phone.code()})
    assert gone.status == 204
    assert (await people.log_in(client, program_id)).body["outcome"] == "granted"
    assert refusal(await complete(client, waiting, phone.code(1))) == TOKEN_INVALID
    assert (await postbox.letters(app))[-1].template == "second_factor_off"
    written = await db.fetch("SELECT action FROM audit_entry WHERE action LIKE 'second%'")
    assert {row["action"] for row in written} == {"second_factor.enable", "second_factor.disable"}


async def test_a_recovery_code_takes_the_app_away(
    me: Client, enrolled: tuple[Phone, list[str]]
) -> None:
    gone = await me.call("DELETE", "/v1/auth/mfa/totp", {"code": enrolled[1][0]})
    assert gone.status == 204
    assert (await me.post("/v1/auth/mfa/totp/enroll", None)).status == 201


async def test_an_app_in_use_is_not_replaced(me: Client, enrolled: tuple[Phone, list[str]]) -> None:
    refused = await me.post("/v1/auth/mfa/totp/enroll", None)
    assert refusal(refused) == (409, "totp_enabled")
    again = await me.post("/v1/auth/mfa/totp/verify", {"code": enrolled[0].code()})
    assert refusal(again) == (409, "totp_enabled")


async def test_without_an_app_there_is_nothing_to_confirm_or_take_away(me: Client) -> None:
    code = {"code": "123456"}
    for answer in (
        await me.post("/v1/auth/mfa/totp/verify", code),
        await me.call("DELETE", "/v1/auth/mfa/totp", code),
        await me.post("/v1/auth/mfa/recovery-codes", code),
    ):
        assert refusal(answer) == (409, "totp_not_enrolled")


async def test_recovery_codes_are_made_anew(
    client: Client, me: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    phone, old = enrolled
    refused = await me.post("/v1/auth/mfa/recovery-codes", {"code": phone.wrong()})
    assert refusal(refused) == CODE_INVALID
    made = await me.post("/v1/auth/mfa/recovery-codes", {"code": phone.code()})
    new = made.body["recovery_codes"]
    assert made.status == 200
    assert not set(old) & set(new)
    token = await challenge(client, program_id)
    assert refusal(await complete(client, token, old[0])) == CODE_INVALID
    assert (await complete(client, token, new[0])).status == 200


async def test_a_new_password_does_not_pass_by_the_app(
    client: Client, app: App, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    anyone = Client(client.session, client.url, {"Stampgate-Program": program_id})
    email, password = "asha@example.com", "quite another fine day"
    await anyone.post("/v1/auth/password/reset", {"email": email})
    wanted = {"email": email, "code": await postbox.code(app), "new_password": password}
    assert (await anyone.post("/v1/auth/password/reset/confirm", wanted)).status == 204
    answer = await people.log_in(client, program_id, password=password)
    assert answer.body["outcome"] == "second_factor"


@pytest.mark.parametrize("role", ["staff", "admin"])
async def test_operators_have_apps_too(
    client: Client, app: App, program_id: str, role: Any
) -> None:
    await people.operator(app, role=role, program_id=None if role == "admin" else program_id)
    operator = people.holding(client, (await people.log_in_operator(client)).body)
    begun = await operator.post("/v1/auth/mfa/totp/enroll", None)
    read = pyotp.parse_uri(begun.body["uri"])
    assert read.issuer == ("Stampgate" if role == "admin" else "Tea")
    phone = Phone(app, begun.body["secret"])
    confirmed = await operator.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    assert confirmed.status == 200
    asked = await people.log_in_operator(client)
    granted = await complete(client, asked.body["mfa_token"], phone.code())
    claims = people.claims(granted.body["access_token"])
    assert (claims["role"], claims["mfa"]) == (role, True)
    assert (await postbox.letters(app))[-1].template == "second_factor_on"


async def test_a_suspended_operator_completes_no_sign_in(
    client: Client, app: App, db: Db, program_id: str
) -> None:
    await people.operator(app, program_id=program_id)
    operator = people.holding(client, (await people.log_in_operator(client)).body)
    begun = await operator.post("/v1/auth/mfa/totp/enroll", None)
    phone = Phone(app, begun.body["secret"])
    await operator.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    asked = await people.log_in_operator(client)
    await db.execute("UPDATE operator SET state = 'suspended'")
    refused = await complete(client, asked.body["mfa_token"], phone.code())
    assert refusal(refused) == (401, "sign_in_refused")


async def test_staff_help_a_member_who_has_lost_everything(
    client: Client,
    other: Client,
    app: App,
    me: Client,
    program_id: str,
    enrolled: tuple[Phone, list[str]],
) -> None:
    path = f"/v1/members/{(await me.get('/v1/me')).body['id']}/mfa/totp"
    assert refusal(await other.delete(path)) == (404, "member_not_found")
    assert refusal(await me.delete(path)) == (403, "insufficient_scope")
    assert (await people.log_in(client, program_id)).body["outcome"] == "second_factor"
    assert (await client.delete(path)).status == 204
    assert (await people.log_in(client, program_id)).body["outcome"] == "granted"
    told = [letter.template for letter in await postbox.letters(app)]
    assert told == ["second_factor_on", "second_factor_off"]
    # Again it changes nothing, and nobody is told.
    assert (await client.delete(path)).status == 204
    assert len(await postbox.letters(app)) == 2


async def test_operators_help_each_other_but_not_themselves(
    client: Client, other: Client, app: App, program_id: str
) -> None:
    operator_id = await people.operator(app, program_id=program_id)
    operator = people.holding(client, (await people.log_in_operator(client)).body)
    begun = await operator.post("/v1/auth/mfa/totp/enroll", None)
    phone = Phone(app, begun.body["secret"])
    await operator.post("/v1/auth/mfa/totp/verify", {"code": phone.code(-1)})
    path = f"/v1/operators/{operator_id}/mfa/totp"
    assert refusal(await operator.delete(path)) == (409, "conflict")
    assert refusal(await other.delete(path)) == (404, "operator_not_found")
    assert (await people.log_in_operator(client)).body["outcome"] == "second_factor"
    assert (await client.delete(path)).status == 204
    assert (await people.log_in_operator(client)).body["outcome"] == "granted"


async def test_an_app_token_has_no_second_factor(client: Client) -> None:
    for answer in (
        await client.get("/v1/auth/mfa"),
        await client.post("/v1/auth/mfa/totp/enroll", None),
    ):
        assert refusal(answer) == (403, "insufficient_scope")


async def test_a_deleted_member_completes_no_sign_in(
    client: Client, me: Client, program_id: str, enrolled: tuple[Phone, list[str]]
) -> None:
    """Whose first factor was right before the member was gone."""
    phone, _ = enrolled
    waiting = await challenge(client, program_id)
    member_id = (await me.get("/v1/me")).body["id"]
    assert (await client.delete(f"/v1/members/{member_id}")).status == 204
    assert refusal(await complete(client, waiting, phone.code())) == (401, "sign_in_refused")
