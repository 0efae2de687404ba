"""Members over HTTP."""

from __future__ import annotations

import asyncio

from redis.asyncio import Redis

from core import events, ids
from db import keys
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import Client, Db, counts


async def test_a_new_member_has_an_account(client: Client, app: App) -> None:
    made = await client.post(
        "/v1/members", {"external_id": "m1", "name": "Asha", "attributes": {"city": "Pune"}}
    )
    assert made.status == 201
    program = (await client.get("/v1/members")).body["data"]
    assert program == [made.body]
    program_id = await app.pool.fetchval("SELECT program_id FROM member")
    balances = await app.points.balances(program_id, made.body["id"])
    assert balances == {"points": (0, 0), "stamps": (0, 0)}


async def test_a_member_is_read_changed_and_deleted(client: Client) -> None:
    made = await client.post("/v1/members", {"external_id": "m1", "name": "Asha"})
    path = f"/v1/members/{made.body['id']}"
    assert (await client.get(path)).body == made.body
    changed = await client.patch(path, {"name": None, "attributes": {"vip": True}})
    assert changed.body == {
        **made.body,
        "name": None,
        "attributes": {"vip": True},
        "updated_at": changed.body["updated_at"],
    }
    assert (await client.delete(path)).status == 204
    for answer in (
        await client.get(path),
        await client.patch(path, {"name": "B"}),
        await client.delete(path),
    ):
        assert (answer.status, answer.code) == (404, "member_not_found")
    assert (await client.get("/v1/members?external_id=m1")).body["data"] == []


async def test_a_deleted_member_gets_no_more_awards(client: Client) -> None:
    made = await client.post("/v1/members", {})
    award = {"member": made.body["id"], "kind": "points", "amount": 5}
    assert (await client.post("/v1/awards", award, Idempotency_Key="a1")).status == 201
    assert (await client.delete(f"/v1/members/{made.body['id']}")).status == 204
    refused = await client.post("/v1/awards", award, Idempotency_Key="a2")
    assert (refused.status, refused.code) == (404, "member_not_found")


async def test_the_external_id_of_a_deleted_member_is_free_again(client: Client) -> None:
    first = await client.post("/v1/members", {"external_id": "m1"})
    await client.delete(f"/v1/members/{first.body['id']}")
    second = await client.post("/v1/members", {"external_id": "m1"})
    assert second.status == 201
    assert second.body["id"] != first.body["id"]


async def test_an_external_id_is_taken_once(client: Client, other: Client) -> None:
    assert (await client.post("/v1/members", {"external_id": "m1"})).status == 201
    assert (await other.post("/v1/members", {"external_id": "m1"})).status == 201
    again = await client.post("/v1/members", {"external_id": "m1"})
    assert (again.status, again.code) == (409, "external_id_taken")
    second = await client.post("/v1/members", {})
    clash = await client.patch(f"/v1/members/{second.body['id']}", {"external_id": "m1"})
    assert clash.code == "external_id_taken"


async def test_of_concurrent_creates_with_one_external_id_one_succeeds(client: Client) -> None:
    answers = await asyncio.gather(
        *(client.post("/v1/members", {"external_id": "m1"}) for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7


async def test_upserts_of_one_external_id_all_reach_one_member(client: Client) -> None:
    answers = await asyncio.gather(
        *(
            client.put("/v1/members/upsert", {"external_id": "m1", "name": f"n{number}"})
            for number in range(8)
        )
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["id"] for answer in answers}) == 1


async def test_another_programs_member_is_not_there(client: Client, other: Client) -> None:
    made = await client.post("/v1/members", {"name": "Asha"})
    path = f"/v1/members/{made.body['id']}"
    for answer in (
        await other.get(path),
        await other.patch(path, {"name": "B"}),
        await other.delete(path),
    ):
        assert (answer.status, answer.code) == (404, "member_not_found")
    assert (await client.get(path)).body == made.body


async def test_each_item_of_a_bulk_has_its_own_answer(client: Client, db: Db, redis: Redis) -> None:
    await client.post("/v1/members", {"external_id": "taken"})
    answer = await client.post(
        "/v1/members/bulk",
        {
            "items": [
                {"external_id": "a"},
                {"external_id": "taken"},
                {"external_id": "a"},
                {"external_id": 5},
                {"name": "no id"},
            ]
        },
    )
    assert answer.status == 200
    assert [one["status"] for one in answer.body["data"]] == [201, 409, 409, 422, 201]
    assert answer.body["data"][3]["error"]["errors"][0]["pointer"] == "/external_id"
    assert (await counts(db))["member"] == 3
    sizes = [
        await redis.hlen(keys.award_balances(partition, 0))
        for partition in range(keys.AWARD_PARTITIONS)
    ]
    assert sum(sizes) == 3 * len(events.UNITS)


async def test_a_thousand_members_come_in_one_bulk_and_no_more(client: Client, db: Db) -> None:
    items = [{"external_id": f"m{number}"} for number in range(1000)]
    answer = await client.post("/v1/members/bulk", {"items": items})
    assert {one["status"] for one in answer.body["data"]} == {201}
    assert [one["data"]["external_id"] for one in answer.body["data"]] == [
        item["external_id"] for item in items
    ]
    refused = await client.post("/v1/members/bulk", {"items": [{}] * 1001})
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert (await counts(db))["member"] == 1000


async def test_members_are_listed_page_by_page_in_the_order_they_came(client: Client) -> None:
    made = [(await client.post("/v1/members", {})).body["id"] for _ in range(5)]
    seen, cursor = [], ""
    while True:
        page = (await client.get(f"/v1/members?limit=2&cursor={cursor}")).body
        seen += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
        if cursor is None:
            break
    assert sorted(seen) == sorted(made)
    assert seen == sorted(seen)


async def test_without_redis_no_member_is_made_or_deleted(client: Client, redis: Redis) -> None:
    """A partition that is not open stands for Redis in rebuild: nothing may be half done."""
    kept = await client.post("/v1/members", {"external_id": "kept"})
    for partition in range(keys.AWARD_PARTITIONS):
        await redis.delete(keys.award_head(partition))
    for refused in (
        await client.post("/v1/members", {"external_id": "m1"}),
        await client.put("/v1/members/upsert", {"external_id": "m1"}),
        await client.post("/v1/members/bulk", {"items": [{"external_id": "m1"}]}),
        await client.delete(f"/v1/members/{kept.body['id']}"),
    ):
        assert (refused.status, refused.code) == (503, "not_open")
        assert refused.headers["Retry-After"] == "1"
    assert (await client.get("/v1/members")).body["data"] == [kept.body]


async def test_staff_name_the_program_by_header(staff: Client, client: Client) -> None:
    program_id = (await staff.get("/v1/programs")).body["data"][0]["id"]
    unnamed = await staff.post("/v1/members", {})
    assert (unnamed.status, unnamed.code) == (400, "bad_request")
    made = await staff.post("/v1/members", {"name": "Asha"}, Stampgate_Program=program_id)
    assert made.status == 201
    assert (await client.get("/v1/members")).body["data"] == [made.body]
    missing = ids.new("program", 1, bytes(ids.ENTROPY_BYTES))
    bodies: dict[str, object] = {"/v1/members": {}, "/v1/members/bulk": {"items": [{}]}}
    for path, body in bodies.items():
        nowhere = await staff.post(path, body, Stampgate_Program=missing)
        assert (nowhere.status, nowhere.code) == (404, "program_not_found")


async def test_a_member_is_found_by_mail_or_phone(
    client: Client, other: Client, app: App, db: Db
) -> None:
    """At the till, where nobody knows an id; by the keyed hash, since contacts are sealed."""
    brought = {"name": "Asha", "email": "Asha@Example.com"}
    asha = (await client.post("/v1/members", brought)).body
    ravi = await people.member(client, app, email="ravi@example.com", phone="+919812345678")
    path = "/v1/members/lookup"
    found = await client.get(f"{path}?email=ASHA%40example.com")
    assert found.body == {"member": asha, "channel": "email", "is_verified": False}
    for phone in ("%2B919812345678", "+919812345678", "+91%2098123-45678"):
        found = await client.get(f"{path}?phone={phone}")
        assert (found.body["member"]["id"], found.body["channel"]) == (ravi, "phone")
        assert found.body["is_verified"] is True
    for query in ("email=nobody%40example.com", "phone=%2B919812345679"):
        assert (await client.get(f"{path}?{query}")).code == "member_not_found"
    assert (await other.get(f"{path}?email=asha%40example.com")).code == "member_not_found"
    for query in ("", "email=a%40b.de&phone=%2B919812345678", "email=x", "phone=12", "name=Asha"):
        assert (await client.get(f"{path}?{query}")).code == "invalid_request"
    # Who is a member of two programs is found as the member of each.
    there = (await other.post("/v1/members", brought)).body
    for caller, member in ((client, asha), (other, there)):
        assert (await caller.get(f"{path}?email=asha%40example.com")).body["member"] == member
    assert (await client.delete(f"/v1/members/{asha['id']}")).status == 204
    assert (await client.get(f"{path}?email=asha%40example.com")).code == "member_not_found"
