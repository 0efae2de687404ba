"""Members who bring others, over HTTP: from the code to the reward, and who sees what of it."""

from __future__ import annotations

from typing import Any, Final

import pytest

from db import outbox
from gateway.app import App
from tests.gateway import cash, people, postbox, reporting
from tests.gateway.conftest import Answer, Client, Db
from tests.gateway.test_auditing import last
from workers import jobs

RULES: Final[dict[str, Any]] = {"is_on": True, "referrer_minor": 10_000, "referee_minor": 5_000}


@pytest.fixture(autouse=True)
async def rules(client: Client, staff: Client) -> None:
    await set_rules(client, staff)


async def set_rules(client: Client, staff: Client, **changed: object) -> Answer:
    path = f"/v1/programs/{people.program(client)}"
    return await staff.patch(path, {"settings": {"referrals": RULES | changed}})


@pytest.fixture
async def asha(client: Client, app: App) -> cash.Person:
    return await cash.person(client, app)


@pytest.fixture
async def bela(client: Client, app: App) -> cash.Person:
    return await cash.person(client, app)


async def code_of(person: cash.Person) -> str:
    made = await person.client.post("/v1/referral-codes", {})
    assert made.status == 201, made
    return str(made.body["code"])


async def claim(person: cash.Person, code: str) -> Answer:
    return await person.client.post("/v1/referrals/claim", {"code": code})


def anybody(client: Client) -> Client:
    return Client(client.session, client.url, {"Stampgate-Program": people.program(client)})


async def told(app: App) -> set[str]:
    """Who was told of a reward, once those are that were given."""
    async with app.pool.acquire() as db:
        tickets = await outbox.claim(db, app.now_ms() + 1_000, ["tell_referral"], 9)
    for ticket in tickets:
        await jobs.perform(postbox.tools(app), ticket.id, ticket.attempt)
    letters = await postbox.letters(app)
    return {one.address for one in letters if one.template == "referral_rewarded"}


async def test_from_a_code_to_two_rewards_and_back(
    client: Client, app: App, db: Db, asha: cash.Person, bela: cash.Person
) -> None:
    code = await code_of(asha)
    assert await code_of(asha) == code
    seen = await anybody(client).get(f"/v1/referral-codes/{code.lower()}")
    assert (seen.body["is_open"], seen.body["referee_minor"]) == (True, 5_000)
    assert asha.id not in str(seen.body)
    made = await claim(bela, code)
    assert (made.status, made.body["state"], made.body["side"]) == (201, "claimed", "referee")
    action, _, after = await last(db)
    assert (action, after) == ("referral.claim", {"member": bela.id, "referrer": asha.id})
    account = await reporting.network(client)
    click = await reporting.click(client, db, bela.id)
    said = {"click_id": click, "txid": "t1", "payout": "200.00"}
    await reporting.report(account, **said, status="approved")
    assert await cash.balance(asha) == (10_000, 0)
    assert await cash.balance(bela) == (15_000, 0)
    lines = (await asha.client.get("/v1/wallet/transactions")).body["data"]
    assert [(one["type"], one["amount_minor"]) for one in lines] == [("referral_rewarded", 10_000)]
    solvency = (await client.get("/v1/admin/solvency")).body
    assert solvency["is_balanced"] is True
    [position] = solvency["positions"]
    assert (position["referral_minor"], position["is_covered"]) == (15_000, True)
    summary = (await asha.client.get("/v1/me/referrals")).body
    assert (summary["invited"], summary["qualified"], summary["earned_minor"]) == (1, 1, 10_000)
    assert (summary["code"], summary["is_referred"]) == (code, False)
    assert len(await told(app)) == 2
    await reporting.report(account, **said, status="reversed")
    assert await cash.balance(asha) == (0, 0)
    summary = (await client.get(f"/v1/members/{bela.id}/referrals")).body
    assert (summary["invited"], summary["earned_minor"], summary["is_referred"]) == (0, 0, True)
    assert await cash.is_sound(app)


async def test_each_side_sees_its_own_and_operators_see_all(
    client: Client, other: Client, asha: cash.Person, bela: cash.Person
) -> None:
    referral = (await claim(bela, await code_of(asha))).body["id"]
    by_asha = (await asha.client.get("/v1/referrals")).body["data"]
    [own] = by_asha
    assert (own["side"], own["referrer"], own["member"]) == ("referrer", asha.id, None)
    assert (own["referrer_minor"], own["referee_minor"]) == (10_000, None)
    [theirs] = (await bela.client.get("/v1/referrals?state=claimed")).body["data"]
    assert (theirs["side"], theirs["referrer"], theirs["member"]) == ("referee", None, bela.id)
    for side in ("member_id", "referrer_id"):
        for person in (asha, bela):
            assert (await asha.client.get(f"/v1/referrals?{side}={person.id}")).body["data"] == [
                own
            ]
    reader = cash.operator(client, role="staff")
    [whole] = (await reader.get(f"/v1/referrals?referrer_id={asha.id}&limit=1")).body["data"]
    assert (whole["id"], whole["member"], whole["referrer"]) == (referral, bela.id, asha.id)
    for query in (f"member_id={asha.id}", "state=rewarded", f"cursor={referral}"):
        assert (await reader.get(f"/v1/referrals?{query}")).body["data"] == []
    assert (await cash.operator(other).get("/v1/referrals")).body["data"] == []
    [code] = (await asha.client.get("/v1/referral-codes")).body["data"]
    assert code["member"] == asha.id
    assert (await bela.client.get("/v1/referral-codes")).body["data"] == []
    found = await reader.get(f"/v1/referral-codes?code={code['code'].lower()}")
    assert found.body["data"] == [code]


async def test_claims_are_refused_with_their_reasons(
    client: Client, other: Client, staff: Client, asha: cash.Person, bela: cash.Person
) -> None:
    code = await code_of(asha)
    refused = await claim(asha, code)
    assert (refused.status, refused.code) == (409, "self_referral")
    assert (await claim(bela, "nonsense")).code == "referral_code_not_found"
    foreign = Client(client.session, client.url, {"Stampgate-Program": people.program(other)})
    assert (await foreign.get(f"/v1/referral-codes/{code}")).status == 404
    assert (await foreign.get(f"/v1/referral-codes/{code}", Stampgate_Program=None)).status == 400
    assert (await set_rules(client, staff, is_on=False)).status == 200
    assert (await claim(bela, code)).code == "referrals_closed"
    seen = await anybody(client).get(f"/v1/referral-codes/{code}")
    assert seen.body["is_open"] is False
    await set_rules(client, staff)
    assert (await claim(bela, code)).status == 201
    assert (await claim(bela, code)).code == "already_referred"
    assert (await claim(asha, await code_of(bela))).code == "referral_loop"


async def test_a_backend_claims_for_a_member_once_for_its_key(
    client: Client, other: Client, asha: cash.Person, bela: cash.Person
) -> None:
    made = await client.post("/v1/referral-codes", {"member": asha.id})
    assert (await client.post("/v1/referral-codes", {})).code == "invalid_request"
    body = {"code": made.body["code"], "member": bela.id}
    answers = [
        await client.post("/v1/referrals/claim", body, Idempotency_Key="k") for _ in range(2)
    ]
    assert [one.status for one in answers] == [201, 201]
    assert answers[0].body == answers[1].body
    assert (answers[0].body["member"], answers[0].body["referrer"]) == (bela.id, asha.id)
    assert (await bela.client.post("/v1/referrals/claim", body | {"member": asha.id})).status == 403
    assert (await other.post("/v1/referral-codes", {"member": asha.id})).code == "member_not_found"


@pytest.mark.parametrize(
    "changed",
    [
        {"referrer_minor": -1},
        {"cap_days": 0},
        {"claim_days": 0},
        {"ends_at": "2026-01-01"},
        {"starts_at": "2026-02-01T00:00:00Z", "ends_at": "2026-01-01T00:00:00Z"},
        {"sponsor": "x"},
    ],
)
async def test_rules_that_make_no_sense_change_nothing(
    client: Client, staff: Client, changed: dict[str, object]
) -> None:
    refused = await set_rules(client, staff, **changed)
    assert (refused.status, refused.code) == (422, "invalid_request")
    path = f"/v1/programs/{people.program(client)}"
    kept = (await client.get(path)).body["settings"]["referrals"]
    assert {name: kept[name] for name in RULES} == RULES


async def test_who_signs_up_with_a_code_has_claimed_it(
    client: Client, app: App, db: Db, asha: cash.Person
) -> None:
    guest, code = anybody(client), await code_of(asha)
    body = {"email": "chitra@example.com", "password": people.PASSWORD}
    wrong = await guest.post("/v1/auth/register", {**body, "referral_code": "AAAAAAAA"})
    assert (wrong.status, wrong.code) == (404, "referral_code_not_found")
    asked = await guest.post("/v1/auth/register", {**body, "referral_code": code.lower()})
    assert asked.status == 202, asked
    token = asked.body["registration_token"]
    sent = {"registration_token": token, "code": await postbox.code(app)}
    made = await guest.post("/v1/auth/register/confirm", sent)
    assert made.status == 201, made
    [own] = (await people.holding(client, made.body).get("/v1/referrals")).body["data"]
    assert (own["side"], own["state"]) == ("referee", "claimed")
    assert (await asha.client.get("/v1/me/referrals")).body["invited"] == 1


async def test_who_cannot_claim_the_code_any_more_signs_up_all_the_same(
    client: Client, staff: Client, app: App, db: Db, asha: cash.Person
) -> None:
    guest = anybody(client)
    body = {"email": "chitra@example.com", "password": people.PASSWORD}
    asked = await guest.post("/v1/auth/register", {**body, "referral_code": await code_of(asha)})
    await set_rules(client, staff, is_on=False)
    token = asked.body["registration_token"]
    sent = {"registration_token": token, "code": await postbox.code(app)}
    made = await guest.post("/v1/auth/register/confirm", sent)
    assert made.status == 201, made
    assert (await client.get("/v1/referrals")).body["data"] == []
