"""Clicks over HTTP: made beforehand, on their way, stored, counted."""

from __future__ import annotations

import datetime as dt
import time

from redis.asyncio import Redis

from core import classes, clickid, clicks, ids
from db import keys
from gateway.app import App
from tests.gateway.conftest import RING, Client, Db

SHOP = "https://shop.example.com/"
DAY_MS = clickid.DAY_MS
INSERT_CLICK = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, country, device,
                   system, browser, privacy_signal, member_id, parameters)
VALUES ($1, $2, $3, $4, $5, 0, '{}', 'IN', 'mobile', 'android', 'chrome', false, NULL,
        '{"sub1": "a"}')
"""
INSERT_DAILY = """
INSERT INTO click_daily (link_id, day, class, device, country, variant, program_id, clicks)
VALUES ($1, $2, $3, $4, $5, $6, '', $7)
"""


async def store_click(db: Db, link_id: str, ms: int, sequence: int = 0) -> str:
    """A stored click of the link's program, made at `ms`."""
    program_id = await db.fetchval("SELECT program_id FROM link WHERE id = $1", link_id)
    minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 9)
    minter.sequence = sequence
    click_id = minter.mint(ms, program_id, ids.link_bits(link_id))
    moment = dt.datetime.fromtimestamp(ms / 1000, dt.UTC)
    await db.execute(INSERT_CLICK, moment.date(), click_id, program_id, link_id, moment)
    return click_id


async def test_a_click_made_beforehand_waits_for_its_visit(
    client: Client, app: App, db: Db, redis: Redis
) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP})).body
    member = (await client.post("/v1/members", {})).body
    made = await client.post(
        "/v1/clicks", {"link_id": link["id"], "member": member["id"], "parameters": {"sub1": "a"}}
    )
    assert made.status == 201
    click_id = made.body["click_id"]
    assert made.body["url"] == f"https://go.example.test/c/{click_id}"
    program_id = await db.fetchval("SELECT program_id FROM link")
    assert clickid.verify(click_id, program_id, RING.click).link_bits == ids.link_bits(link["id"])
    packed = await redis.hget(keys.premint(click_id), "e")
    assert isinstance(packed, bytes)
    assert clicks.decode_premint(packed) == clicks.Premint(
        program_id=program_id,
        link_id=link["id"],
        slug=link["slug"],
        member_id=member["id"],
        parameters={"sub1": "a"},
    )
    left_s = await redis.ttl(keys.premint(click_id))
    assert 0 < left_s <= app.settings.premint_ttl_s
    read = await client.get(f"/v1/clicks/{click_id}")
    assert (read.status, read.body["state"], read.body["link_id"]) == (200, "minted", link["id"])


async def test_a_click_is_in_flight_after_its_visit_and_then_stored(
    client: Client, db: Db, redis: Redis
) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP, "slug": "tea"})).body
    click_id = (await client.post("/v1/clicks", {"slug": "tea"})).body["click_id"]
    await redis.hset(keys.premint(click_id), "visited_at", "1")
    assert (await client.get(f"/v1/clicks/{click_id}")).body["state"] == "in_flight"
    stored = await store_click(db, link["id"], time.time_ns() // 1_000_000)
    read = (await client.get(f"/v1/clicks/{stored}")).body
    assert (read["state"], read["class"], read["country"]) == ("stored", "human", "IN")
    assert read["parameters"] == {"sub1": "a"}


async def test_a_valid_id_that_nobody_has_stored_is_in_flight(client: Client, db: Db) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP})).body
    click_id = await store_click(db, link["id"], 1_700_000_000_000)
    await db.execute("DELETE FROM click")
    read = await client.get(f"/v1/clicks/{click_id}")
    assert read.body == {"id": click_id, "state": "in_flight", "minted_at": "2023-11-14T22:13:20Z"}


async def test_a_forged_or_foreign_click_is_not_there(client: Client, other: Client) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP})).body
    click_id = (await client.post("/v1/clicks", {"link_id": link["id"]})).body["click_id"]
    forged = click_id[:-1] + ("0" if click_id[-1] != "0" else "1")
    for answer in (
        await other.get(f"/v1/clicks/{click_id}"),
        await client.get(f"/v1/clicks/{forged}"),
        await client.get("/v1/clicks/nonsense"),
    ):
        assert (answer.status, answer.code) == (404, "click_not_found")


async def test_a_click_needs_one_link_a_real_member_and_known_parameters(client: Client) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP})).body
    for body, code in (
        ({}, "invalid_request"),
        ({"link_id": link["id"], "slug": link["slug"]}, "invalid_request"),
        ({"link_id": link["id"], "parameters": {"evil": "x"}}, "invalid_request"),
        ({"link_id": link["id"], "parameters": {"sub1": "a\r\nb"}}, "invalid_request"),
        ({"link_id": link["id"], "member": "mem_nobody"}, "member_not_found"),
        ({"link_id": "lnk_nothing"}, "link_not_found"),
        ({"slug": "nothing"}, "link_not_found"),
    ):
        assert (await client.post("/v1/clicks", body)).code == code


async def test_a_deleted_member_gets_no_click(client: Client) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP})).body
    member = (await client.post("/v1/members", {})).body
    await client.delete(f"/v1/members/{member['id']}")
    refused = await client.post("/v1/clicks", {"link_id": link["id"], "member": member["id"]})
    assert refused.code == "member_not_found"


async def test_clicks_are_listed_from_the_latest_page_by_page(client: Client, db: Db) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP})).body
    base = 1_700_000_000_000
    made = [
        await store_click(db, link["id"], base + number * DAY_MS // 2, number)
        for number in range(5)
    ]
    window = "from=2023-11-14T00:00:00Z&to=2023-11-20T00:00:00Z"
    path = f"/v1/clicks?link_id={link['id']}&{window}&limit=2"
    seen, cursor = [], ""
    while cursor is not None:
        page = (await client.get(f"{path}&cursor={cursor}")).body
        seen += [one["id"] for one in page["data"]]
        cursor = page["next_cursor"]
    assert seen == made[::-1]
    assert (await client.get(f"/v1/clicks?link_id={link['id']}")).body["data"] == []


async def test_a_range_must_have_a_length_that_can_be_read(client: Client) -> None:
    link = (await client.post("/v1/links", {"destination": SHOP})).body
    for window in (
        "from=2023-01-01T00:00:00Z&to=2023-03-01T00:00:00Z",
        "from=2023-01-02T00:00:00Z&to=2023-01-01T00:00:00Z",
        "from=2023-01-02T00:00:00",
        "from=9999-12-31T23:00:00Z",
        "to=0001-01-01T00:00:00%2B14:00",
        "cursor=nonsense",
        "limit=0",
        "limit=1000000",
        "limit=1&limit=2",
        "what=1",
    ):
        refused = await client.get(f"/v1/clicks?link_id={link['id']}&{window}")
        assert (refused.status, refused.code) == (422, "invalid_request")


async def test_live_numbers_are_the_sum_over_the_partitions(client: Client, redis: Redis) -> None:
    link_id = (await client.post("/v1/links", {"destination": SHOP})).body["id"]
    for partition in range(keys.CLICK_PARTITIONS):
        name = keys.click_counts(partition)
        await redis.hset(name, f"{link_id}:{classes.HUMAN}", str(partition))
        await redis.hset(name, f"{link_id}:{classes.BOT}", "1")
        await redis.hset(name, "lnk_other:0", "7")
    stats = (await client.get(f"/v1/links/{link_id}/stats")).body
    humans = sum(range(keys.CLICK_PARTITIONS))
    assert stats["live"] == {
        "clicks": humans + keys.CLICK_PARTITIONS,
        "human": humans,
        "by_class": {"human": humans, "bot": keys.CLICK_PARTITIONS},
    }
    assert stats["settled"]["clicks"] == 0


async def test_settled_numbers_are_grouped_and_bounded_by_days(client: Client, db: Db) -> None:
    link_id = (await client.post("/v1/links", {"destination": SHOP})).body["id"]
    for row in (
        (dt.date(2026, 1, 1), classes.HUMAN, "mobile", "IN", "a", 3),
        (dt.date(2026, 1, 1), classes.BOT, "other", "", "", 2),
        (dt.date(2026, 1, 2), classes.HUMAN, "desktop", "IN", "b", 4),
    ):
        await db.execute(INSERT_DAILY, link_id, *row)
    path = f"/v1/links/{link_id}/stats"
    settled = (await client.get(path)).body["settled"]
    assert settled == {
        "clicks": 9,
        "human": 7,
        "by_class": {"human": 7, "bot": 2},
        "by_device": {
            "desktop": {"clicks": 4, "human": 4},
            "mobile": {"clicks": 3, "human": 3},
            "other": {"clicks": 2, "human": 0},
        },
        "by_country": {"": {"clicks": 2, "human": 0}, "IN": {"clicks": 7, "human": 7}},
        "by_variant": {
            "": {"clicks": 2, "human": 0},
            "a": {"clicks": 3, "human": 3},
            "b": {"clicks": 4, "human": 4},
        },
        "by_day": {
            "2026-01-01": {"clicks": 5, "human": 3},
            "2026-01-02": {"clicks": 4, "human": 4},
        },
    }
    second = (await client.get(f"{path}?from=2026-01-02&to=2026-01-02&group_by=day")).body
    assert second["settled"] == {
        "clicks": 4,
        "human": 4,
        "by_day": {"2026-01-02": {"clicks": 4, "human": 4}},
    }
    assert (await client.get(f"{path}?group_by=browser")).code == "invalid_request"
    assert (await client.get(f"{path}?from=yesterday")).code == "invalid_request"
