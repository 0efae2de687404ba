"""Members who are banned: what they cannot do any more, what stays, and that they may come back."""

from __future__ import annotations

from typing import Any

import pytest

from gateway.app import App
from tests.gateway import cash, claiming, people, reporting
from tests.gateway.cash import RUPEES
from tests.gateway.conftest import Client, Db
from tests.gateway.test_fraud import CASES, rule
from tests.gateway.test_sessions import until_refused

WHY = {"reason": "Ten accounts."}
BANS = """
SELECT action, after FROM audit_entry WHERE object_id = $1 AND action LIKE '%ban' ORDER BY at
"""


async def ban(client: Client, member_id: str, word: str = "ban") -> Any:
    done = await cash.operator(client).post(f"/v1/members/{member_id}/{word}", WHY)
    assert done.status == 200, done
    return done.body


async def test_who_is_banned_does_not_sign_in_until_the_ban_ends(
    client: Client, app: App, db: Db
) -> None:
    member_id = await people.member(client, app)
    program_id = people.program(client)
    grant = (await people.log_in(client, program_id)).body
    caller = people.holding(client, grant)
    assert (await caller.get("/v1/me")).status == 200
    made = await ban(client, member_id)
    assert made["banned_at"] is not None
    await until_refused(caller)
    assert (await people.refresh(client, grant["refresh_token"])).code == "token_revoked"
    assert (await people.log_in(client, program_id)).code == "sign_in_refused"
    assert await ban(client, member_id) == made
    assert (await client.get(f"/v1/members/{member_id}")).body == made
    for _ in range(2):
        assert (await ban(client, member_id, "unban"))["banned_at"] is None
    assert (await people.log_in(client, program_id)).status == 200
    told = await db.fetch(BANS, member_id)
    assert [row["action"] for row in told] == ["member.ban", "member.unban"]
    assert all("Ten accounts." in row["after"] for row in told)


async def test_who_is_banned_is_paid_nothing_until_the_ban_ends(client: Client, app: App) -> None:
    asha = await cash.payable(client, app, 500 * RUPEES)
    boss = cash.operator(client)
    first, second, third = [
        f"/v1/withdrawals/{await cash.requested(asha, 100 * RUPEES)}" for _ in range(3)
    ]
    assert (await boss.post(f"{second}/approve", {})).status == 200
    await ban(client, asha.id)
    for refused in (
        await cash.ask(asha, 100 * RUPEES),
        await boss.post(f"{first}/approve", {}),
        await boss.post(f"{second}/complete", {"utr": "UTR123"}),
    ):
        assert (refused.status, refused.code) == (409, "member_banned")
    assert await cash.balance(asha) == (200 * RUPEES, 300 * RUPEES)
    assert (await boss.post(f"{third}/reject", {"reason": "Banned."})).status == 200
    await ban(client, asha.id, "unban")
    assert (await boss.post(f"{second}/complete", {"utr": "UTR123"})).status == 200
    assert (await boss.post(f"{first}/approve", {})).status == 200
    assert await cash.is_sound(app)


async def test_clicks_of_who_is_banned_are_credited_to_nobody(
    client: Client, app: App, db: Db
) -> None:
    asha = await cash.person(client, app)
    account = await reporting.network(client)
    before, late = [await reporting.click(client, db, asha.id) for _ in range(2)]
    said = {"payout": "200.00", "status": "approved"}
    await reporting.report(account, click_id=before, txid="t1", **said)
    await ban(client, asha.id)
    told = await reporting.report(account, click_id=late, txid="t2", **said)
    assert told["verdict"] == "accepted"
    path = f"/v1/conversions/{told['conversion']}"
    seen = (await client.get(f"/v1/attributions/{told['conversion']}")).body
    assert (seen["how"], seen["parked"]) == ("none", "unattributed")
    assert seen["reasons"] == ["its member is banned"]
    assert (await cash.balance(asha))[0] == 100 * RUPEES
    await ban(client, asha.id, "unban")
    again = await cash.operator(client).post(f"{path}/revalue", {"reason": "Unbanned."})
    assert (again.status, again.body["member"]) == (200, asha.id)
    assert (await cash.balance(asha))[0] == 200 * RUPEES
    assert await cash.is_sound(app)


async def test_who_is_banned_claims_nothing(client: Client, app: App, db: Db) -> None:
    asha = await cash.person(client, app)
    shop = await claiming.shop(client, db)
    click = await claiming.click(shop, asha.id)
    await ban(client, asha.id)
    refused = await claiming.file(asha.client, click)
    assert (refused.status, refused.code) == (409, "member_banned")


@pytest.mark.parametrize("action", ["hold", "reject"])
async def test_a_case_bans_its_member_and_is_rejected_if_it_is_open(
    client: Client, app: App, db: Db, action: str
) -> None:
    made = await rule(client, {"kind": "amount", "above_minor": 0}, action=action)
    asha = await cash.person(client, app)
    account = await reporting.network(client)
    click = await reporting.click(client, db, asha.id)
    await reporting.report(account, click_id=click, txid="t1", payout="200.00", status="approved")
    [case] = (await client.get(CASES)).body["data"]
    boss = cash.operator(client)
    first, done = [await boss.post(f"{CASES}/{case['id']}/ban", WHY) for _ in range(2)]
    assert (first.status, first.body) == (done.status, done.body) == (200, done.body)
    assert (done.body["state"], done.body["review"]) == ("rejected", "rejected")
    is_rules = done.body["decided_by"] == made["id"]
    assert is_rules is (action == "reject")
    assert (await client.get(f"/v1/members/{asha.id}")).body["banned_at"] is not None
    entries = await db.fetch("SELECT action, after FROM audit_entry WHERE action = 'member.ban'")
    assert [case["id"] in entry["after"] for entry in entries] == [True]
    assert await cash.is_sound(app)
