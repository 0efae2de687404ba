"""Connections for the modules of `db`, on a database and a Redis of this test's own."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import TypeAlias

import asyncpg
import pytest

from core.programs import ProgramSettings
from core.settings import Settings
from db import pg, points, programs
from db import redis as redis_
from deploy.local.postgres import DatabaseUrls
from deploy.local.redis_server import Redis
from tests.db import accounts

Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"
PROGRAM = accounts.PROGRAM


@pytest.fixture
async def pool(database: DatabaseUrls) -> AsyncIterator[pg.Pool]:
    """A pool with the rights of the app."""
    async with asyncpg.create_pool(database.app, min_size=0, max_size=4) as opened:
        yield opened


@pytest.fixture
async def db(pool: pg.Pool) -> AsyncIterator[pg.Db]:
    """One connection with the rights of the app; there is one program."""
    async with pool.acquire() as connection:
        await programs.add(
            connection,
            PROGRAM,
            name="Tea",
            currency="INR",
            time_zone="UTC",
            settings=ProgramSettings(),
        )
        yield connection


@pytest.fixture
async def connection(redis_url: str) -> AsyncIterator[redis_.Connection]:
    """Our own connection to the empty state server."""
    opened = await redis_.Connection.open(redis_url)
    yield opened
    await opened.close()


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    """A state server that the test may stop, kill and set up as it likes."""
    folder = Path(tempfile.mkdtemp(prefix="sg-"))
    server = Redis("state", folder, folder, sync="no")
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


async def until(is_so: Callable[[], object]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(20):
        while not is_so():  # noqa: ASYNC110  # conditions of any kind
            await asyncio.sleep(0.005)


async def until_waiting(db: pg.Db) -> None:
    """Wait until another connection waits for a lock."""
    waits = """
    SELECT count(*) FROM pg_stat_activity
     WHERE datname = current_database() AND wait_event_type = 'Lock'
    """
    async with asyncio.timeout(20):
        while not await db.fetchval(waits):  # noqa: ASYNC110 - another connection's state
            await asyncio.sleep(0.005)


@pytest.fixture
def settings(database: DatabaseUrls, redis_url: str) -> Settings:
    return Settings(
        database_url=database.app,
        flush_url=database.flush,
        redis_url=redis_url,
        queue_url=redis_url,
    )


@pytest.fixture
def lone_settings(redis_url: str) -> Settings:
    """Without PostgreSQL: what is decided about known members needs none."""
    return Settings(database_url="postgresql://nowhere/", redis_url=redis_url, queue_url=redis_url)


@pytest.fixture
async def bank(lone_settings: Settings, connection: redis_.Connection) -> accounts.Bank:
    """Open partitions and one member with nothing."""
    await accounts.open_heads(connection)
    opened = accounts.Bank(points.Points(connection, lone_settings), pg.open_pool(lone_settings))
    await opened.state.open_accounts(PROGRAM, [accounts.MEMBER])
    return opened


@pytest.fixture
def banked(bank: accounts.Bank, pool: pg.Pool) -> accounts.Bank:
    """The same, with PostgreSQL."""
    return accounts.Bank(bank.state, pool)
