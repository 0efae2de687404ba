from __future__ import annotations

import asyncio

import pytest
from redis import Redis

from core import tasks
from core.settings import Settings
from db import dead_letters, outbox, pg
from tests.workers.conftest import Db, Start, soon_ms, until
from workers import broker, loop, relay
from workers.broker import NAMESPACE

TASK = tasks.DeliverWebhook("whd_1")


def queued(settings: Settings) -> int:
    with Redis.from_url(settings.queue_url) as client:
        return int(client.llen(f"{NAMESPACE}:default"))


async def unsent(db: Db) -> int:
    return int(await db.fetchval("SELECT count(*) FROM outbox WHERE sent_at IS NULL"))


async def test_due_rows_are_sent_once(settings: Settings, db: Db, step: loop.Step) -> None:
    await outbox.add_many(db, [TASK] * 3)
    assert await step(soon_ms()) == 3
    assert await step(soon_ms()) == 0
    assert queued(settings) == 3


async def test_a_row_waits_for_its_time(settings: Settings, db: Db, step: loop.Step) -> None:
    now_ms = soon_ms()
    await outbox.add(db, TASK, due_at_ms=now_ms + 5_000)
    assert await step(now_ms + 4_999) == 0
    assert await step(now_ms + 5_000) == 1


async def test_two_relays_share_the_rows(settings: Settings, db: Db) -> None:
    await outbox.add_many(db, [TASK] * 1_200)
    async with relay.session(settings) as one, relay.session(settings) as two:
        now_ms = soon_ms()
        sent = 0
        while found := sum(await asyncio.gather(one(now_ms), two(now_ms))):
            sent += found
    assert sent == 1_200
    assert queued(settings) == 1_200


class Fault(Exception):
    """The relay dies."""


class Dying(broker.Broker):
    """Dies between sending and marking."""

    def send(self, tickets: object) -> None:
        super().send(tickets)  # type: ignore[arg-type] # passed on
        raise Fault


async def test_killed_between_sending_and_marking_it_sends_again(
    settings: Settings, db: Db, pool: pg.Pool, step: loop.Step
) -> None:
    await outbox.add(db, TASK)
    dying = Dying(settings.queue_url, [], lambda: None)
    with pytest.raises(Fault):
        await relay.Relay(pool, dying).step(soon_ms())
    dying.client.close()
    assert await unsent(db) == 1
    assert await step(soon_ms()) == 1
    assert queued(settings) == 2


async def test_a_wiped_queue_is_filled_again(settings: Settings, db: Db, step: loop.Step) -> None:
    await outbox.add_many(db, [TASK] * 20)
    now_ms = soon_ms()
    assert await step(now_ms) == 20
    with Redis.from_url(settings.queue_url) as client:
        client.flushall()
    assert await step(now_ms + outbox.RESEND_AFTER_S * 1000) == 0
    assert await step(now_ms + (outbox.RESEND_AFTER_S + 5) * 1000) == 20
    assert queued(settings) == 20


async def test_each_vain_start_lengthens_the_wait(db: Db, step: loop.Step) -> None:
    row_id, now_ms = await outbox.add(db, TASK), soon_ms()
    await step(now_ms)
    await outbox.start(db, row_id, 0)
    assert await outbox.sweep(db, now_ms + 110_000) == 0
    assert await outbox.sweep(db, now_ms + 130_000) == 1


async def test_a_row_that_never_ends_is_buried(db: Db, step: loop.Step) -> None:
    row_id, now_ms = await outbox.add(db, TASK), soon_ms()
    await db.execute("UPDATE outbox SET attempts = $1, sent_at = now()", outbox.STARTS_MAX)
    await outbox.sweep(db, now_ms + 59_000)
    assert await dead_letters.counts(db) == {}
    await outbox.sweep(db, now_ms + 61_000)
    assert await dead_letters.counts(db) == {"deliver_webhook": 1}
    assert await outbox.start(db, row_id, outbox.STARTS_MAX) is None


async def test_a_full_queue_keeps_the_rows_in_postgresql(
    settings: Settings, db: Db, step: loop.Step, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(relay, "QUEUED_MAX", 10)
    await outbox.add_many(db, [TASK] * 15)
    assert await step(soon_ms()) == 10
    assert await step(soon_ms()) == 0
    assert await unsent(db) == 5


async def test_a_task_of_a_newer_version_waits_for_a_newer_relay(
    settings: Settings, db: Db, step: loop.Step
) -> None:
    await db.execute("INSERT INTO outbox (task, payload) VALUES ('tell_fortune', '{}')")
    assert await step(soon_ms()) == 0
    assert await unsent(db) == 1


async def test_the_process_relays_and_stops_when_told(
    settings: Settings, db: Db, start: Start
) -> None:
    await outbox.add(db, TASK)
    process = await start("relay")

    async def is_sent() -> bool:
        return await unsent(db) == 0

    await until(is_sent)
    process.terminate()
    assert await process.wait() == 0
    assert queued(settings) == 1
