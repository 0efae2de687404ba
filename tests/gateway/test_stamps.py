"""Stamps: one to five at once, as awards of stamps, by the rules for stamps."""

from __future__ import annotations

import pytest

from tests.gateway.conftest import Answer, Client
from tests.gateway.people import program


async def member(client: Client) -> str:
    return str((await client.post("/v1/members", {})).body["id"])


async def stamp(
    client: Client, member_id: str, count: object = 1, key: str = "s1", path: str = "/stamps"
) -> Answer:
    body = {"member": member_id, "count": count, "reference": "till 3"}
    return await client.post(path, body, Idempotency_Key=key)


async def stamps_of(client: Client, member_id: str) -> int:
    found = (await client.get(f"/v1/members/{member_id}/balances")).body
    assert found["points"]["available"] == 0
    return int(found["stamps"]["available"])


async def test_a_stamp_is_an_award_of_stamps(client: Client) -> None:
    asha = await member(client)
    made = await stamp(client, asha, 2)
    assert made.status == 201
    assert made.body["id"].startswith("awd_")
    shown = {name: made.body[name] for name in ("member", "kind", "amount", "balance", "reference")}
    assert shown == {
        "member": asha, "kind": "stamps", "amount": 2, "balance": 2, "reference": "till 3",
    }  # fmt: skip
    award = {"member": asha, "kind": "stamps", "amount": 2, "reference": "till 3"}
    for again in (
        await stamp(client, asha, 2, path="/v1/stamps"),
        await client.post("/v1/awards", award, Idempotency_Key="s1"),
    ):
        assert (again.status, again.body) == (201, made.body)
        assert again.headers["Idempotent-Replayed"] == "true"
    assert (await client.get(f"/v1/awards/{made.body['id']}")).body["amount"] == 2
    path = f"/v1/awards/{made.body['id']}/reverse"
    assert (await client.post(path, {"amount": 1}, Idempotency_Key="r")).status == 201
    assert await stamps_of(client, asha) == 1
    plain = await client.post("/v1/stamps", {"member": asha}, Idempotency_Key="s2")
    assert (plain.body["amount"], plain.body["balance"]) == (1, 2)


@pytest.mark.parametrize("count", [0, 6, -1, 1.5, "1", None])
async def test_one_to_five_stamps_are_given_at_once(client: Client, count: object) -> None:
    asha = await member(client)
    refused = await stamp(client, asha, count)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert refused.body["errors"][0]["pointer"] == "/count"
    assert (await stamp(client, asha, 5)).status == 201
    assert await stamps_of(client, asha) == 5


async def test_stamps_need_a_key_and_a_member_of_the_program(client: Client, other: Client) -> None:
    asha = await member(client)
    missing = await client.post("/stamps", {"member": asha})
    assert (missing.status, missing.code) == (400, "idempotency_key_missing")
    foreign = await stamp(other, asha)
    assert (foreign.status, foreign.code) == (404, "member_not_found")
    assert await stamps_of(client, asha) == 0


@pytest.mark.parametrize(
    "rules", [{"interval_s": 3_600}, {"per_member_day": 3}, {"budget": 3}], ids=str
)
async def test_the_rules_for_stamps_hold(client: Client, rules: dict[str, int]) -> None:
    settings = {"settings": {"stamps": rules}}
    assert (await client.patch(f"/v1/programs/{program(client)}", settings)).status == 200
    asha = await member(client)
    assert (await stamp(client, asha, 2)).status == 201
    refused = await stamp(client, asha, 2, "s2")
    code = "budget_exhausted" if "budget" in rules else "limit_reached"
    assert (refused.status, refused.code) == (409, code)
    assert await stamps_of(client, asha) == 2
