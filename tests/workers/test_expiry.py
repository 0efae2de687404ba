from __future__ import annotations

import asyncio

import pytest

from core import errors
from core.programs import Program, ProgramSettings
from core.settings import Settings
from db import awards, expiry, keys, pg, points, redis
from tests.workers.conftest import PROGRAM

NOW_MS = 1_768_478_400_000
MEMBER = "mem_1"
RULES = Program(PROGRAM, "UTC", ProgramSettings())


@pytest.fixture
async def state(settings: Settings, redis_connection: redis.Connection) -> points.Points:
    """Open partitions, and a member with 100 points."""
    for number in range(keys.AWARD_PARTITIONS):
        head = ("gen", 1, "seq", 0, "open", 1, "run", redis_connection.run_id)
        await redis_connection.call("HSET", keys.award_head(number), *head)
    opened = points.Points(redis_connection, settings)
    await opened.open_accounts(PROGRAM, [MEMBER])
    return opened


def ask(op: awards.Op, amount: int, key: str, **more: int | str) -> awards.Ask:
    base = awards.Ask(op, RULES, "test", key, "points", amount, MEMBER)
    return base._replace(**more)  # type: ignore[arg-type] # the fields' own types


async def hold(state: points.Points, pool: pg.Pool, key: str, ttl_s: int) -> str:
    decided = await awards.decide(state, pool, ask("hold", 10, key, expires_in_s=ttl_s), NOW_MS)
    return f"{decided.generation}-{decided.sequence}"


async def test_a_hold_goes_back_when_its_time_is_up(
    state: points.Points, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    await awards.decide(state, pool, ask("award", 100, "k1"), NOW_MS)
    await hold(state, pool, "k2", 60)
    await hold(state, pool, "k3", 120)
    for after_s, closed, available, held in ((59, 0, 80, 20), (60, 1, 90, 10), (60, 0, 90, 10)):
        now_ms = NOW_MS + after_s * 1_000
        assert await expiry.expire_due(state, redis_connection, now_ms) == closed
        balances = await state.balances(PROGRAM, MEMBER)
        assert balances is not None
        assert balances["points"] == (available, held)


async def test_two_sweeps_at_a_time_give_back_once(
    state: points.Points, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    await awards.decide(state, pool, ask("award", 100, "k1"), NOW_MS)
    await hold(state, pool, "k2", 60)
    sweeps = [expiry.expire_due(state, redis_connection, NOW_MS + 61_000) for _ in range(3)]
    assert sum(await asyncio.gather(*sweeps)) == 1
    balances = await state.balances(PROGRAM, MEMBER)
    assert balances is not None
    assert balances["points"] == (100, 0)


async def test_an_expired_hold_cannot_be_captured(
    state: points.Points, pool: pg.Pool, redis_connection: redis.Connection
) -> None:
    await awards.decide(state, pool, ask("award", 100, "k1"), NOW_MS)
    hold_key = await hold(state, pool, "k2", 60)
    await expiry.expire_due(state, redis_connection, NOW_MS + 61_000)
    with pytest.raises(errors.HoldNotOpen):
        await awards.decide(state, pool, ask("capture", 0, "k3", related=hold_key), NOW_MS + 61_000)


async def test_closed_partitions_are_passed_over(
    state: points.Points, redis_connection: redis.Connection
) -> None:
    for number in range(keys.AWARD_PARTITIONS):
        await redis_connection.call("HSET", keys.award_head(number), "open", 0)
    assert await expiry.expire_due(state, redis_connection, NOW_MS) == 0
