"""A balance that Redis and PostgreSQL see differently is shown to whoever looks after them."""

from __future__ import annotations

from prometheus_client import REGISTRY

from core import events
from core.settings import Settings
from db import keys, pg, redis
from deploy.commands import doctor
from tests.db.accounts import MEMBER, PROGRAM, WHERE, Bank
from tests.workers.test_flush import award, bank, drained, flushing, opened
from workers import watch

__all__ = ["bank"]


async def test_a_wrong_balance_is_measured_and_found_by_the_doctor(
    settings: Settings, bank: Bank, pool: pg.Pool, db: pg.Db, redis_connection: redis.Connection
) -> None:
    async with flushing(settings):
        await opened(bank)
        ((generation, _),) = await award(bank, 1)
        await drained(db, redis_connection)
    watcher = watch.Watch(settings, pool, redis_connection)
    balances = keys.award_balances(WHERE, generation)
    field = events.account_field(PROGRAM, MEMBER, "points")
    for number, (change, wrong) in enumerate(((0, 0), (1, 1), (-1, 0))):
        await redis_connection.call("HINCRBY", balances, field, change)
        minute = 10_000 * keys.AWARD_PARTITIONS * (number + 1) + WHERE
        await watcher.step(minute * watch.COMPARE_MS)
        shown = REGISTRY.get_sample_value("stampgate_balance_mismatches", {"check": "redis"})
        assert shown == wrong
        (finding,) = await doctor._balances(settings)
        assert bool(finding.advice) is bool(wrong)
        assert finding.seen == f"{wrong} differ, in {keys.AWARD_PARTITIONS} partitions seen"
