from __future__ import annotations

import asyncio
import time

import pytest

from core import errors, tasks
from db import dead_letters, outbox, pg
from tests.db.conftest import Db

TASK = tasks.DeliverWebhook("whd_1")
NAMES = ["deliver_webhook"]


def soon_ms() -> int:
    return time.time_ns() // 1_000_000 + 1_000


async def test_a_row_that_is_rolled_back_was_never_wanted(db: Db) -> None:
    transaction = db.transaction()
    await transaction.start()
    await outbox.add(db, TASK)
    await transaction.rollback()
    assert await outbox.claim(db, soon_ms(), NAMES, 10) == []


async def test_a_start_is_made_once(db: Db) -> None:
    row_id = await outbox.add(db, TASK)
    assert await outbox.start(db, row_id, 0) == TASK
    assert await outbox.start(db, row_id, 0) is None
    assert await outbox.start(db, row_id, 1) == TASK


async def test_of_many_starts_at_a_time_one_is_made(db: Db, pool: pg.Pool) -> None:
    row_id = await outbox.add(db, TASK)

    async def start() -> tasks.Task | None:
        async with pool.acquire() as one:
            return await outbox.start(one, row_id, 0)

    started = await asyncio.gather(*(start() for _ in range(10)))
    assert started.count(TASK) == 1


async def test_a_row_that_is_done_cannot_be_started(db: Db) -> None:
    row_id = await outbox.add(db, TASK)
    await outbox.done(db, row_id)
    assert await outbox.start(db, row_id, 0) is None


async def test_a_row_put_off_is_claimed_with_its_next_start(db: Db) -> None:
    row_id, now_ms = await outbox.add(db, TASK), soon_ms()
    assert await outbox.claim(db, now_ms, NAMES, 10) == [outbox.Ticket(row_id, NAMES[0], 0)]
    await outbox.start(db, row_id, 0)
    await outbox.put_off(db, row_id, now_ms + 5_000)
    assert await outbox.claim(db, now_ms, NAMES, 10) == []
    claimed = await outbox.claim(db, now_ms + 5_000, NAMES, 10)
    assert claimed == [outbox.Ticket(row_id, NAMES[0], 1)]


async def test_a_claim_passes_over_what_another_has_claimed(db: Db, pool: pg.Pool) -> None:
    await outbox.add_many(db, [TASK] * 5)
    async with pool.acquire() as one, one.transaction():
        assert len(await outbox.claim(one, soon_ms(), NAMES, 3)) == 3
        assert len(await outbox.claim(db, soon_ms(), NAMES, 10)) == 2


async def test_a_dead_letter_is_replayed_once(db: Db) -> None:
    row_id = await outbox.add(db, TASK)
    await outbox.start(db, row_id, 0)
    await outbox.bury(db, row_id, "no use")
    assert await outbox.claim(db, soon_ms(), NAMES, 10) == []
    [letter] = await dead_letters.page(db, limit=10)
    assert (letter.error, letter.attempts, letter.replayed_at) == ("no use", 1, None)
    replayed = await dead_letters.replay(db, letter.id)
    assert replayed.replayed_at is not None
    assert await dead_letters.replay(db, letter.id) == replayed
    assert len(await outbox.claim(db, soon_ms(), NAMES, 10)) == 1
    assert await dead_letters.page(db, limit=10) == []
    assert await dead_letters.page(db, limit=10, with_replayed=True) == [replayed]


async def test_dead_letters_are_replayed_all_at_once_by_task(db: Db) -> None:
    for task in (TASK, TASK, tasks.PublishLink("tea", 1)):
        await outbox.bury(db, await outbox.add(db, task), "no use")
    assert await dead_letters.counts(db) == {"deliver_webhook": 2, "publish_link": 1}
    assert await dead_letters.replay_all(db, "deliver_webhook") == 2
    assert await dead_letters.replay_all(db) == 1
    assert await dead_letters.counts(db) == {}


async def test_a_discarded_dead_letter_is_gone(db: Db) -> None:
    await outbox.bury(db, await outbox.add(db, TASK), "no use")
    [letter] = await dead_letters.page(db, limit=10)
    await dead_letters.discard(db, letter.id)
    with pytest.raises(errors.DeadLetterNotFound):
        await dead_letters.discard(db, letter.id)
    with pytest.raises(errors.DeadLetterNotFound):
        await dead_letters.replay(db, letter.id)


async def test_depths_tell_what_waits_and_for_how_long(db: Db) -> None:
    now_ms = soon_ms()
    await outbox.add(db, TASK, due_at_ms=now_ms - 61_000)
    await outbox.add(db, TASK, due_at_ms=now_ms + 60_000)
    [depth] = await outbox.depths(db)
    assert (depth.task, depth.rows) == ("deliver_webhook", 2)
    assert 60 <= depth.oldest_s < 90
