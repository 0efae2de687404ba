"""The link cache: one read a slug, changes within a second, nothing forgotten by accident."""

from __future__ import annotations

import asyncio

import pytest

from core import errors
from db import keys, snapshot
from db.redis import Connection
from redirector.cache import Cache
from tests.redirector.conftest import Publish, Redirector, eventually


async def destination(redirector: Redirector, path: str) -> str | None:
    return (await redirector.get(path)).headers.get("Location")


async def test_change_and_removal_of_a_link_arrive_by_themselves(
    redirector: Redirector, publish: Publish, connection: Connection
) -> None:
    await publish("demo", destination="https://one.example/")
    assert await destination(redirector, "/r/demo") == "https://one.example/"
    await publish("demo", destination="https://two.example/")

    async def is_changed() -> bool:
        return await destination(redirector, "/r/demo") == "https://two.example/"

    await eventually(is_changed)
    await snapshot.publish(connection, "demo", 1_000, b"")

    async def is_gone() -> bool:
        return (await redirector.get("/r/demo")).status == 404

    await eventually(is_gone)


async def test_concurrent_misses_of_a_slug_are_one_read(
    connection: Connection, publish: Publish
) -> None:
    await publish("demo")
    cache = Cache(connection, 10)
    found = await asyncio.gather(*(cache.find("demo") for _ in range(50)))
    assert len({id(link) for link in found}) == 1
    assert cache.get("demo") is found[0]


async def test_oldest_link_makes_room(connection: Connection, publish: Publish) -> None:
    cache = Cache(connection, 3)
    for number in range(5):
        await publish(f"s{number}")
        await cache.find(f"s{number}")
    assert list(cache.links) == ["s2", "s3", "s4"]


async def test_trimmed_announcements_make_the_cache_look_again(
    connection: Connection, publish: Publish
) -> None:
    cache = Cache(connection, 100)
    for slug in ("same", "changed", "deleted", "forgotten"):
        await publish(slug, destination="https://one.example/")
        await cache.find(slug)
    await cache._poll()
    await publish("changed", destination="https://two.example/")
    await snapshot.publish(connection, "deleted", 1_000, b"")
    await connection.call("DEL", keys.link_snapshot("forgotten"))
    await connection.call("XTRIM", keys.LINK_CHANGES, "MAXLEN", 1)
    await cache._poll()
    left = {slug: link.location_prefix for slug, link in cache.links.items()}
    assert left == {
        "same": b"https://one.example/",
        "changed": b"https://two.example/",
        "forgotten": b"https://one.example/",
    }


async def test_announcement_whose_link_could_not_be_read_is_read_again(
    connection: Connection, publish: Publish, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = Cache(connection, 100)
    await publish("demo", destination="https://one.example/")
    await cache.find("demo")
    await cache._poll()
    await publish("demo", destination="https://two.example/")

    async def away(*_: object) -> bytes | None:
        raise errors.Unavailable

    with monkeypatch.context() as patch:
        patch.setattr(snapshot, "fetch", away)
        with pytest.raises(errors.Unavailable):
            await cache._poll()
    await cache._poll()
    assert cache.links["demo"].location_prefix == b"https://two.example/"


async def test_snapshot_that_cannot_be_read_is_no_404_and_replaces_nothing(
    connection: Connection, publish: Publish
) -> None:
    cache = Cache(connection, 100)
    await publish("demo")
    await cache.find("demo")
    await cache._poll()
    known = cache.get("demo")
    for slug in ("demo", "other"):
        await snapshot.publish(connection, slug, 1_000, b"\xc1")
    await cache._poll()
    assert cache.get("demo") is known
    with pytest.raises(errors.Unavailable):
        await cache.find("other")
