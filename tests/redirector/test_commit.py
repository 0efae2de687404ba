"""The group commit by itself: batches, limits, replicas, the breaker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path

import pytest

from core import events
from core.errors import StampgateError
from core.events import Click
from db import keys
from db.redis import Connection
from redirector import commit as commits
from redirector.batches import pack, send
from redirector.commit import Breaker, Commit
from redirector.spool import Spool
from tests.redirector.conftest import live, recorded
from tests.redirector.test_spool import batch, make

BOOT = 13


@pytest.fixture
async def own(tmp_path: Path) -> AsyncIterator[Spool]:
    made = make(tmp_path)
    yield made
    made.close()


def committer(connection: Connection, own: Spool, **changes: int) -> Commit:
    return Commit(connection, own, BOOT, deadline_s=5, batch_max=100, **changes)


def click(number: int) -> Click:
    return events.decode_clicks(batch(number).packed).clicks[0]


async def test_clicks_of_one_turn_are_one_batch_and_batches_have_a_limit(
    connection: Connection, own: Spool
) -> None:
    commit = committer(connection, own)
    done: list[tuple[int, StampgateError | None]] = []

    def note(number: int, error: StampgateError | None) -> None:
        done.append((number, error))

    for number in range(250):
        commit.add(click(number), "lnk_1:0", partial(note, number))
    await commit.drain()
    assert done == [(number, None) for number in range(250)]
    assert await connection.call("XLEN", keys.click_stream(BOOT % 8)) == 3
    assert len(await recorded(connection)) == 250
    assert await live(connection, "lnk_1") == {0: 250}


async def test_no_more_than_three_batches_are_on_their_way(
    connection: Connection, own: Spool
) -> None:
    commit = committer(connection, own)
    for number in range(1_000):
        commit.add(click(number), "lnk_1:0", lambda _: None)
    pending = []
    while commit._in_flight or commit._clicks:
        pending.append(commit._in_flight)
        await asyncio.sleep(0)
    assert max(pending) == commits.IN_FLIGHT_MAX
    assert len(await recorded(connection)) == 1_000


async def test_click_without_a_counter_is_recorded_and_not_counted(
    connection: Connection, own: Spool
) -> None:
    commit = committer(connection, own)
    await commit.record(click(1), "")
    assert len(await recorded(connection)) == 1
    assert await live(connection, "lnk_1") == {}


async def test_same_batch_sent_again_does_nothing(connection: Connection) -> None:
    for _ in range(3):
        await send(connection, batch(65_536))
    assert len(await recorded(connection)) == 1
    assert await live(connection, "lnk_1") == {0: 1}


async def test_batches_of_two_runs_with_one_boot_number_do_not_meet(
    connection: Connection,
) -> None:
    for run in (1, 2):
        await send(connection, pack(BOOT, run, 7, [click(run)], ["lnk_1:0"]))
    assert len(await recorded(connection)) == 2


async def test_missing_replica_sends_the_batch_to_the_spool(
    connection: Connection, own: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("redirector.batches.REPLICAS_TIMEOUT_MS", 1)
    commit = committer(connection, own, replicas=1)
    await commit.record(click(1), "lnk_1:0")
    assert own.live == 1


async def test_too_many_waiting_clicks_are_refused(
    connection: Connection, own: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commits, "WAITING_MAX", 5)
    commit = committer(connection, own)
    results = await asyncio.gather(
        *(commit.record(click(number), "lnk_1:0") for number in range(8)), return_exceptions=True
    )
    assert [result is None for result in results] == [True] * 5 + [False] * 3
    assert len(await recorded(connection)) == 5


def test_breaker_opens_after_three_misses_in_a_row_and_rests_longer_each_time() -> None:
    breaker = Breaker()
    breaker.missed(0.0)
    breaker.missed(0.0)
    breaker.acknowledged()
    breaker.missed(0.0)
    breaker.missed(0.0)
    assert not breaker.is_open
    breaker.missed(0.0)
    assert breaker.is_open
    assert not breaker.may_probe(0.1)
    assert breaker.may_probe(0.3)
    assert not breaker.may_probe(0.3)
    breaker.acknowledged()
    assert not breaker.is_open
