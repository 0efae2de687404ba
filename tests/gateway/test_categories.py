"""Categories, and the merchants that are filed in them, over HTTP."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gateway.app import App
from tests.gateway import cash
from tests.gateway.conftest import Client, Db

PATH = "/v1/categories"


async def add(client: Client, slug: str, **more: Any) -> str:
    made = await client.post(PATH, {"slug": slug, "name": slug.title(), **more})
    assert made.status == 201, made.body
    return str(made.body["id"])


def slugs(nodes: list[Any]) -> list[Any]:
    return [(node["slug"], slugs(node["children"])) for node in nodes]


async def tree(client: Client) -> list[Any]:
    return slugs((await client.get(PATH)).body["data"])


async def count(db: Db) -> int:
    return int(await db.fetchval("SELECT count(*) FROM category"))


async def test_the_tree_is_one_answer_with_a_tag(client: Client) -> None:
    food = await add(client, "food", position=2)
    await add(client, "tea", parent_id=food)
    await add(client, "travel", position=1)
    first = await client.get(PATH)
    assert slugs(first.body["data"]) == [("travel", []), ("food", [("tea", [])])]
    again = await client.get(PATH, If_None_Match=first.headers["ETag"])
    assert again.status == 304
    await add(client, "cards")
    assert (await client.get(PATH, If_None_Match=first.headers["ETag"])).status == 200


async def test_a_category_is_read_changed_moved_and_deleted(client: Client) -> None:
    food, tea = await add(client, "food"), await add(client, "tea")
    moved = await client.patch(f"{PATH}/{tea}", {"parent_id": food, "name": "Fine tea"})
    assert moved.status == 200
    assert (await client.get(f"{PATH}/{tea}")).body == moved.body
    assert await tree(client) == [("food", [("tea", [])])]
    in_use = await client.delete(f"{PATH}/{food}")
    assert (in_use.status, in_use.code) == (409, "category_in_use")
    await client.patch(f"{PATH}/{tea}", {"parent_id": None})
    assert (await client.delete(f"{PATH}/{food}")).status == 204
    assert (await client.get(f"{PATH}/{food}")).code == "category_not_found"
    assert await tree(client) == [("tea", [])]


async def test_a_slug_is_taken_once_in_a_program(client: Client, other: Client, db: Db) -> None:
    await add(client, "food")
    await add(other, "food")
    tea = await add(client, "tea")
    before = await count(db)
    again = await client.post(PATH, {"slug": "food", "name": "Food"})
    assert (again.status, again.code) == (409, "category_slug_taken")
    clash = await client.patch(f"{PATH}/{tea}", {"slug": "food"})
    assert (clash.status, clash.code) == (409, "category_slug_taken")
    assert await count(db) == before


async def test_a_category_is_stored_once_for_all_repeats(client: Client, db: Db) -> None:
    body = {"slug": "food", "name": "Food"}
    first = await client.post(PATH, body, Idempotency_Key="k")
    again = await client.post(PATH, body, Idempotency_Key="k")
    assert again.body == first.body
    assert again.headers["Idempotent-Replayed"] == "true"
    assert await count(db) == 1


async def test_a_cycle_is_refused(client: Client) -> None:
    food = await add(client, "food")
    tea = await add(client, "tea", parent_id=food)
    for parent in (food, tea):
        refused = await client.patch(f"{PATH}/{food}", {"parent_id": parent})
        assert (refused.status, refused.code) == (409, "category_cycle")
    assert await tree(client) == [("food", [("tea", [])])]


async def test_two_moves_at_once_make_no_cycle(client: Client) -> None:
    for number in range(5):
        one, two = await add(client, f"a{number}"), await add(client, f"b{number}")
        answers = await asyncio.gather(
            client.patch(f"{PATH}/{one}", {"parent_id": two}),
            client.patch(f"{PATH}/{two}", {"parent_id": one}),
        )
        assert sorted(answer.status for answer in answers) == [200, 409]


@pytest.mark.parametrize("parent", ["cat_nothing", "other"])
async def test_a_parent_is_one_of_the_program(
    client: Client, other: Client, db: Db, parent: str
) -> None:
    theirs = await add(other, "food")
    before = await count(db)
    chosen = theirs if parent == "other" else parent
    refused = await client.post(PATH, {"slug": "tea", "name": "Tea", "parent_id": chosen})
    assert (refused.status, refused.code) == (404, "category_not_found")
    assert await count(db) == before


async def test_a_merchant_is_filed_in_categories_of_its_program(
    client: Client, other: Client, db: Db
) -> None:
    food, theirs = await add(client, "food"), await add(other, "food")
    more = {
        "hosts": ["shop.example"],
        "logo_url": "https://cdn.example/logo.png",
        "category_ids": [food],
        "approval_days": 45,
        "descriptions": {"en": "Tea", "hi": "चाय"},
    }
    made = await client.post("/v1/merchants", {"name": "Shop", **more})
    assert made.status == 201
    assert made.body.items() >= {**more, "state": "active"}.items()
    path = f"/v1/merchants/{made.body['id']}"
    assert (await client.get(path)).body == made.body
    refused = await client.patch(path, {"category_ids": [theirs]})
    assert (refused.status, refused.code) == (404, "category_not_found")
    refused = await client.post("/v1/merchants", {"name": "B", "category_ids": [theirs]})
    assert refused.code == "category_not_found"
    assert (await client.get(path)).body == made.body
    assert await db.fetchval("SELECT count(*) FROM merchant") == 1
    assert (await client.delete(f"{PATH}/{food}")).code == "category_in_use"
    assert (await client.patch(path, {"category_ids": []})).status == 200
    assert (await client.delete(f"{PATH}/{food}")).status == 204


@pytest.mark.parametrize(
    "wrong",
    [
        {"hosts": ["https://shop.example"]},
        {"hosts": ["Shop.example"]},
        {"logo_url": "javascript:alert(1)"},
        {"logo_url": "http://cdn.example/logo.png"},
        {"state": "gone"},
        {"approval_days": -1},
        {"descriptions": {"English": "Tea"}},
    ],
)
async def test_bad_fields_of_a_merchant_are_refused(
    client: Client, db: Db, wrong: dict[str, Any]
) -> None:
    refused = await client.post("/v1/merchants", {"name": "Shop", **wrong})
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await db.fetchval("SELECT count(*) FROM merchant") == 0


async def test_a_member_sees_the_tree_and_the_active_merchants(client: Client, app: App) -> None:
    food = await add(client, "food")
    shown = await client.post("/v1/merchants", {"name": "A"})
    paused = await client.post("/v1/merchants", {"name": "B", "state": "paused"})
    member = (await cash.person(client, app)).client
    assert await tree(member) == [("food", [])]
    assert (await member.get("/v1/merchants")).body["data"] == [shown.body]
    assert (await member.get(f"/v1/merchants/{shown.body['id']}")).status == 200
    assert (await member.get(f"/v1/merchants/{paused.body['id']}")).code == "merchant_not_found"
    assert (await client.get(f"/v1/merchants/{paused.body['id']}")).status == 200
    assert (await member.delete(f"{PATH}/{food}")).status == 403
