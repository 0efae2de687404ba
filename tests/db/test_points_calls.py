"""Calls of many items: replays, overlays, generations, bounds, and servers that are away."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator

import msgspec
import pytest

from core import errors, ids
from core.settings import Settings
from db import awards, decisions, keys, pg, points, redis
from deploy.local.redis_server import Redis
from tests.db import accounts
from tests.db.accounts import MEMBER, NOW_MS, PROGRAM, WHERE, Bank, ask, closing, limited
from tests.db.conftest import until
from tests.db.test_redis import pause

DAY_MS = 86_400_000
LARGEST = 2**53 - 1


async def test_the_same_key_and_body_get_the_first_answer_again(
    bank: Bank, connection: redis.Connection
) -> None:
    await bank.decide(ask("award", 100, key="start"))
    hold = await bank.decide(ask("hold", 30, expires_in_s=60, key="h"))
    asked: list[awards.Ask] = [
        ask("award", 100, key="start"),
        ask("spend", 10, key="s"),
        ask("hold", 30, expires_in_s=60, key="h"),
        closing("capture", hold, 20, key="c"),
        ask("reverse", 5, related="1-1", bound=100, key="r"),
    ]
    first = [await bank.decide(one) for one in asked]
    before = len(await accounts.written(connection))
    again = [await bank.decide(one, NOW_MS + 5_000) for one in asked]
    assert [one._replace(is_replay=True) for one in first] == again
    assert all(one.at_ms == NOW_MS for one in again)
    assert len(await accounts.written(connection)) == before
    with pytest.raises(errors.HoldNotOpen):
        await bank.decide(closing("capture", hold, 20, key="c2"))


@pytest.mark.parametrize(
    "change",
    [
        {"amount": 2},
        {"reason": "x"},
        {"reference": "x"},
        {"unit": "stamps"},
        {"op": "spend"},
        {"occurred_at_ms": 1},
    ],
)
async def test_the_same_key_with_another_body_is_refused(
    bank: Bank, change: dict[str, object]
) -> None:
    await bank.decide(ask("award", 1, key="k"))
    with pytest.raises(errors.IdempotencyKeyReused):
        await bank.decide(ask("award", 1, key="k")._replace(**change))  # type: ignore[arg-type] # one of its fields
    assert await bank.balance() == (1, 0)


async def test_a_key_belongs_to_its_caller_and_member(bank: Bank) -> None:
    await bank.state.open_accounts(PROGRAM, ["mem_2"])
    for one in ({}, {"caller": "other"}, {"member_id": "mem_2"}):
        assert not (await bank.decide(ask("award", 1, key="k", **one))).is_replay


async def test_a_refusal_leaves_the_key_free(bank: Bank) -> None:
    with pytest.raises(errors.InsufficientBalance):
        await bank.decide(ask("spend", 1, key="k"))
    await bank.decide(ask("award", 1))
    assert not (await bank.decide(ask("spend", 1, key="k"))).is_replay


async def test_a_key_twice_in_one_call_counts_once(
    bank: Bank, connection: redis.Connection
) -> None:
    outcomes = await bank.together(
        [ask("award", 1, key="k"), ask("award", 1, key="k"), ask("award", 2, key="k")]
    )
    assert [outcome.status for outcome in outcomes] == [decisions.DONE, decisions.REPLAYED, 2]
    assert outcomes[0].text == outcomes[1].text
    assert len(await accounts.written(connection)) == 1


async def test_a_key_sent_by_two_processes_at_once_counts_once(
    bank: Bank, lone_settings: Settings, redis_url: str
) -> None:
    connection = await redis.Connection.open(redis_url)
    other = Bank(points.Points(connection, lone_settings), bank.pool)
    asked = [ask("award", 5, key=f"k{number}") for number in range(40)]
    both = await asyncio.gather(*(side.decide(one) for one in asked for side in (bank, other)))
    assert sum(not one.is_replay for one in both) == 40
    assert await bank.balance() == (200, 0)
    await connection.close()


async def test_a_call_sees_what_its_earlier_items_did(
    bank: Bank, connection: redis.Connection
) -> None:
    bank.state.batch_sizes.clear()
    await bank.together([ask("award", 1)])
    asked = [ask("award" if number % 2 == 0 else "spend", 1) for number in range(64)]
    outcomes = await bank.together(asked)
    assert {outcome.status for outcome in outcomes} == {decisions.DONE}
    assert [outcome.decision().balance for outcome in outcomes] == [2, 1] * 32
    assert bank.state.batch_sizes == [1, 64]
    found = await accounts.written(connection)
    assert [event.balance for event in found] == [1, *[2, 1] * 32]
    program = limited(per_member_day=3)
    status = [one.status for one in await bank.together([ask("award", 2, program=program)] * 2)]
    assert status == [decisions.DONE, decisions.REPLAYED]
    status = [
        one.status
        for one in await bank.together([ask("award", 1, program=program) for _ in range(2)])
    ]
    assert status == [decisions.DONE, 4]


async def test_every_item_keeps_its_own_time(bank: Bank, connection: redis.Connection) -> None:
    placed = [awards.place(bank.state, ask("award", 1), NOW_MS + number) for number in range(3)]
    decided = [(await future).decision() for future in placed]
    assert [one.at_ms - NOW_MS for one in decided] == [0, 1, 2]
    assert [
        event.facts.recorded_at_ms - NOW_MS for event in await accounts.written(connection)
    ] == [0, 1, 2]


async def test_a_decided_event_is_found_by_its_id(banked: Bank) -> None:
    await banked.together([ask("award", number) for number in (5, 6, 7)])
    ref = ids.EventRef(WHERE, 1, 2, NOW_MS)
    found = await awards.find(banked.state, banked.pool, PROGRAM, ref)
    assert found is not None
    assert (found.type, found.member_id, found.amount) == ("award", MEMBER, 6)
    for program_id, other in (
        ("prg_other", ref),
        (PROGRAM, ref._replace(sequence=4)),
        (PROGRAM, ref._replace(sequence=0)),
        (PROGRAM, ref._replace(generation=2)),
        (PROGRAM, ref._replace(partition=4_000)),
        (PROGRAM, ref._replace(ms=NOW_MS + 1)),
    ):
        assert await awards.find(banked.state, banked.pool, program_id, other) is None


async def test_a_stale_generation_is_asked_again_with_the_new_one(
    bank: Bank, connection: redis.Connection
) -> None:
    await bank.decide(ask("award", 5))
    await connection.call("HSET", keys.award_balances(WHERE, 2), f"{PROGRAM}:{MEMBER}:p", 40)
    await accounts.open_heads(connection, generation=2, sequence=9)
    decided = await bank.decide(ask("award", 2))
    assert (decided.generation, decided.sequence, decided.balance) == (2, 10, 42)


async def test_a_closed_partition_decides_nothing_until_it_opens(
    bank: Bank, connection: redis.Connection
) -> None:
    head = keys.award_head(WHERE)
    for closed in (("open", "0"), ("open", "1", "run", "another")):
        await connection.call("HSET", head, *closed)
        with pytest.raises(errors.NotOpen):
            await bank.decide(ask("award", 1))
    await connection.run(redis.POINTS_HEAD, (head,), (1, 0, connection.run_id, 0))
    assert (await bank.decide(ask("award", 1))).sequence == 1
    await connection.call("DEL", head)
    with pytest.raises(errors.NotOpen):
        await bank.decide(ask("award", 1))


async def test_a_partition_that_lost_acknowledged_events_is_closed(
    bank: Bank, connection: redis.Connection
) -> None:
    await bank.together([ask("award", 1) for _ in range(3)])
    head = keys.award_head(WHERE)
    # Also when it was closed and opened in between, at the same generation.
    await connection.call("HSET", head, "open", 0)
    with pytest.raises(errors.NotOpen):
        await bank.decide(ask("award", 1))
    await connection.call("HSET", head, "seq", 2, "open", 1)
    with pytest.raises(errors.NotOpen):
        await bank.decide(ask("award", 1))
    assert await connection.call("HGET", head, "open") == b"0"
    assert len(await accounts.written(connection)) == 3


async def test_a_full_stream_takes_no_more(
    lone_settings: Settings, bank: Bank, connection: redis.Connection
) -> None:
    tight = msgspec.structs.replace(lone_settings, stream_high_water=2)
    full = Bank(points.Points(connection, tight), bank.pool)
    for _ in range(2):
        await full.decide(ask("award", 1))
    with pytest.raises(errors.OverCapacity):
        await full.decide(ask("award", 1))
    assert await bank.balance() == (2, 0)


async def test_more_than_may_wait_is_refused(
    lone_settings: Settings, bank: Bank, connection: redis.Connection
) -> None:
    tight = msgspec.structs.replace(lone_settings, award_pending_max=10)
    state = points.Points(connection, tight)
    placed = [awards.place(state, ask("award", 1), NOW_MS) for _ in range(10)]
    with pytest.raises(errors.OverCapacity):
        _ = awards.place(state, ask("award", 1), NOW_MS)
    await asyncio.gather(*placed)
    await awards.place(state, ask("award", 1), NOW_MS)
    assert await bank.balance() == (11, 0)


@pytest.fixture
async def own(
    lone_settings: Settings, redis_server: Redis
) -> AsyncIterator[tuple[Bank, redis.Connection]]:
    """A bank on a server that the test may kill."""
    connection = await redis.Connection.open(redis_server.url, deadline_s=0.5)
    await accounts.open_heads(connection)
    bank = Bank(points.Points(connection, lone_settings), pg.open_pool(lone_settings))
    await bank.state.open_accounts(PROGRAM, [MEMBER])
    yield bank, connection
    await connection.close()


async def test_nobody_waits_for_a_server_that_is_away(
    own: tuple[Bank, redis.Connection], redis_server: Redis
) -> None:
    bank, connection = own
    await bank.decide(ask("award", 1))
    redis_server.kill()
    await until(lambda: not connection.is_up)
    placed = [awards.place(bank.state, ask("award", 1), NOW_MS) for _ in range(200)]
    async with asyncio.timeout(5):
        failed = await asyncio.gather(*placed, return_exceptions=True)
    assert {type(one) for one in failed} == {errors.Unavailable}


async def test_an_award_without_an_answer_is_safe_to_send_again(
    own: tuple[Bank, redis.Connection], redis_server: Redis
) -> None:
    bank, connection = own
    await bank.decide(ask("award", 1))
    pause(redis_server, signal.SIGSTOP)
    with pytest.raises(errors.OutcomeUnknown):
        await bank.decide(ask("award", 2, key="k"))
    pause(redis_server, signal.SIGCONT)
    await until(lambda: connection.is_up)
    await bank.decide(ask("award", 2, key="k"))
    assert await bank.balance() == (3, 0)
