"""Offers are remembered, in the process and in Redis, until they change."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import msgspec
import pytest
from redis.asyncio import Redis

from core.settings import Settings
from db import keys, pg
from db.offers import Offer
from gateway import catalogue
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import Client, Db, running
from tests.gateway.test_offers import PATH, add, merchant

HOT = f"{PATH}/hot"
RENAME = "UPDATE offer SET title = 'unseen'"


@pytest.fixture
async def second(client: Client, settings: Settings) -> AsyncIterator[tuple[App, Client]]:
    """Another process, and the same caller there."""
    async with running(settings) as (app, url):
        yield app, Client(client.session, url, client.headers)


async def titles(client: Client, path: str = HOT) -> list[str]:
    answer = await client.get(path)
    assert answer.status == 200, answer.body
    return [one["title"] for one in answer.body["data"]]


async def until_seen(client: Client, path: str, wanted: list[str]) -> None:
    """Wait until a caller sees this."""
    async with asyncio.timeout(20):
        while await titles(client, path) != wanted:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("path", [HOT, f"{PATH}?is_active=true", PATH])
async def test_a_change_is_told_to_all_processes(
    client: Client, second: tuple[App, Client], path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Only what is told is seen.
    monkeypatch.setattr(catalogue, "FRESH_S", 3_600.0)
    elsewhere = second[1]
    shop = await merchant(client)
    assert await titles(elsewhere, path) == []
    made = await add(client, shop, is_hot=True, title="A")
    assert await titles(client, path) == ["A"]
    await until_seen(elsewhere, path, ["A"])
    await client.patch(f"{PATH}/{made['id']}", {"title": "B"})
    await until_seen(elsewhere, path, ["B"])
    if path != PATH:
        await client.patch(f"/v1/merchants/{shop}", {"state": "paused"})
        await until_seen(elsewhere, path, [])


def test_what_is_told_is_looked_for_often_enough_to_be_known_within_a_second() -> None:
    assert 2 * catalogue.POLL_S < 1


async def test_what_is_remembered_is_not_read_again(
    client: Client, other: Client, second: tuple[App, Client], app: App, db: Db
) -> None:
    await add(client, await merchant(client), is_hot=True, title="A")
    await app.catalogue.poll()
    assert await titles(client) == ["A"]
    await db.execute(RENAME)
    assert await titles(client) == ["A"]
    # Not even by a process that has never met it.
    assert await titles(second[1]) == ["A"]
    assert await titles(other) == []
    await app.catalogue.announce(people.program(client))
    assert await titles(client) == ["unseen"]


async def test_a_lost_announcement_is_made_up_for(
    client: Client, db: Db, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(client, await merchant(client), is_hot=True, title="A")
    assert await titles(client) == ["A"]
    await db.execute(RENAME)
    (copy,) = [key async for key in redis.scan_iter("{of:*}:*:hot")]
    assert 0 < await redis.ttl(copy) <= 5
    await redis.delete(copy)
    monkeypatch.setattr(catalogue, "FRESH_S", 0.0)
    assert await titles(client) == ["unseen"]


async def test_after_a_gap_in_the_stream_all_is_read_anew(
    client: Client, app: App, db: Db, redis: Redis
) -> None:
    await add(client, await merchant(client), is_hot=True, title="A")
    await app.catalogue.poll()
    assert await titles(client) == ["A"]
    await db.execute(RENAME)
    await redis.flushdb()
    await redis.xadd(keys.OFFER_CHANGES, {"p": "prg_other"}, id="1-1")
    await app.catalogue.poll()
    assert await titles(client) == ["unseen"]


async def test_without_redis_the_answers_come_from_postgresql(
    client: Client, settings: Settings, db: Db
) -> None:
    shop = await merchant(client)
    await add(client, shop, is_hot=True, title="A")
    away = msgspec.structs.replace(settings, redis_url="unix:///nowhere.sock")
    async with running(away) as (_, url):
        alone = Client(client.session, url, client.headers)
        for path in (HOT, PATH):
            assert await titles(alone, path) == ["A"]
        made = await add(alone, shop, is_hot=True, title="B")
        assert await titles(alone) == ["A", "B"]
        await db.execute("UPDATE offer SET title = 'C' WHERE id = $1", made["id"])
        await asyncio.sleep(catalogue.FRESH_ALONE_S)
        assert await titles(alone) == ["A", "C"]


async def test_without_postgresql_what_is_remembered_stays_good(
    client: Client, settings: Settings, app: App, redis: Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    await add(client, await merchant(client), is_hot=True, title="A")
    await app.catalogue.poll()
    assert await titles(client) == ["A"]
    nowhere = msgspec.structs.replace(settings, database_url="postgresql://u@127.0.0.1:1/x")
    pool = await pg.open_pool(nowhere)
    monkeypatch.setattr(app.catalogue, "_pool", pool)
    monkeypatch.setattr(catalogue, "FRESH_S", 0.0)
    for key in [key async for key in redis.scan_iter("{of:*}:*:hot")]:
        await redis.delete(key)
    assert await titles(client) == ["A"]
    assert (await client.get(f"{PATH}?limit=7")).status == 503


async def test_what_was_read_before_a_change_is_not_kept(app: App, client: Client) -> None:
    program_id, reads = people.program(client), 0
    begun, gate = asyncio.Event(), asyncio.Event()

    async def slow(_: pg.Db) -> list[Offer]:
        nonlocal reads
        reads += 1
        if reads == 1:
            begun.set()
            await gate.wait()
        return []

    early = asyncio.create_task(app.catalogue.offers(program_id, "x", slow))
    await begun.wait()
    await app.catalogue.announce(program_id)
    gate.set()
    await early
    await app.catalogue.offers(program_id, "x", slow)
    assert reads == 2
    await app.catalogue.offers(program_id, "x", slow)
    assert reads == 2


async def test_many_who_ask_at_once_are_one_reading(app: App, client: Client) -> None:
    reads = 0

    async def read(_: pg.Db) -> list[Offer]:
        nonlocal reads
        reads += 1
        return []

    asking = [app.catalogue.offers(people.program(client), "x", read) for _ in range(20)]
    assert await asyncio.gather(*asking) == [[]] * 20
    assert reads == 1
