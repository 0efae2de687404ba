"""Links in PostgreSQL and their snapshots in Redis."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from core import errors, ids, links
from core.links import LinkConfig
from db import links as stored
from db import pg, redis, snapshot
from db.links import Draft
from tests.db.conftest import PROGRAM

SHOP = "https://shop.example.com/"
WAITING = "SELECT count(*) FROM pg_locks WHERE NOT granted"
numbers = itertools.count()


def draft(slug: str | None = None, external_id: str | None = None) -> Draft:
    """A link that nobody has stored yet."""
    entropy = next(numbers).to_bytes(ids.ENTROPY_BYTES, "big")
    config = LinkConfig(destination=SHOP, slug=slug, external_id=external_id)
    return Draft(ids.new("link", 1_700_000_000_000, entropy), config, None)


def no_slug() -> str:
    raise AssertionError("no slug was to be chosen")


async def test_a_chosen_slug_that_is_taken_is_chosen_again(db: pg.Db) -> None:
    slugs = iter(["same", "same", "other"])
    first = await stored.add(db, PROGRAM, draft(), lambda: next(slugs))
    second = await stored.add(db, PROGRAM, draft(), lambda: next(slugs))
    assert (first.slug, second.slug) == ("same", "other")


async def test_choosing_ends_when_no_slug_is_free(db: pg.Db) -> None:
    await stored.add(db, PROGRAM, draft("same"), no_slug)
    with pytest.raises(errors.SlugTaken):
        await stored.add(db, PROGRAM, draft(), lambda: "same")


async def test_versions_rise_with_every_change(db: pg.Db) -> None:
    link = await stored.add(db, PROGRAM, draft("tea"), no_slug)
    changed, _ = await stored.change(db, link, link.config, "hash")
    gone = await stored.delete(db, PROGRAM, link.id)
    again = await stored.add(db, PROGRAM, draft("tea"), no_slug)
    assert link.version < changed.version < gone.version < again.version


async def test_who_waits_for_a_slug_gets_a_higher_version_than_its_end(
    pool: pg.Pool, db: pg.Db
) -> None:
    """The waiting transaction began first; its version must be drawn last all the same."""
    link = await stored.add(db, PROGRAM, draft("tea"), no_slug)
    transaction = db.transaction()
    await transaction.start()
    gone = await stored.delete(db, PROGRAM, link.id)

    async def take() -> stored.Link:
        async with pool.acquire() as second, second.transaction():
            return await stored.add(second, PROGRAM, draft("tea"), no_slug)

    taking = asyncio.create_task(take())
    async with pool.acquire() as watcher, asyncio.timeout(10):
        while not await watcher.fetchval(WAITING):
            await watcher.execute("SELECT pg_sleep(0.01)")
    await transaction.commit()
    assert (await taking).version > gone.version


async def test_an_older_snapshot_does_not_replace_a_newer_one(
    db: pg.Db, connection: redis.Connection
) -> None:
    link = await stored.add(db, PROGRAM, draft("tea"), no_slug)
    changed, news = await stored.change(db, link, link.config, "hash")
    assert await stored.publish(connection, news) == 1
    assert await stored.publish(connection, [stored.publication(link)]) == 0
    blob = await snapshot.fetch(connection, "tea")
    assert blob is not None
    assert links.decode(blob).version == changed.version


async def test_all_links_are_published_in_steps(
    db: pg.Db, pool: pg.Pool, connection: redis.Connection
) -> None:
    count = stored.PUBLISH_BATCH + 1
    await stored.add_many(db, PROGRAM, [draft(f"s{n}") for n in range(count)], no_slug)
    steps: list[tuple[int, int]] = []
    assert await stored.publish_all(pool, connection, lambda *step: steps.append(step)) == count
    assert steps == [(stored.PUBLISH_BATCH, count), (count, count)]
    assert await snapshot.fetch(connection, f"s{count - 1}")


async def test_the_stored_config_has_neither_password_nor_what_has_its_own_column(
    db: pg.Db,
) -> None:
    config = LinkConfig(destination=SHOP, slug="tea", external_id="x", password="sesame")
    entropy = bytes(ids.ENTROPY_BYTES)
    await stored.add(db, PROGRAM, Draft(ids.new("link", 1, entropy), config, "hash"), no_slug)
    assert await db.fetchval("SELECT config::text FROM link") == f'{{"destination": "{SHOP}"}}'


async def test_many_links_are_published_with_room_for_what_shares_the_connection(
    redis_url: str,
) -> None:
    count = 3 * stored.PUBLISH_BATCH
    connection = await redis.Connection.open(redis_url, max_pending=stored.PUBLISH_BATCH + 1)
    try:
        wanted = [stored.Publication(f"s{number}", 1, b"x") for number in range(count)]
        publishing = asyncio.create_task(stored.publish(connection, wanted))
        while not publishing.done():
            assert await connection.call("PING") == b"PONG"
        assert await publishing == count
    finally:
        await connection.close()
