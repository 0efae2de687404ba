"""Snapshots and their announcements, on a real Redis."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from db import keys, snapshot
from db.redis import Connection


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[Connection]:
    opened = await Connection.open(redis_url)
    yield opened
    await opened.close()


async def test_only_a_higher_version_is_published_and_announced(connection: Connection) -> None:
    assert await snapshot.fetch(connection, "demo") is None
    assert await snapshot.publish(connection, "demo", 2, b"two") == 1
    assert await snapshot.publish(connection, "demo", 2, b"again") == 0
    assert await snapshot.publish(connection, "demo", 1, b"old") == 0
    assert await snapshot.fetch(connection, "demo") == b"two"
    assert await snapshot.publish(connection, "demo", 3, b"") == 1
    assert await snapshot.fetch(connection, "demo") == b""
    assert await connection.call("XLEN", keys.LINK_CHANGES) == 2


async def test_reader_gets_each_announcement_once_in_order(connection: Connection) -> None:
    await snapshot.publish(connection, "a", 1, b"1")
    at = await snapshot.position(connection)
    assert await snapshot.changes(connection, at) == (at, [])
    for slug in ("b", "c", "b"):
        await snapshot.publish(connection, slug, 2 if slug == "b" else 1, b"2")
    await snapshot.publish(connection, "b", 3, b"3")
    later, slugs = await snapshot.changes(connection, at)
    assert slugs == ["b", "c", "b"]
    assert await snapshot.changes(connection, later) == (later, [])


async def test_reader_on_an_empty_stream_waits_at_the_start(connection: Connection) -> None:
    assert await snapshot.position(connection) == snapshot.START
    assert await snapshot.changes(connection, snapshot.START) == (snapshot.START, [])


@pytest.mark.parametrize("loss", [("XTRIM", keys.LINK_CHANGES, "MAXLEN", 1), ("FLUSHALL",)])
async def test_reader_is_told_when_announcements_are_gone(
    connection: Connection, loss: tuple[str | int, ...]
) -> None:
    await snapshot.publish(connection, "a", 1, b"1")
    at = await snapshot.position(connection)
    await snapshot.publish(connection, "b", 1, b"1")
    await snapshot.publish(connection, "c", 1, b"1")
    await connection.call(*loss)
    end = await snapshot.position(connection)
    assert await snapshot.changes(connection, at) == (end, None)


async def test_many_announcements_come_in_parts(
    connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(snapshot, "CHANGES_READ", 2)
    await snapshot.publish(connection, "a", 1, b"1")
    at = await snapshot.position(connection)
    for number in range(5):
        await snapshot.publish(connection, f"s{number}", 1, b"1")
    parts = []
    while True:
        at, slugs = await snapshot.changes(connection, at)
        if not slugs:
            break
        parts.append(slugs)
    assert parts == [["s0", "s1"], ["s2", "s3"], ["s4"]]
