from __future__ import annotations

import asyncio
import datetime as dt
import json

import asyncpg
import pytest

from core import errors, ids
from core.programs import ProgramSettings
from db import deliveries, programs, webhooks
from db.webhooks import Event, NewEndpoint
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM, Db

NOW_MS = 1_768_478_400_000
SECRET = "whsec_" + "A" * 43 + "="
OTHER = "prg_01h455vb4pex5vsknk084sn02r"


def event(number: int = 1, *, program_id: str = PROGRAM, name: str = "award.created") -> Event:
    return Event(program_id, name, f"awd_{number}", NOW_MS, {"amount": number})


async def listen(db: Db, endpoint_id: str, *names: str, program_id: str = PROGRAM) -> None:
    new = NewEndpoint(url="https://shop.example/hook", events=list(names))  # type: ignore[arg-type] # checked by msgspec
    await webhooks.add(db, RING, program_id, endpoint_id, new, SECRET)


async def told(db: Db) -> list[tuple[str, str]]:
    rows = await db.fetch(
        "SELECT endpoint_id, event_id FROM webhook_delivery ORDER BY endpoint_id, event_id"
    )
    return [(row[0], row[1]) for row in rows]


async def tasks_of(db: Db) -> list[str]:
    rows = await db.fetch("SELECT payload ->> 'delivery_id' AS id FROM outbox ORDER BY 1")
    return [row["id"] for row in rows]


async def test_an_event_goes_to_those_who_want_its_type(db: Db) -> None:
    await programs.add(
        db, OTHER, name="B", currency="INR", time_zone="UTC", settings=ProgramSettings()
    )
    await listen(db, "whk_awards", "award.created")
    await listen(db, "whk_both", "award.created", "click.recorded")
    await listen(db, "whk_clicks", "click.recorded")
    await listen(db, "whk_other", "award.created", program_id=OTHER)
    await webhooks.queue_events(db, [event(1), event(2)])
    assert await told(db) == [
        ("whk_awards", "awd_1"),
        ("whk_awards", "awd_2"),
        ("whk_both", "awd_1"),
        ("whk_both", "awd_2"),
    ]
    delivery_ids = [row[0] for row in await db.fetch("SELECT id FROM webhook_delivery ORDER BY 1")]
    assert await tasks_of(db) == delivery_ids
    assert all(ids.is_id(delivery_id, "delivery") for delivery_id in delivery_ids)


async def test_an_event_queued_twice_is_told_once(db: Db) -> None:
    await listen(db, "whk_1", "award.created")
    await webhooks.queue_events(db, [event()])
    await webhooks.queue_events(db, [event(), event(2)])
    assert await told(db) == [("whk_1", "awd_1"), ("whk_1", "awd_2")]
    assert len(await tasks_of(db)) == 2


async def test_without_events_or_listeners_nothing_is_written(db: Db) -> None:
    await webhooks.queue_events(db, [])
    await webhooks.queue_events(db, [event()])
    assert await told(db) == []


async def test_a_disabled_endpoint_is_told_nothing(db: Db) -> None:
    await listen(db, "whk_1", "award.created")
    assert await webhooks.wanted(db) == {(PROGRAM, "award.created")}
    await webhooks.disable(db, "whk_1")
    assert await webhooks.wanted(db) == set()
    await webhooks.queue_events(db, [event()])
    assert await told(db) == []


async def test_the_flusher_may_queue_and_an_endpoint_deleted_meanwhile_is_no_obstacle(
    db: Db, database: DatabaseUrls
) -> None:
    await listen(db, "whk_1", "award.created")
    await listen(db, "whk_2", "award.created")
    flusher = await asyncpg.connect(database.flush)
    try:
        transaction = db.transaction()
        await transaction.start()
        await webhooks.delete(db, PROGRAM, "whk_1")
        queueing = asyncio.create_task(webhooks.queue_events(flusher, [event()]))
        async with asyncio.timeout(10):
            while not await db.fetchval("SELECT count(*) FROM pg_locks WHERE NOT granted"):  # noqa: ASYNC110 - in the server
                await asyncio.sleep(0.01)
        await transaction.commit()
        await queueing
    finally:
        await flusher.close()
    assert await told(db) == [("whk_2", "awd_1")]


async def test_the_body_is_that_of_standard_webhooks(db: Db) -> None:
    assert json.loads(webhooks.body(event(7))) == {
        "type": "award.created",
        "timestamp": "2026-01-15T12:00:00Z",
        "data": {"amount": 7},
    }


async def test_a_rotation_keeps_the_old_secret_for_a_while(db: Db) -> None:
    await listen(db, "whk_1", "award.created")
    await webhooks.queue_events(db, [event()])
    delivery_id = (await tasks_of(db))[0]
    for overlap_hours, secrets in ((24, ["whsec_new", SECRET]), (0, ["whsec_newer"])):
        await webhooks.rotate(db, RING, PROGRAM, "whk_1", secrets[0], overlap_hours)
        outgoing = await deliveries.load(db, RING, delivery_id)
        assert outgoing is not None
        assert outgoing.secrets == secrets


async def test_another_program_sees_nothing(db: Db) -> None:
    await listen(db, "whk_1", "award.created")
    await webhooks.queue_events(db, [event()])
    delivery_id = (await tasks_of(db))[0]
    for attempt in (
        webhooks.get(db, OTHER, "whk_1"),
        webhooks.change(db, OTHER, "whk_1", {"state": "disabled"}),
        webhooks.rotate(db, RING, OTHER, "whk_1", "whsec_x", 0),
        webhooks.delete(db, OTHER, "whk_1"),
        webhooks.queue_test(db, OTHER, "whk_1", event()),
    ):
        with pytest.raises(errors.EndpointNotFound):
            await attempt
    for again in (
        deliveries.get(db, OTHER, delivery_id),
        deliveries.replay(db, OTHER, delivery_id),
    ):
        with pytest.raises(errors.DeliveryNotFound):
            await again


async def test_a_replay_queues_what_is_settled_and_leaves_what_is_pending(db: Db) -> None:
    await listen(db, "whk_1", "award.created")
    await webhooks.queue_events(db, [event(number) for number in range(4)])
    by_event = {
        row["event_id"]: row["id"]
        for row in await db.fetch("SELECT id, event_id FROM webhook_delivery")
    }
    await db.execute("DELETE FROM outbox")
    await deliveries.record(db, by_event["awd_0"], deliveries.Outcome("delivered", 1, 204))
    await deliveries.record(db, by_event["awd_1"], deliveries.Outcome("failed", 8, 500, "x" * 900))
    stored = await deliveries.get(db, PROGRAM, by_event["awd_1"])
    assert (stored.state, stored.attempts, stored.last_status) == ("failed", 8, 500)
    assert len(stored.last_error or "") == deliveries.ERROR_LENGTH_MAX
    now = dt.datetime.now(dt.UTC)
    since, until = now - dt.timedelta(hours=1), now + dt.timedelta(hours=1)
    for window, only_failed, count in (
        ((since, since), False, 0),
        ((since, until), True, 1),
        ((since, until), False, 1),
        ((since, until), False, 0),
    ):
        made = await deliveries.replay_many(db, "whk_1", *window, only_failed=only_failed)
        assert made == count
    assert await tasks_of(db) == sorted([by_event["awd_0"], by_event["awd_1"]])
    await deliveries.replay(db, PROGRAM, by_event["awd_2"])
    assert len(await tasks_of(db)) == 2


async def test_deliveries_are_listed_newest_first_by_what_is_asked(db: Db) -> None:
    await listen(db, "whk_1", "award.created", "award.reversed")
    await webhooks.queue_events(
        db, [event(number)._replace(occurred_at_ms=NOW_MS + number) for number in range(3)]
    )
    await webhooks.queue_events(db, [event(9, name="award.reversed")])
    newest = await deliveries.page(db, PROGRAM, before="", limit=2)
    assert [one.event_id for one in newest] == ["awd_2", "awd_1"]
    older = await deliveries.page(db, PROGRAM, before=newest[-1].id, limit=5)
    assert {one.event_id for one in older} == {"awd_0", "awd_9"}
    [reversed_one] = await deliveries.page(
        db, PROGRAM, before="", limit=5, event_type="award.reversed"
    )
    assert reversed_one.event_id == "awd_9"
    found = await deliveries.page(db, PROGRAM, before="", limit=5, event_id="awd_1")
    assert [one.event_id for one in found] == ["awd_1"]
    assert await deliveries.page(db, PROGRAM, before="", limit=5, state="failed") == []
    assert await deliveries.page(db, PROGRAM, before="", limit=5, endpoint_id="whk_2") == []
