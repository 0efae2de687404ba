"""Offers over HTTP: kept by operators, found by members."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from redis.asyncio import Redis

from core import links
from db import keys
from gateway.app import App
from tests.gateway import cash
from tests.gateway.conftest import Answer, Client, Db

PATH = "/v1/offers"
SHOP = "https://shop.example.com/?c={click_id}"
CASHBACK = {"basis": "commission", "rate_bp": 7_000}


async def merchant(client: Client, name: str = "Tea Shop", **more: Any) -> str:
    made = await client.post("/v1/merchants", {"name": name, **more})
    assert made.status == 201, made.body
    return str(made.body["id"])


def body(merchant_id: str, **more: Any) -> dict[str, Any]:
    base = {"merchant_id": merchant_id, "title": "Green tea", "kind": "deal", "state": "active"}
    return {"destination": SHOP, **base, **more}


async def add(client: Client, merchant_id: str, **more: Any) -> Any:
    made = await client.post(PATH, body(merchant_id, **more))
    assert made.status == 201, made.body
    return made.body


async def titles(client: Client, query: str = "") -> list[str]:
    answer = await client.get(PATH + query)
    assert answer.status == 200, answer.body
    return [one["title"] for one in answer.body["data"]]


async def count(db: Db) -> tuple[int, ...]:
    tables = ("offer", "link", "outbox", "audit_entry")
    return tuple([await db.fetchval(f"SELECT count(*) FROM {table}") for table in tables])


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.code) == (status, code), answer.body


async def snapshot(redis: Redis, db: Db, offer: dict[str, Any]) -> links.Snapshot:
    slug = await db.fetchval("SELECT slug FROM link WHERE id = $1", offer["link_id"])
    blob: Any = await redis.hget(keys.link_snapshot(slug), "b")
    return links.decode(blob)


async def test_an_offer_is_stored_read_changed_and_listed(
    client: Client, redis: Redis, db: Db
) -> None:
    shop = await merchant(client)
    more = {
        "kind": "cashback",
        "cashback": {"basis": "fixed", "amount_minor": 5_000, "currency": "INR"},
        "member_cap": {"period": "month", "amount_minor": 20_000, "count": 3},
        "starts_at": "2026-01-01T00:00:00Z",
        "ends_at": "2099-01-01T00:00:00Z",
        "description": "Leaves.",
        "external_id": "x1",
        "network_id": "admitad",
    }
    made = await add(client, shop, **more)
    assert made.items() >= {**more, "is_active": True, "merchant_name": "Tea Shop"}.items()
    path = f"{PATH}/{made['id']}"
    assert (await client.get(path)).body == made
    changed = await client.patch(path, {"title": "Black tea", "ends_at": None})
    assert changed.status == 200
    assert (changed.body["title"], changed.body["ends_at"]) == ("Black tea", None)
    assert (await client.get(PATH)).body == {"data": [changed.body], "next_cursor": None}
    assert (await snapshot(redis, db, made)).title == "Black tea"


async def test_an_offer_is_stored_once_for_all_repeats(client: Client, db: Db) -> None:
    wanted = body(await merchant(client))
    first = await client.post(PATH, wanted, Idempotency_Key="k")
    again = await client.post(PATH, wanted, Idempotency_Key="k")
    assert (again.status, again.body) == (201, first.body)
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await db.fetchval("SELECT count(*) FROM offer") == 1


async def test_upsert_stores_then_replaces_and_keeps_the_link(client: Client, db: Db) -> None:
    shop = await merchant(client)
    wanted = body(shop, external_id="x")
    first = await client.put(f"{PATH}/upsert", wanted)
    assert first.status == 200
    del wanted["state"]
    second = await client.put(f"{PATH}/upsert", {**wanted, "title": "Black tea"})
    assert second.body == {
        **first.body,
        "title": "Black tea",
        "updated_at": second.body["updated_at"],
    }
    before = await count(db)
    third = await client.put(f"{PATH}/upsert", {**wanted, "title": "Black tea"})
    assert third.body == second.body
    assert (await count(db))[:3] == before[:3]


async def test_upserts_at_once_store_one_offer(client: Client, db: Db) -> None:
    shop = await merchant(client)
    for number in range(3):
        wanted = body(shop, external_id=f"x{number}")
        putting = [client.put(f"{PATH}/upsert", wanted) for _ in range(5)]
        found = await asyncio.gather(*putting)
        assert {answer.status for answer in found} == {200}
        assert len({answer.body["id"] for answer in found}) == 1
    assert (await count(db))[:2] == (3, 3)


@pytest.mark.parametrize(
    ("wrong", "code"),
    [
        ({"kind": "coupon"}, "invalid_request"),
        ({"kind": "cashback"}, "invalid_request"),
        ({"cashback": {"basis": "sale", "rate_bp": 10_001}}, "invalid_request"),
        ({"cashback": {"basis": "gift", "rate_bp": 1}}, "invalid_request"),
        ({"destination": "https://127.0.0.1/"}, "invalid_destination"),
        ({"destination": "ftp://shop.example/"}, "invalid_destination"),
        ({"state": "gone"}, "invalid_request"),
        ({"title": ""}, "invalid_request"),
        ({"nonsense": 1}, "invalid_request"),
    ],
)
async def test_bad_offers_change_nothing(
    client: Client, db: Db, wrong: dict[str, Any], code: str
) -> None:
    shop = await merchant(client)
    made = await add(client, shop, external_id="x")
    before = await count(db)
    refused(await client.post(PATH, body(shop, **wrong)), 422, code)
    refused(await client.patch(f"{PATH}/{made['id']}", wrong), 422, code)
    refused(await client.put(f"{PATH}/upsert", body(shop, external_id="x", **wrong)), 422, code)
    assert await count(db) == before
    assert (await client.get(f"{PATH}/{made['id']}")).body == made


async def test_merchant_and_categories_are_the_programs(
    client: Client, other: Client, db: Db
) -> None:
    shop, theirs = await merchant(client), await merchant(other)
    foreign = (await other.post("/v1/categories", {"slug": "tea", "name": "Tea"})).body["id"]
    before = await count(db)
    refused(await client.post(PATH, body(theirs)), 404, "merchant_not_found")
    wrong = body(shop, category_ids=[foreign])
    refused(await client.post(PATH, wrong), 404, "category_not_found")
    assert await count(db) == before
    made = await add(client, shop)
    refused(await other.get(f"{PATH}/{made['id']}"), 404, "offer_not_found")
    refused(await other.patch(f"{PATH}/{made['id']}", {}), 404, "offer_not_found")
    assert await titles(other) == []


async def test_an_external_id_is_taken_once_in_a_program(client: Client, other: Client) -> None:
    for caller in (client, other):
        await add(caller, await merchant(caller), external_id="x")
    shop = await merchant(client)
    refused(await client.post(PATH, body(shop, external_id="x")), 409, "external_id_taken")
    second = await add(client, shop)
    clash = await client.patch(f"{PATH}/{second['id']}", {"external_id": "x"})
    refused(clash, 409, "external_id_taken")


async def test_only_a_draft_is_deleted(client: Client, db: Db) -> None:
    shop = await merchant(client)
    draft = await add(client, shop, state="draft")
    assert (await client.delete(f"{PATH}/{draft['id']}")).status == 204
    assert (await count(db))[:2] == (0, 0)
    made = await add(client, shop)
    refused(await client.delete(f"{PATH}/{made['id']}"), 409, "offer_in_use")
    back = await client.patch(f"{PATH}/{made['id']}", {"state": "draft"})
    refused(back, 409, "offer_in_use")


async def test_the_link_of_an_offer_is_changed_with_the_offer_only(client: Client) -> None:
    made = await add(client, await merchant(client))
    path = f"/v1/links/{made['link_id']}"
    refused(await client.patch(path, {"title": "Mine"}), 409, "link_in_use")
    refused(await client.delete(path), 409, "link_in_use")
    assert (await client.get(path)).body["offer_id"] == made["id"]


async def test_lists_filter_and_go_page_by_page(client: Client) -> None:
    one, two = await merchant(client), await merchant(client, "Books")
    food = (await client.post("/v1/categories", {"slug": "food", "name": "F"})).body["id"]
    tea = {"slug": "tea", "name": "T", "parent_id": food}
    below = (await client.post("/v1/categories", tea)).body["id"]
    await add(client, one, title="A", category_ids=[below])
    await add(client, one, title="B", kind="coupon", coupon_code="SAVE20")
    await add(client, two, title="C", state="paused")
    await add(client, two, title="D", ends_at="2020-01-01T00:00:00Z")
    assert await titles(client) == ["A", "B", "C", "D"]
    assert await titles(client, f"?merchant_id={two}") == ["C", "D"]
    assert await titles(client, f"?category_id={food}") == ["A"]
    assert await titles(client, "?kind=coupon") == ["B"]
    assert await titles(client, "?state=paused") == ["C"]
    assert await titles(client, "?is_active=true") == ["A", "B"]
    assert await titles(client, "?is_active=false") == ["C", "D"]
    first = (await client.get(f"{PATH}?limit=3")).body
    assert await titles(client, f"?limit=3&cursor={first['next_cursor']}") == ["D"]
    refused(await client.get(f"{PATH}?cursor=x"), 422, "invalid_request")


async def test_words_are_found_in_title_merchant_and_code(client: Client) -> None:
    shop = await merchant(client)
    await add(client, shop, title="Assam leaves", kind="coupon", coupon_code="SAVE20")
    await add(client, await merchant(client, "Books"), title="हिंदी novels")
    for text in ("assam", "ASS", "tea shop", "shop leaves", "save20"):
        assert await titles(client, f"?q={text}") == ["Assam leaves"], text
    assert await titles(client, "?q=हिंदी") == ["हिंदी novels"]
    for text in ("coffee", "assam novels", "%26", "'", "a'b", "%5C"):
        assert await titles(client, f"?q={text}") == [], text
    await client.patch(f"/v1/merchants/{shop}", {"name": "Coffee House"})
    assert await titles(client, "?q=coffee") == ["Assam leaves"]
    assert await titles(client, "?q=tea") == []


async def test_what_the_client_has_is_not_sent_again(client: Client) -> None:
    shop = await merchant(client)
    await add(client, shop)
    for path in (PATH, f"{PATH}/hot"):
        tag = (await client.get(path)).headers["ETag"]
        assert (await client.get(path, If_None_Match=tag)).status == 304
    tag = (await client.get(PATH)).headers["ETag"]
    await add(client, shop)
    assert (await client.get(PATH, If_None_Match=tag)).status == 200


async def test_hot_offers_stand_by_rank(client: Client) -> None:
    shop = await merchant(client)
    for title, more in (
        ("third", {"rank": 3, "is_hot": True}),
        ("first", {"rank": 1, "is_hot": True}),
        ("cold", {"rank": 0}),
        ("paused", {"is_hot": True, "state": "paused"}),
        ("over", {"is_hot": True, "ends_at": "2020-01-01T00:00:00Z"}),
        ("later", {"is_hot": True, "starts_at": "2099-01-01T00:00:00Z"}),
    ):
        await add(client, shop, title=title, **more)
    hot = (await client.get(f"{PATH}/hot")).body["data"]
    assert [one["title"] for one in hot] == ["first", "third"]


async def test_offers_of_a_shops_page(client: Client, other: Client) -> None:
    shop = await merchant(client, hosts=["shop.example"])
    made = await add(client, shop)
    await add(client, shop, state="paused")
    path = f"{PATH}/by-domain?host="
    for host in ("shop.example", "www.Shop.example:443"):
        assert (await client.get(path + host)).body == {"data": [made]}
    for host in ("myshop.example", "example"):
        assert (await client.get(path + host)).body == {"data": []}
    assert (await other.get(path + "shop.example")).body == {"data": []}
    refused(await client.get(path + "https://shop.example/"), 422, "invalid_request")
    await client.patch(f"/v1/merchants/{shop}", {"state": "paused"})
    assert (await client.get(path + "shop.example")).body == {"data": []}


async def test_members_see_what_is_active_without_what_is_the_operators(
    client: Client, app: App
) -> None:
    shop = await merchant(client)
    more = {"kind": "coupon", "coupon_code": "SAVE20", "external_id": "x", "is_hot": True}
    made = await add(client, shop, **more)
    draft = await add(client, shop, state="draft", title="Draft")
    member = (await cash.person(client, app)).client
    (seen,) = (await member.get(f"{PATH}?is_active=false")).body["data"]
    hidden = ("coupon_code", "external_id", "destination", "network_id", "link_id")
    assert [seen[name] for name in hidden] == [None] * 5
    assert seen.items() >= {"id": made["id"], "title": made["title"], "is_active": True}.items()
    assert (await member.get(f"{PATH}/hot")).body["data"] == [seen]
    assert (await member.get(f"{PATH}/{made['id']}")).body == seen
    refused(await member.get(f"{PATH}/{draft['id']}"), 404, "offer_not_found")
    refused(await member.patch(f"{PATH}/{made['id']}", {}), 403, "insufficient_scope")
