from __future__ import annotations

import asyncio
import datetime as dt

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from core import tasks
from core.settings import Settings
from db import keys, outbox, pg, redis, webhooks
from tests.workers.conftest import PROGRAM, Db, Start, until
from workers import schedule
from workers.schedule import Job, Schedule
from workers.watch import Watch

HOUR_MS = 3_600_000
NOON_MS = 1_768_478_400_000  # 2026-01-15 12:00 UTC


async def count(settings: Settings, db: pg.Db, now_ms: int) -> None:
    """A job with an effect to count."""
    await outbox.add(db, tasks.DeliverWebhook(str(now_ms)))


async def fail(settings: Settings, db: pg.Db, now_ms: int) -> None:
    await count(settings, db, now_ms)
    raise ZeroDivisionError


HOURLY = (Job("count", 3_600, count),)


async def counted(db: Db) -> int:
    return int(await db.fetchval("SELECT count(*) FROM outbox"))


@pytest.fixture
async def scheduler(
    settings: Settings, pool: pg.Pool, redis_connection: redis.Connection
) -> Schedule:
    """One scheduler with a job to count."""
    return Schedule(settings, pool, HOURLY)


@pytest.fixture
async def watcher(settings: Settings, pool: pg.Pool, redis_connection: redis.Connection) -> Watch:
    """One watcher."""
    return Watch(settings, pool, redis_connection)


async def test_a_job_runs_once_an_hour(db: Db, scheduler: Schedule) -> None:
    for minute in range(0, 180, 10):
        await scheduler.step(NOON_MS + minute * 60_000)
    assert await counted(db) == 3


async def test_two_schedulers_make_each_run_once(
    db: Db, settings: Settings, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    pair = [Schedule(settings, pool, HOURLY) for _ in range(2)]
    for hour in range(20):
        now_ms = NOON_MS + hour * HOUR_MS
        await asyncio.gather(*(one.step(now_ms) for one in pair for _ in range(3)))
    assert await counted(db) == 20
    finished = "SELECT count(*) FROM schedule_run WHERE finished_at IS NOT NULL"
    assert await db.fetchval(finished) == 20


async def test_what_was_due_during_a_downtime_is_made_up_for_at_once(
    db: Db, settings: Settings, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    await Schedule(settings, pool, HOURLY).step(NOON_MS)
    later = Schedule(settings, pool, HOURLY)
    await later.step(NOON_MS + 5 * HOUR_MS + 1_234)
    assert await counted(db) == 2


async def test_a_run_that_fails_leaves_nothing_and_is_made_again(
    db: Db, settings: Settings, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    faulty = Schedule(settings, pool, (Job("count", 3_600, fail), Job("other", 3_600, count)))
    assert await faulty.step(NOON_MS) == 1
    assert await counted(db) == 1
    healthy = Schedule(settings, pool, HOURLY)
    assert await healthy.step(NOON_MS) == 1
    assert await counted(db) == 2


async def test_a_run_that_is_under_way_elsewhere_is_not_waited_for(
    db: Db, scheduler: Schedule
) -> None:
    async with db.transaction():
        await db.execute("SELECT pg_advisory_xact_lock(hashtextextended('schedule count', 0))")
        assert await scheduler.step(NOON_MS) == 0
    assert await scheduler.step(NOON_MS + HOUR_MS // schedule.RETRIES) == 1


async def test_the_jobs_keep_the_tables_in_shape(
    db: Db, settings: Settings, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    today = dt.date(2026, 1, 15)
    for age in range(4):
        day = today - dt.timedelta(days=age)
        await db.execute("INSERT INTO address_salt VALUES ($1, $2)", day, b"salt")
    await db.execute(
        "CREATE TABLE click_20240101 PARTITION OF click FOR VALUES FROM ('2024-01-01')"
        " TO ('2024-01-02')"
    )
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await db.execute(
        "INSERT INTO api_key (id, program_id, name, prefix, hash, scopes, created_by)"
        " VALUES ('key_1', $1, 'till', 'abc', sha256('k'), '{links:read}', 'opr_1')",
        PROGRAM,
    )
    for age in (400, 401):
        await db.execute(
            "INSERT INTO api_key_usage VALUES ('key_1', $1, 1)", today - dt.timedelta(days=age)
        )
    one = Schedule(settings, pool)
    assert await one.step(NOON_MS) == len(schedule.JOBS)
    used = await db.fetch("SELECT day FROM api_key_usage")
    assert [row["day"] for row in used] == [today - dt.timedelta(days=400)]
    salts = await db.fetch("SELECT day FROM address_salt ORDER BY day")
    assert [row["day"] for row in salts] == [today - dt.timedelta(days=1), today]
    partitions = {
        row["relname"]
        for row in await db.fetch(
            "SELECT relname FROM pg_class WHERE relname ~ '^click_[0-9]{8}$' AND relkind = 'r'"
        )
    }
    assert "click_20260115" in partitions
    assert "click_20260129" in partitions
    assert "click_20240101" not in partitions
    assert REGISTRY.get_sample_value("stampgate_balance_mismatches", {"check": "ledger"}) == 0


async def test_old_deliveries_are_forgotten_and_pending_ones_kept(db: Db, endpoint: str) -> None:
    from db import retention

    old = webhooks.Event(PROGRAM, "award.created", "awd_old", NOON_MS, {})
    new = webhooks.Event(PROGRAM, "award.created", "awd_new", NOON_MS + 2, {})
    waiting = webhooks.Event(PROGRAM, "award.created", "awd_waiting", NOON_MS, {})
    await webhooks.queue_events(db, [old, new, waiting])
    await db.execute(
        "UPDATE webhook_delivery SET state = 'delivered' WHERE event_id <> 'awd_waiting'"
    )
    await retention.delete_deliveries(db, NOON_MS + 1)
    left = await db.fetch("SELECT event_id FROM webhook_delivery ORDER BY event_id")
    assert [row["event_id"] for row in left] == ["awd_new", "awd_waiting"]


async def test_a_reached_cap_is_told_once_however_often_it_is_announced(
    db: Db, redis: Redis, endpoint: str, watcher: Watch
) -> None:
    await webhooks.change(db, PROGRAM, endpoint, {"events": ["link.cap_reached"]})
    await db.execute(
        "INSERT INTO link (id, program_id, slug, config) VALUES ('lnk_1', $1, 'tea', $2)",
        PROGRAM,
        '{"cap": 100}',
    )
    for _ in range(2):
        for link_id in ("lnk_1", "lnk_1", "lnk_gone"):
            await redis.xadd(keys.LINK_CAPS_REACHED, {"l": link_id})
        await watcher.step(NOON_MS)
    told = await db.fetch("SELECT event_id, type FROM webhook_delivery")
    assert [tuple(row) for row in told] == [("lnk_1_cap_100", "link.cap_reached")]
    assert await redis.xlen(keys.LINK_CAPS_REACHED) == 0


async def test_the_gauges_tell_what_waits(
    db: Db, settings: Settings, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    row_id = await outbox.add(db, tasks.DeliverWebhook("whd_1"))
    await outbox.add(db, tasks.DeliverWebhook("whd_2"))
    await outbox.bury(db, row_id, "no use")
    await db.execute(
        "INSERT INTO quarantine (stream, entry_id, position, payload, error)"
        " VALUES ('{a03}:ev', '0-1', 0, '', 'bad')"
    )
    await db.execute(
        "INSERT INTO click_boot (boot, highest, stored, last_click_at)"
        " VALUES (1, 10, 7, now()), (2, 3, 65539, now())"
    )
    await Watch(settings, pool, redis_connection).step(NOON_MS)
    sample = REGISTRY.get_sample_value
    assert sample("stampgate_outbox_depth", {"queue": "default"}) == 1
    assert sample("stampgate_dead_letters", {"actor": "deliver_webhook"}) == 1
    assert sample("stampgate_dead_letters", {"actor": "publish_link"}) == 0
    assert sample("stampgate_quarantine_depth", {"kind": "points"}) == 1
    assert sample("stampgate_quarantine_depth", {"kind": "clicks"}) == 0
    assert sample("stampgate_lost_sequence_numbers", {"kind": "click"}) == 3


async def test_the_process_makes_the_runs_and_stops_when_told(db: Db, start: Start) -> None:
    process = await start("schedule")

    async def is_made() -> bool:
        finished = "SELECT count(*) FROM schedule_run WHERE finished_at IS NOT NULL"
        return bool(await db.fetchval(finished) == len(schedule.JOBS))

    await until(is_made)
    process.terminate()
    assert await process.wait() == 0
