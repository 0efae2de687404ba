"""The flush loop on real servers: it owns, drains, mends, and outlives what breaks."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from core import errors, events
from core.settings import Settings
from db import flush as rules
from db import keys, ledger, pg, points, redis
from deploy.local.redis_server import Redis
from tests.db.accounts import MEMBER, PROGRAM, WHERE, Bank, ask
from tests.workers.conftest import until
from workers import flush

STREAM = keys.award_stream(WHERE)


@contextlib.asynccontextmanager
async def flushing(settings: Settings) -> AsyncIterator[None]:
    """A flusher at work."""
    stop = asyncio.Event()
    task = asyncio.create_task(flush.run(settings, stop))
    yield
    stop.set()
    await task


@pytest.fixture
async def bank(redis_connection: redis.Connection, settings: Settings, pool: pg.Pool) -> Bank:
    return Bank(points.Points(redis_connection, settings), pool)


async def opened(bank: Bank) -> None:
    """Wait for all partitions, then open the member's account."""

    async def is_open() -> bool:
        with contextlib.suppress(errors.StampgateError):
            return await bank.state.open_partitions() == keys.AWARD_PARTITIONS
        return False

    await until(is_open)
    await bank.state.open_accounts(PROGRAM, [MEMBER])


async def drained(db: pg.Db, connection: redis.Connection) -> None:
    """Wait until nothing is left in the member's stream."""

    async def is_empty() -> bool:
        return connection.is_up and await connection.call("XLEN", STREAM) == 0

    await until(is_empty)
    assert await ledger.check(db) == []


async def award(bank: Bank, times: int) -> list[tuple[int, int]]:
    """Award one point each; where each was decided."""
    made = await asyncio.gather(*(bank.decide(ask("award", 1)) for _ in range(times)))
    return [(one.generation, one.sequence) for one in made]


async def stored(db: pg.Db) -> list[tuple[int, int]]:
    found = await db.fetch("SELECT generation, sequence FROM ledger_transaction ORDER BY 1, 2")
    return [(row["generation"], row["sequence"]) for row in found]


async def test_partitions_are_opened_and_what_they_decide_is_stored(
    settings: Settings, bank: Bank, db: pg.Db, redis_connection: redis.Connection
) -> None:
    async with flushing(settings):
        await opened(bank)
        made = await award(bank, 200)
        await drained(db, redis_connection)
    assert await stored(db) == sorted(made)


async def test_two_flushers_at_once_store_each_event_once(
    settings: Settings, bank: Bank, db: pg.Db, redis_connection: redis.Connection
) -> None:
    made = []
    async with flushing(settings), flushing(settings):
        await opened(bank)
        async with flushing(settings):
            for _ in range(10):
                made += await award(bank, 30)
        await drained(db, redis_connection)
    assert await stored(db) == sorted(made)


async def test_commits_without_an_answer_are_settled_by_the_checkpoint(
    settings: Settings, bank: Bank, db: pg.Db, redis_connection: redis.Connection
) -> None:
    made = []
    killer = await asyncpg.connect(settings.flusher_url)
    async with flushing(settings):
        await opened(bank)
        for _ in range(8):
            made += await award(bank, 20)
            # A role may end its own connections.
            await killer.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE pid <> pg_backend_pid() AND usename = current_user"
                " AND datname = current_database()"
            )
        await drained(db, redis_connection)
    await killer.close()
    assert await stored(db) == sorted(made)


async def test_a_commit_that_was_lost_on_its_way_back_is_not_repeated(
    settings: Settings,
    bank: Bank,
    db: pg.Db,
    redis_connection: redis.Connection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    apply = rules.Flush.apply
    lost: list[rules.Applied] = []

    async def and_lose(
        self: rules.Flush, db: pg.Db, portions: list[rules.Portion]
    ) -> rules.Applied:
        applied = await apply(self, db, portions)
        if applied.points and len(lost) < 3:
            lost.append(applied)
            raise ConnectionResetError
        return applied

    monkeypatch.setattr(rules.Flush, "apply", and_lose)
    made = []
    async with flushing(settings):
        await opened(bank)
        for _ in range(4):
            made += await award(bank, 20)
            await drained(db, redis_connection)
        await drained(db, redis_connection)
    assert len(lost) == 3
    assert await stored(db) == sorted(made)


@pytest.mark.parametrize("payload", [b"\xc1", events.encode([("bad",)])])
async def test_poison_is_set_aside_and_the_partition_goes_on(
    settings: Settings,
    bank: Bank,
    db: pg.Db,
    redis_connection: redis.Connection,
    payload: bytes,
) -> None:
    async with flushing(settings):
        await opened(bank)
        made = await award(bank, 3)
        head = keys.award_head(WHERE)
        generation, sequence = await redis_connection.call("HMGET", head, "gen", "seq")
        bad_id = b"%b-%d" % (generation, int(sequence) + 1)
        await redis_connection.call("XADD", STREAM, bad_id, "e", payload)
        await redis_connection.call("HINCRBY", head, "seq", 1)
        made += await award(bank, 3)
        await drained(db, redis_connection)
    assert await stored(db) == sorted(made)
    aside = await db.fetch("SELECT entry_id, payload FROM quarantine")
    assert [row["entry_id"] for row in aside] == [bad_id.decode()]


async def test_a_wiped_redis_is_filled_again_from_postgresql(
    settings: Settings, bank: Bank, db: pg.Db, redis_connection: redis.Connection
) -> None:
    async with flushing(settings):
        await opened(bank)
        ((generation, _), *_) = await award(bank, 30)
        await drained(db, redis_connection)
        await redis_connection.call("FLUSHDB")
        await opened(bank)
        assert await bank.balance() == (30, 0)
        ((after, _),) = await award(bank, 1)
        assert after == generation + 1
        await drained(db, redis_connection)
    assert len(await stored(db)) == 31


async def test_a_lost_head_is_rebuilt_after_its_stream_was_drained(
    settings: Settings, bank: Bank, db: pg.Db, redis_connection: redis.Connection
) -> None:
    async with flushing(settings):
        await opened(bank)
    await award(bank, 30)
    await redis_connection.call("DEL", keys.award_head(WHERE))
    async with flushing(settings):
        await opened(bank)
        assert await bank.balance() == (30, 0)
    assert len(await stored(db)) == 30


@pytest.fixture
def server() -> Iterator[Redis]:
    """A state server that the test may restart."""
    folder = Path(tempfile.mkdtemp(prefix="sg-"))
    made = Redis("state", folder, folder, sync="always")
    made.start()
    yield made
    made.kill()
    shutil.rmtree(folder)


@pytest.mark.parametrize(("durability", "rebuilds"), [("always", 0), ("everysec", 1)])
async def test_a_restarted_redis_is_reopened_or_rebuilt_as_was_promised(
    settings: Settings, server: Redis, pool: pg.Pool, db: pg.Db, durability: str, rebuilds: int
) -> None:
    own = msgspec.structs.replace(settings, redis_url=server.url, durability=durability)
    connection = await redis.Connection.open(server.url)
    bank = Bank(points.Points(connection, own), pool)
    async with flushing(own):
        await opened(bank)
        ((generation, _), *_) = await award(bank, 20)
        server.restart()
        await opened(bank)
        assert await bank.balance() == (20, 0)
        ((after, sequence),) = await award(bank, 1)
        assert (after, sequence) == (generation + rebuilds, 21)
        await drained(db, connection)
    assert len(await stored(db)) == 21
    await connection.close()


async def test_an_entry_that_redis_lost_is_noticed_and_its_partition_rebuilt(
    settings: Settings, bank: Bank, db: pg.Db, redis_connection: redis.Connection
) -> None:
    async with flushing(settings):
        await opened(bank)
    for _ in range(3):
        await award(bank, 1)
    _, (lost, _), _ = await redis_connection.call("XRANGE", STREAM, "-", "+")
    await redis_connection.call("XDEL", STREAM, lost)
    async with flushing(settings):

        async def is_rebuilt() -> bool:
            return bool(await redis_connection.call("HGET", keys.award_head(WHERE), "gen") == b"2")

        await until(is_rebuilt)
        await drained(db, redis_connection)
        assert await bank.state.balances(PROGRAM, MEMBER) == {"points": (2, 0), "stamps": (0, 0)}
        assert await award(bank, 1) == [(2, 4)]
        await drained(db, redis_connection)
    assert [sequence for _, sequence in await stored(db)] == [1, 3, 4]
