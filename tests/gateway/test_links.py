"""Links over HTTP: stored in PostgreSQL, published in Redis."""

from __future__ import annotations

import asyncio
from typing import Any

import bcrypt
import pytest
from redis.asyncio import Redis

from core import links, tasks
from core.links import Snapshot
from db import keys
from db import links as stored
from gateway.app import App
from tests.gateway.conftest import Client, Db, counts

SHOP = "https://shop.example.com/item?id=1"


async def published(redis: Redis, slug: str) -> Snapshot | None:
    """What the redirectors see under a slug."""
    blob = await redis.hget(keys.link_snapshot(slug), "b")
    assert blob is None or isinstance(blob, bytes)
    return links.decode(blob) if blob else None


async def test_a_new_link_is_shown_and_published(client: Client, redis: Redis) -> None:
    made = await client.post(
        "/v1/links", {"destination": SHOP, "slug": "tea", "network": "admitad", "title": "Tea"}
    )
    assert made.status == 201
    assert made.body["url"] == "https://go.example.test/r/tea"
    assert made.body["qr_url"] == "https://go.example.test/r/tea.svg"
    assert made.body["has_password"] is False
    snapshot = await published(redis, "tea")
    assert snapshot is not None
    assert (snapshot.link_id, snapshot.version) == (made.body["id"], made.body["version"])
    assert "click_id" in snapshot.template.macros
    read = await client.get(f"/v1/links/{made.body['id']}")
    assert (read.status, read.body) == (200, made.body)


async def test_a_link_without_a_slug_gets_one(client: Client, redis: Redis) -> None:
    made = await client.post("/v1/links", {"destination": SHOP})
    slug = made.body["slug"]
    assert len(slug) == 7
    assert await published(redis, slug) is not None


async def test_a_slug_is_taken_once_in_all_programs(client: Client, other: Client) -> None:
    assert (await client.post("/v1/links", {"destination": SHOP, "slug": "tea"})).status == 201
    for caller in (client, other):
        again = await caller.post("/v1/links", {"destination": SHOP, "slug": "tea"})
        assert (again.status, again.code) == (409, "slug_taken")


async def test_of_two_concurrent_creates_of_one_slug_one_succeeds(
    client: Client, other: Client, db: Db, redis: Redis
) -> None:
    answers = await asyncio.gather(
        *(
            caller.post("/v1/links", {"destination": SHOP, "slug": "tea"})
            for caller in (client, other) * 4
        )
    )
    assert sorted(answer.status for answer in answers) == [201] + [409] * 7
    won = next(answer.body for answer in answers if answer.status == 201)
    snapshot = await published(redis, "tea")
    assert snapshot is not None
    assert snapshot.link_id == won["id"]
    assert (await counts(db))["link"] == 1


async def test_a_patch_changes_the_given_fields_and_null_resets_one(
    client: Client, redis: Redis
) -> None:
    made = await client.post(
        "/v1/links", {"destination": SHOP, "slug": "tea", "title": "Tea", "cap": 5}
    )
    path = f"/v1/links/{made.body['id']}"
    changed = await client.patch(path, {"title": None, "state": "paused"})
    assert changed.status == 200
    assert changed.body["version"] > made.body["version"]
    untouched = {"version", "updated_at", "title", "state"}
    assert {k: v for k, v in changed.body.items() if k not in untouched} == {
        k: v for k, v in made.body.items() if k not in untouched
    }
    assert (changed.body["title"], changed.body["state"]) == (None, "paused")
    snapshot = await published(redis, "tea")
    assert snapshot is not None
    assert snapshot.is_paused
    assert (await client.patch(path, {"destination": None})).status == 422
    assert (await client.get(path)).body == changed.body


async def test_a_new_slug_takes_the_old_one_back(client: Client, redis: Redis) -> None:
    made = await client.post("/v1/links", {"destination": SHOP, "slug": "old"})
    path = f"/v1/links/{made.body['id']}"
    assert (await client.patch(path, {"slug": "new"})).status == 200
    assert await published(redis, "old") is None
    assert await published(redis, "new") is not None
    again = await client.post("/v1/links", {"destination": SHOP, "slug": "old"})
    assert again.status == 201
    snapshot = await published(redis, "old")
    assert snapshot is not None
    assert snapshot.link_id == again.body["id"]
    clash = await client.patch(path, {"slug": "old"})
    assert (clash.status, clash.code) == (409, "slug_taken")


async def test_a_deleted_link_is_gone_everywhere(client: Client, redis: Redis) -> None:
    made = await client.post("/v1/links", {"destination": SHOP, "slug": "tea"})
    path = f"/v1/links/{made.body['id']}"
    assert (await client.delete(path)).status == 204
    assert await published(redis, "tea") is None
    for answer in (
        await client.get(path),
        await client.patch(path, {"title": "x"}),
        await client.delete(path),
        await client.get(f"{path}/stats"),
    ):
        assert (answer.status, answer.code) == (404, "link_not_found")


async def test_another_programs_link_is_not_there(client: Client, other: Client) -> None:
    made = await client.post("/v1/links", {"destination": SHOP})
    path = f"/v1/links/{made.body['id']}"
    for answer in (
        await other.get(path),
        await other.patch(path, {"title": "x"}),
        await other.delete(path),
        await other.get(f"{path}/stats"),
        await other.get(f"/v1/clicks?link_id={made.body['id']}"),
        await other.post("/v1/clicks", {"link_id": made.body["id"]}),
        await other.post("/v1/clicks", {"slug": made.body["slug"]}),
    ):
        assert (answer.status, answer.code) == (404, "link_not_found")
    assert (await client.get(path)).body == made.body


async def test_an_upsert_makes_a_link_and_then_replaces_it(client: Client, redis: Redis) -> None:
    config = {"external_id": "x1", "destination": SHOP, "title": "One", "password": "sesame"}
    made = await client.put("/v1/links/upsert", config)
    assert made.status == 200
    replaced = await client.put(
        "/v1/links/upsert", {"external_id": "x1", "destination": "https://other.example.com/"}
    )
    assert (replaced.body["id"], replaced.body["slug"]) == (made.body["id"], made.body["slug"])
    assert replaced.body["title"] is None
    assert replaced.body["has_password"] is True
    opened = await client.put("/v1/links/upsert", {**config, "password": None})
    assert opened.body["has_password"] is False
    snapshot = await published(redis, made.body["slug"])
    assert snapshot is not None
    assert snapshot.password_hash == ""
    nameless = await client.put("/v1/links/upsert", {"destination": SHOP})
    assert (nameless.status, nameless.code) == (422, "invalid_request")


async def test_concurrent_upserts_reach_one_link(client: Client) -> None:
    answers = await asyncio.gather(
        *(
            client.put(
                "/v1/links/upsert", {"external_id": "x1", "destination": f"{SHOP}&n={number}"}
            )
            for number in range(6)
        )
    )
    assert {answer.status for answer in answers} == {200}
    assert len({answer.body["id"] for answer in answers}) == 1


async def test_a_password_is_stored_as_a_hash_and_never_shown(
    client: Client, db: Db, redis: Redis
) -> None:
    made = await client.post(
        "/v1/links", {"destination": SHOP, "slug": "tea", "password": "open sesame"}
    )
    assert made.body["has_password"] is True
    assert "password" not in made.body
    row = await db.fetchrow("SELECT config::text, password_hash FROM link")
    assert row is not None
    assert "sesame" not in row["config"]
    assert bcrypt.checkpw(b"open sesame", row["password_hash"].encode())
    path = f"/v1/links/{made.body['id']}"
    kept = await client.patch(path, {"title": "Tea"})
    assert kept.body["has_password"] is True
    removed = await client.patch(path, {"password": None})
    assert removed.body["has_password"] is False


async def test_links_are_found_by_external_id_and_slug(client: Client) -> None:
    for name in ("a", "b", "c"):
        await client.post(
            "/v1/links", {"destination": SHOP, "slug": name, "external_id": f"x{name}"}
        )
    found = await client.get("/v1/links?external_id=xb")
    assert [one["slug"] for one in found.body["data"]] == ["b"]
    found = await client.get("/v1/links?slug=c")
    assert [one["external_id"] for one in found.body["data"]] == ["xc"]
    first = await client.get("/v1/links?limit=2")
    rest = await client.get(f"/v1/links?cursor={first.body['next_cursor']}")
    slugs = [one["slug"] for one in [*first.body["data"], *rest.body["data"]]]
    assert sorted(slugs) == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("config", "code", "pointer"),
    [
        ({"destination": "javascript:alert(1)"}, "invalid_destination", "/destination"),
        ({"destination": "https://u:p@shop.example.com/"}, "invalid_destination", "/destination"),
        ({"destination": "http://127.0.0.1/"}, "invalid_destination", "/destination"),
        ({"destination": "https://go.example.test/r/a"}, "invalid_destination", "/destination"),
        ({"destination": "https://a.example.com/\r\nX: y"}, "invalid_destination", "/destination"),
        (
            {"destination": SHOP, "fallback_url": "ftp://a.b/"},
            "invalid_destination",
            "/fallback_url",
        ),
        ({"destination": SHOP, "slug": "../x"}, "invalid_request", "/slug"),
        ({"destination": SHOP, "slug": "a\n"}, "invalid_request", "/slug"),
        ({"destination": SHOP, "cap": 0}, "invalid_request", "/cap"),
        ({"destination": SHOP, "cap": 2**70}, "invalid_request", "/cap"),
        (
            {"destination": SHOP, "starts_at": "2026-01-01T00:00:00"},
            "invalid_request",
            "/starts_at",
        ),
        ({"destination": SHOP, "colour": "red"}, "invalid_request", ""),
        ({}, "invalid_request", ""),
    ],
)
async def test_a_bad_config_is_refused_naming_the_field(
    client: Client, db: Db, config: dict[str, Any], code: str, pointer: str
) -> None:
    before = await counts(db)
    refused = await client.post("/v1/links", config)
    assert (refused.status, refused.code) == (422, code)
    assert refused.body["errors"][0]["pointer"] == pointer
    assert await counts(db) == before


async def test_each_item_of_a_bulk_has_its_own_answer(client: Client, db: Db, redis: Redis) -> None:
    await client.post("/v1/links", {"destination": SHOP, "slug": "taken", "external_id": "x"})
    items = [
        {"destination": SHOP, "slug": "a"},
        {"destination": SHOP, "slug": "taken"},
        {"destination": SHOP, "external_id": "x"},
        {"destination": "javascript:1"},
        {"destination": SHOP, "password": "p"},
        {"destination": SHOP},
        {"destination": SHOP, "slug": "a"},
    ]
    answer = await client.post("/v1/links/bulk", {"items": items})
    assert answer.status == 200
    outcomes = [(one["status"], one.get("error", {}).get("code")) for one in answer.body["data"]]
    assert outcomes == [
        (201, None),
        (409, "slug_taken"),
        (409, "external_id_taken"),
        (422, "invalid_destination"),
        (422, "invalid_request"),
        (201, None),
        (409, "slug_taken"),
    ]
    assert (await counts(db))["link"] == 3
    for one in answer.body["data"]:
        if one["status"] == 201:
            assert await published(redis, one["data"]["slug"]) is not None


async def test_a_thousand_links_come_in_one_bulk(client: Client, db: Db, redis: Redis) -> None:
    items = [{"destination": f"{SHOP}&n={number}"} for number in range(1000)]
    answer = await client.post("/v1/links/bulk", {"items": items})
    assert {one["status"] for one in answer.body["data"]} == {201}
    assert (await counts(db))["link"] == 1000
    assert await redis.xlen(keys.LINK_CHANGES) == 1000


async def test_a_link_whose_publishing_failed_is_published_from_the_outbox(
    client: Client, app: App, db: Db, redis: Redis
) -> None:
    await redis.set(keys.link_snapshot("tea"), "a value of the wrong type")
    made = await client.post("/v1/links", {"destination": SHOP, "slug": "tea"})
    assert made.status == 201
    await redis.delete(keys.link_snapshot("tea"))
    task = await outbox_task(db)
    async with app.connection() as connection:
        await stored.republish(connection, app.redis, task)
    snapshot = await published(redis, "tea")
    assert snapshot is not None
    assert snapshot.link_id == made.body["id"]


async def test_an_old_task_does_not_take_a_slug_from_its_new_link(
    client: Client, app: App, db: Db, redis: Redis
) -> None:
    first = await client.post("/v1/links", {"destination": SHOP, "slug": "tea"})
    await client.delete(f"/v1/links/{first.body['id']}")
    tasks_then = await outbox_tasks(db)
    second = await client.post("/v1/links", {"destination": SHOP, "slug": "tea"})
    async with app.connection() as connection:
        for task in tasks_then:
            await stored.republish(connection, app.redis, task)
    snapshot = await published(redis, "tea")
    assert snapshot is not None
    assert snapshot.link_id == second.body["id"]


async def test_a_redis_that_lost_everything_gets_all_links_again(
    client: Client, app: App, redis: Redis
) -> None:
    items = [{"destination": SHOP, "slug": f"s{number}"} for number in range(12)]
    await client.post("/v1/links/bulk", {"items": items})
    await redis.flushdb()
    seen: list[tuple[int, int]] = []
    done = await stored.publish_all(app.pool, app.redis, lambda *step: seen.append(step))
    assert (done, seen) == (12, [(12, 12)])
    for item in items:
        assert await published(redis, item["slug"]) is not None


async def outbox_tasks(db: Db) -> list[Any]:
    rows = await db.fetch("SELECT task, payload FROM outbox ORDER BY id")
    return [tasks.load(row["task"], row["payload"].encode()) for row in rows]


async def outbox_task(db: Db) -> Any:
    (task,) = await outbox_tasks(db)
    return task
