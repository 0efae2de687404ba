"""Rates and failed tries are counted exactly, however many connections race."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from core.limits import Policy, pace
from db import keys, limits, redis

POLICY = Policy("caller", 10)
SIGN_IN = Policy("sign-in", 5, 900)
NOW = 1_700_000_000_000_000
_names = (str(number) for number in itertools.count())


@pytest.fixture
async def wires(redis_url: str) -> AsyncIterator[list[redis.Connection]]:
    """Two processes' ways to Redis."""
    opened = [await redis.Connection.open(redis_url) for _ in range(2)]
    yield opened
    for one in opened:
        await one.close()


async def test_a_quota_can_be_spent_at_once_and_is_earned_back_evenly(
    connection: redis.Connection,
) -> None:
    left = [(await limits.spend(connection, POLICY, "a", NOW)).left for _ in range(10)]
    assert left == [9, 8, 7, 6, 5, 4, 3, 2, 1, 0]
    refused = await limits.spend(connection, POLICY, "a", NOW)
    assert refused == (POLICY, 0, 0, 6_000_000, 60_000_000)
    early = await limits.spend(connection, POLICY, "a", NOW + 5_999_999)
    assert (early.spent, early.wait_us) == (0, 1)
    assert (await limits.spend(connection, POLICY, "a", NOW + 6_000_000)).spent == 1
    assert (await limits.spend(connection, POLICY, "a", NOW + 6_000_000)).spent == 0
    # After a window all is there again, and no more than all.
    whole = await limits.look(connection, POLICY, "a", NOW + 10**10)
    assert (whole.left, whole.reset_us) == (10, 0)
    assert (await limits.look(connection, POLICY, "b", NOW)).left == 10


@pytest.mark.parametrize("per_minute", [2, 3, 16, 20, 200, 1_000])
async def test_calls_keep_to_a_pace_whoever_makes_them(
    wires: list[redis.Connection], per_minute: int
) -> None:
    now, made = NOW, []
    kept = pace(per_minute)
    while now < NOW + 180_000_000:
        asked = [limits.call(wire, kept, "a", now) for wire in wires]
        waits = await asyncio.gather(*asked)
        made += [now] * waits.count(0)
        now += 0 if 0 in waits else min(waits)
    for at in made:
        assert len([one for one in made if at <= one < at + 60_000_000]) <= per_minute
        assert len([one for one in made if at <= one < at + 10_000_000]) <= 10 + per_minute / 6
    assert len(made) >= 3 * (per_minute - kept.saved + 1)


async def test_what_is_asked_together_is_given_together_or_not(
    connection: redis.Connection,
) -> None:
    assert (await limits.spend(connection, POLICY, "a", NOW, least=7, most=7)).spent == 7
    few = await limits.spend(connection, POLICY, "a", NOW, least=4, most=9)
    assert (few.spent, few.left, few.wait_us) == (0, 3, 6_000_000)
    assert (await limits.spend(connection, POLICY, "a", NOW, least=1, most=9)).spent == 3
    assert (await limits.spend(connection, POLICY, "a", NOW, least=1, most=9)).spent == 0


async def test_what_is_given_back_can_be_spent_again_and_no_more_than_that(
    connection: redis.Connection,
) -> None:
    await limits.spend(connection, POLICY, "a", NOW, most=10)
    await limits.give_back(connection, POLICY, "a", NOW, 4)
    assert (await limits.spend(connection, POLICY, "a", NOW, most=10)).spent == 4
    await limits.give_back(connection, POLICY, "a", NOW, 1_000)
    assert (await limits.look(connection, POLICY, "a", NOW)).left == 10
    assert (await limits.spend(connection, POLICY, "a", NOW, most=1_000)).spent == 10


async def test_a_caller_that_spent_nothing_leaves_nothing(connection: redis.Connection) -> None:
    key = keys.rate_limit("caller", "a")
    await limits.spend(connection, POLICY, "a", NOW, most=2)
    assert await connection.call("PTTL", key) == pytest.approx(13_000, abs=900)
    await limits.give_back(connection, POLICY, "a", NOW, 2)
    assert await connection.call("EXISTS", key) == 0


async def test_two_processes_that_race_share_one_quota(wires: list[redis.Connection]) -> None:
    policy = Policy("caller", 1_000)
    asked = [limits.spend(wires[count % 2], policy, "a", NOW) for count in range(1_500)]
    standings = await asyncio.gather(*asked)
    assert sum(standing.spent for standing in standings) == 1_000
    assert sorted(standing.left for standing in standings if standing.spent) == list(range(1_000))


@given(
    quota=st.integers(1, 1_000_000),
    steps=st.lists(
        st.tuples(st.integers(0, 120_000_000), st.integers(-30, 30).filter(bool)), max_size=30
    ),
)
@examples(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
async def test_redis_reckons_as_whole_numbers_do(
    connection: redis.Connection, quota: int, steps: list[tuple[int, int]]
) -> None:
    policy, who, now, paid = Policy("caller", quota), next(_names), NOW, 0
    for step, most in steps:
        now += step
        paid = max(paid, now)
        left = (now + quota * policy.each_us - paid) // policy.each_us
        spent = min(most, left) if most > 0 else most
        paid = max(now, paid + spent * policy.each_us)
        standing = await limits.spend(connection, policy, who, now, most=most)
        assert standing.spent == spent
        assert standing.left == min(quota, left - spent)
        assert standing.reset_us == paid - now


async def test_so_many_failures_and_no_more(connection: redis.Connection) -> None:
    async def tried(what: limits.What, now: int = NOW) -> limits.Verdict:
        return await limits.tried(connection, what, SIGN_IN, "a", now, next(_names))

    for second in range(5):
        assert (await tried("try", NOW + second)).may_go_on
        await tried("fail", NOW + second)
    assert await tried("try", NOW + 5) == (False, 899_999_995)
    assert not (await tried("look", NOW + 5)).may_go_on
    # The first is forgotten after fifteen minutes, the second a microsecond later.
    assert (await tried("try", NOW + 900_000_000)).may_go_on
    assert not (await tried("try", NOW + 900_000_000)).may_go_on


async def test_a_try_that_went_well_leaves_nothing_and_frees_no_failure(
    connection: redis.Connection,
) -> None:
    async def tried(what: limits.What) -> limits.Verdict:
        return await limits.tried(connection, what, SIGN_IN, "a", NOW, next(_names))

    for _ in range(4):
        await tried("try")
        await tried("fail")
    for _ in range(20):
        assert (await tried("try")).may_go_on
        await tried("pass")
    await tried("try")
    await tried("fail")
    await tried("pass")
    assert not (await tried("try")).may_go_on


async def test_tries_that_race_count_before_it_is_known_how_they_end(
    wires: list[redis.Connection],
) -> None:
    async def tried(what: limits.What, number: int, now: int = NOW) -> limits.Verdict:
        return await limits.tried(wires[number % 2], what, SIGN_IN, "a", now, next(_names))

    verdicts = await asyncio.gather(*(tried("try", number) for number in range(100)))
    assert sum(verdict.may_go_on for verdict in verdicts) == 5
    # Nobody says how they ended.
    assert not (await tried("try", 0, NOW + limits.TRY_US - 1)).may_go_on
    assert (await tried("try", 0, NOW + limits.TRY_US)).may_go_on


async def test_failures_that_raced_past_the_look_do_not_pile_up(
    connection: redis.Connection,
) -> None:
    for second in range(50):
        await limits.tried(connection, "fail", SIGN_IN, "a", NOW + second, next(_names))
    assert await connection.call("ZCARD", keys.failures("a")) == 5
    verdict = await limits.tried(connection, "look", SIGN_IN, "a", NOW + 50, next(_names))
    assert verdict == (False, 900_000_000 - 5)
    assert await connection.call("PTTL", keys.failures("a")) > 800_000
