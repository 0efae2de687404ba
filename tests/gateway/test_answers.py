"""The Idempotency-Key of routes that PostgreSQL decides."""

from __future__ import annotations

import asyncio

import asyncpg
import pytest

from deploy.local.postgres import DatabaseUrls
from gateway.app import App
from tests.gateway import cash
from tests.gateway.conftest import Client, Db, counts

WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
SHOP = "https://shop.example.com/"


async def test_a_repeated_create_gets_the_first_answer_and_changes_nothing(
    client: Client, db: Db
) -> None:
    body = {"destination": SHOP}
    first = await client.post("/v1/links", body, Idempotency_Key="k1")
    before = await counts(db)
    again = await client.post("/v1/links", body, Idempotency_Key='"k1"')
    assert (again.status, again.body) == (first.status, first.body) == (201, first.body)
    assert "Idempotent-Replayed" not in first.headers
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await counts(db) == before


async def test_a_key_with_another_body_or_on_another_route_is_refused(
    client: Client, db: Db
) -> None:
    await client.post("/v1/members", {"name": "A"}, Idempotency_Key="k1")
    before = await counts(db)
    for path, body in (("/v1/members", {"name": "B"}), ("/v1/merchants", {"name": "A"})):
        refused = await client.post(path, body, Idempotency_Key="k1")
        assert (refused.status, refused.code) == (422, "idempotency_key_reused")
    assert await counts(db) == before


async def test_a_key_is_good_for_one_thing_that_the_path_names(client: Client) -> None:
    """Else who rotates two secrets with one key would be given the first one twice."""
    new = {"name": "till", "scopes": ["links:read"]}
    first, second = [(await client.post("/v1/api-keys", new)).body for _ in range(2)]
    one, other, again = [
        await client.post(f"/v1/api-keys/{key_id}/rotate", {}, Idempotency_Key="k1")
        for key_id in (first["id"], second["id"], first["id"])
    ]
    assert (other.status, other.code) == (422, "idempotency_key_reused")
    assert (again.status, again.body) == (200, one.body)
    assert one.body["id"] == first["id"]


async def test_a_refusal_is_not_kept(client: Client) -> None:
    await client.post("/v1/links", {"destination": SHOP, "slug": "tea"})
    body = {"destination": SHOP, "slug": "tea"}
    refused = await client.post("/v1/links", body, Idempotency_Key="k1")
    assert refused.code == "slug_taken"
    link = (await client.get("/v1/links?slug=tea")).body["data"][0]
    await client.delete(f"/v1/links/{link['id']}")
    assert (await client.post("/v1/links", body, Idempotency_Key="k1")).status == 201


async def test_keys_of_two_programs_do_not_meet(client: Client, other: Client) -> None:
    first = await client.post("/v1/members", {}, Idempotency_Key="k1")
    second = await other.post("/v1/members", {"name": "B"}, Idempotency_Key="k1")
    assert (first.status, second.status) == (201, 201)


async def test_keys_of_two_members_and_of_an_app_do_not_meet(client: Client, app: App) -> None:
    asha, bela = [await cash.person(client, app) for _ in range(2)]
    path, body = "/v1/payout-methods", cash.UPI
    made = [await one.client.post(path, body, Idempotency_Key="k1") for one in (asha, bela)]
    assert [answer.status for answer in made] == [201, 201]
    assert made[0].body["id"] != made[1].body["id"]
    again = await bela.client.post(path, body, Idempotency_Key="k1")
    assert (again.headers["Idempotent-Replayed"], again.body) == ("true", made[1].body)
    # Nor does whoever knows a member's key learn by it what was answered.
    other = await client.post("/v1/members", {}, Idempotency_Key="k1")
    assert (other.status, "Idempotent-Replayed" in other.headers) == (201, False)


async def test_of_concurrent_requests_with_one_key_one_does_the_work(
    client: Client, db: Db
) -> None:
    answers = await asyncio.gather(
        *(client.post("/v1/members", {"name": "A"}, Idempotency_Key="k1") for _ in range(8))
    )
    made = {answer.body["id"] for answer in answers if answer.status == 201}
    assert len(made) == 1
    assert {answer.code for answer in answers if answer.status != 201} <= {"request_in_flight"}
    assert (await counts(db))["member"] == 1


async def test_a_request_still_under_way_is_told_to_the_second(
    client: Client, db: Db, database: DatabaseUrls
) -> None:
    """A transaction that holds the external id keeps the first request waiting."""
    program_id = await db.fetchval("SELECT id FROM program")
    blocker = await asyncpg.connect(database.migrate)
    transaction = blocker.transaction()
    await transaction.start()
    await blocker.execute(
        "INSERT INTO member (id, program_id, external_id) VALUES ('mem_x', $1, 'x')", program_id
    )
    body = {"external_id": "x"}
    first = asyncio.create_task(client.post("/v1/members", body, Idempotency_Key="k1"))
    async with asyncio.timeout(10):
        while not await db.fetchval(WAITING):
            await db.execute("SELECT pg_sleep(0.01)")
    second = await client.post("/v1/members", body, Idempotency_Key="k1")
    assert (second.status, second.code) == (409, "request_in_flight")
    await transaction.rollback()
    await blocker.close()
    assert (await first).status == 201


@pytest.mark.parametrize("key", ["", '""', "a\tb", "é", "x" * 256])
async def test_a_key_that_is_none_is_refused(client: Client, db: Db, key: str) -> None:
    before = await counts(db)
    refused = await client.post("/v1/members", {}, Idempotency_Key=key)
    assert (refused.status, refused.code) == (400, "idempotency_key_invalid")
    assert await counts(db) == before


async def test_a_program_is_made_once_for_one_key(staff: Client, db: Db) -> None:
    body = {"name": "Tea", "currency": "INR"}
    first = await staff.post("/v1/programs", body, Idempotency_Key="k1")
    again = await staff.post("/v1/programs", body, Idempotency_Key="k1")
    assert first.body == again.body
    assert (await counts(db))["program"] == 1


async def test_a_bulk_is_answered_once_for_one_key(client: Client, db: Db) -> None:
    body = {"items": [{"external_id": "a"}, {"external_id": 1}]}
    first = await client.post("/v1/members/bulk", body, Idempotency_Key="k1")
    again = await client.post("/v1/members/bulk", body, Idempotency_Key="k1")
    assert first.body == again.body
    assert [one["status"] for one in first.body["data"]] == [201, 422]
    assert (await counts(db))["member"] == 1


async def test_what_is_kept_to_be_answered_again_names_nobody(client: Client, db: Db) -> None:
    first = await client.post("/v1/members", {"name": "Grace Hopper"}, Idempotency_Key="k1")
    kept = await db.fetchval("SELECT answer FROM idempotency")
    assert b"Grace" not in kept
    again = await client.post("/v1/members", {"name": "Grace Hopper"}, Idempotency_Key="k1")
    assert (again.status, again.body["name"]) == (first.status, "Grace Hopper")


async def test_an_answer_that_an_older_version_kept_is_still_given(client: Client, db: Db) -> None:
    await client.post("/v1/members", {}, Idempotency_Key="k1")
    await db.execute("UPDATE idempotency SET answer = $1", b'{"id":"mem_old"}')
    again = await client.post("/v1/members", {}, Idempotency_Key="k1")
    assert again.body == {"id": "mem_old"}
