"""The workers' process, killed between every two steps of a delivery."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import AsyncIterator
from typing import Any

import asyncpg
import pytest
from redis.asyncio import Redis

from core import tasks
from core.settings import Settings
from db import dead_letters, outbox, webhooks
from deploy.local.postgres import DatabaseUrls
from tests.workers.conftest import Db, Start, event, soon_ms, until
from tests.workers.receivers import Receiver
from workers import broker, jobs, loop
from workers.broker import NAMESPACE, Tools

LATER_MS = 600_000


@pytest.fixture
async def queue(settings: Settings) -> AsyncIterator[Redis]:
    async with Redis.from_url(settings.queue_url) as client:
        yield client


@contextlib.asynccontextmanager
async def holding(url: str, statement: str) -> AsyncIterator[None]:
    """Another transaction that holds the statement's locks."""
    connection = await asyncpg.connect(url)
    try:
        async with connection.transaction():
            await connection.execute(statement)
            yield
    finally:
        await connection.close()


async def kill(process: asyncio.subprocess.Process) -> None:
    process.kill()
    await process.wait()


async def is_someone_waiting(db: Db) -> bool:
    return bool(await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"))


async def is_nobody_waiting(db: Db) -> bool:
    return not await is_someone_waiting(db)


async def all_done(db: Db) -> bool:
    return not await db.fetchval("SELECT count(*) FROM outbox")


async def states(db: Db) -> set[str]:
    return {row["state"] for row in await db.fetch("SELECT state FROM webhook_delivery")}


async def recover(db: Db, start: Start, step: loop.Step) -> None:
    """A new worker, and a relay that finds the row lost."""
    await until(lambda: is_nobody_waiting(db))
    await start("jobs")
    assert await step(soon_ms() + LATER_MS) == 1
    await until(lambda: all_done(db))
    assert await states(db) == {"delivered"}


async def test_killed_before_the_request_it_is_delivered_once(
    db: Db, database: DatabaseUrls, endpoint: str, shop: Receiver, start: Start, step: loop.Step
) -> None:
    await webhooks.queue_events(db, [event()])
    async with holding(database.migrate, "LOCK TABLE webhook_delivery"):
        process = await start("jobs")
        await step(soon_ms())
        await until(lambda: is_someone_waiting(db))
        await kill(process)
    assert await db.fetchval("SELECT attempts FROM outbox") == 1
    await recover(db, start, step)
    assert [request.event_id for request in shop.received] == ["awd_1"]


async def test_killed_during_the_request_it_is_delivered_under_the_same_id(
    db: Db, endpoint: str, shop: Receiver, start: Start, step: loop.Step
) -> None:
    await webhooks.queue_events(db, [event()])
    shop.gate.clear()
    process = await start("jobs")
    await step(soon_ms())
    await shop.wait_for(1)
    await kill(process)
    shop.gate.set()
    assert await states(db) == {"pending"}
    await recover(db, start, step)
    assert [request.event_id for request in shop.received] == ["awd_1", "awd_1"]


async def test_killed_before_the_outcome_is_written_it_is_delivered_under_the_same_id(
    db: Db, database: DatabaseUrls, endpoint: str, shop: Receiver, start: Start, step: loop.Step
) -> None:
    await webhooks.queue_events(db, [event()])
    shop.gate.clear()
    process = await start("jobs")
    await step(soon_ms())
    await shop.wait_for(1)
    async with holding(database.migrate, "SELECT FROM webhook_delivery FOR UPDATE"):
        shop.gate.set()
        await until(lambda: is_someone_waiting(db))
        await kill(process)
    await recover(db, start, step)
    assert [request.event_id for request in shop.received] == ["awd_1", "awd_1"]


async def test_killed_before_the_message_is_acknowledged_its_redelivery_does_nothing(
    db: Db,
    queue: Redis,
    settings: Settings,
    endpoint: str,
    shop: Receiver,
    start: Start,
    step: loop.Step,
) -> None:
    await webhooks.queue_events(db, [event()])
    row_id = await db.fetchval("SELECT id FROM outbox")
    shop.gate.clear()
    process = await start("jobs")
    await step(soon_ms())
    await shop.wait_for(1)
    await queue.client_pause(60_000, all=False)
    shop.gate.set()
    await until(lambda: all_done(db))
    await kill(process)
    await queue.client_unpause()
    assert await queue.hlen(f"{NAMESPACE}:default.msgs") == 1

    # What Dramatiq does with the dead worker's message after its heartbeat timeout.
    sender = broker.for_sending(settings)
    await asyncio.to_thread(sender.send, [outbox.Ticket(row_id, "deliver_webhook", 0)])
    sender.client.close()
    await start("jobs")

    async def is_taken() -> bool:
        return not await queue.llen(f"{NAMESPACE}:default")

    await until(is_taken)
    await webhooks.queue_events(db, [event(2)])
    await step(soon_ms())
    await until(lambda: all_done(db))
    assert [request.event_id for request in shop.received] == ["awd_1", "awd_2"]


async def test_a_wiped_queue_loses_nothing(
    db: Db, queue: Redis, endpoint: str, shop: Receiver, start: Start, step: loop.Step
) -> None:
    await webhooks.queue_events(db, [event(number) for number in range(20)])
    now_ms = soon_ms()
    assert await step(now_ms) == 20
    await queue.flushall()
    assert await step(now_ms + LATER_MS) == 20
    await start("jobs")
    await until(lambda: all_done(db))
    assert sorted(request.event_id for request in shop.received) == sorted(
        f"awd_{number}" for number in range(20)
    )


async def test_a_message_sent_twice_is_performed_once(
    db: Db, settings: Settings, endpoint: str, shop: Receiver, start: Start, step: loop.Step
) -> None:
    await webhooks.queue_events(db, [event()])
    ticket = outbox.Ticket(await db.fetchval("SELECT id FROM outbox"), "deliver_webhook", 0)
    sender = broker.for_sending(settings)
    await asyncio.to_thread(sender.send, [ticket] * 5)
    sender.client.close()
    await start("jobs")
    await until(lambda: all_done(db))
    await webhooks.queue_events(db, [event(2)])
    await step(soon_ms())
    await until(lambda: all_done(db))
    assert [request.event_id for request in shop.received] == ["awd_1", "awd_2"]


async def test_the_process_ends_when_the_queue_does_not_answer(
    db: Db, queue: Redis, endpoint: str, shop: Receiver, start: Start, step: loop.Step
) -> None:
    await webhooks.queue_events(db, [event()])
    process = await start("jobs")
    await step(soon_ms())
    await shop.wait_for(1)
    await queue.client_pause(30_000, all=False)
    async with asyncio.timeout(30):
        assert await process.wait() == 1
    await queue.client_unpause()


async def test_the_process_stops_when_told(
    db: Db, endpoint: str, shop: Receiver, start: Start, step: loop.Step
) -> None:
    await webhooks.queue_events(db, [event()])
    process = await start("jobs")
    await step(soon_ms())
    await shop.wait_for(1)
    await until(lambda: all_done(db))
    process.terminate()
    assert await process.wait() == 0


@pytest.mark.parametrize("role", ["relay", "schedule", "jobs"])
async def test_without_servers_a_role_waits_and_says_so_once(
    role: str, start: Start, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tests.workers import conftest

    away = {
        "STAMPGATE_DATABASE_URL": "postgresql://nobody@/none?host=/nonexistent",
        "STAMPGATE_QUEUE_URL": "unix:///nonexistent/queue.sock",
        "STAMPGATE_REDIS_URL": "unix:///nonexistent/state.sock",
    }
    monkeypatch.setattr(conftest, "environment", lambda _: away)
    process = await start(role)
    assert process.stderr is not None
    lines: list[bytes] = []
    async with asyncio.timeout(30):
        while not any(b"waiting for a server" in line for line in lines):
            lines.append(await process.stderr.readline())
    process.terminate()
    lines += (await process.stderr.read()).splitlines()
    assert await process.wait() == 0
    # Once for each of the role's loops that has come so far.
    said = re.findall(rb"([a-z]+): waiting for a server", b"\n".join(lines))
    assert len(said) == len(set(said)) > 0


def test_every_task_has_an_actor_and_an_action(settings: Settings) -> None:
    working, resources = broker.for_working(settings, lambda: None)
    jobs.declare(working, resources)
    assert set(working.actors) == {route.actor for route in tasks.TASKS.values()}
    assert set(jobs.ACTIONS) == set(tasks.TASKS)
    assert {actor.queue_name for actor in working.actors.values()} == set(broker.QUEUES)
    working.client.close()


async def failing(*_: object) -> None:
    raise ZeroDivisionError("by zero")


async def test_a_faulty_action_is_tried_again_and_then_given_up(
    db: Db, tools: Tools, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jobs, "ACTIONS", {tasks.DeliverWebhook: failing})
    row_id = await outbox.add(db, tasks.DeliverWebhook("whd_1"))
    for attempt in range(jobs.FAILURES_MAX):
        assert await dead_letters.counts(db) == {}
        await jobs.perform(tools, row_id, attempt)
    [letter] = await dead_letters.page(db, limit=10)
    assert letter.error == "ZeroDivisionError: by zero"
    assert letter.payload == {"delivery_id": "whd_1"}
    assert await all_done(db)


async def test_a_row_that_says_nothing_is_given_up(db: Db, tools: Tools) -> None:
    row_id = await db.fetchval(
        "INSERT INTO outbox (task, payload) VALUES ('deliver_webhook', '{\"x\": 1}') RETURNING id"
    )
    await jobs.perform(tools, row_id, 0)
    assert await dead_letters.counts(db) == {"deliver_webhook": 1}


async def test_a_link_is_published_again(db: Db, tools: Tools, redis: Any) -> None:
    row_id = await outbox.add(db, tasks.PublishLink("gone", 7))
    await jobs.perform(tools, row_id, 0)
    assert await redis.hget("{links}:gone", "v") == b"7"
    assert await all_done(db)
