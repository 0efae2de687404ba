"""What tests of workers share: settings, a receiver, an endpoint, and worker processes."""

from __future__ import annotations

import asyncio
import contextlib
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import asyncpg
import pytest

from core import keyring
from core.settings import PREFIX, Settings
from core.storage import DOWNLOADS
from db import pg, redis, webhooks
from db.webhooks import NewEndpoint
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.workers.receivers import SECRET, Receiver, receiver
from web import storage
from web.outbound import Outbound
from workers import loop, relay
from workers.broker import Tools
from workers.channels import table

ROOT = Path(__file__).parents[2]
PROGRAM = "prg_test"
ENDPOINT = "whk_test"

Db = pg.Db
Start = Callable[[str], Awaitable[asyncio.subprocess.Process]]


@pytest.fixture
def settings(tmp_path: Path, database: DatabaseUrls, redis_url: str, queue_url: str) -> Settings:
    ring = tmp_path / "keyring.json"
    ring.write_bytes(keyring.dump(RING))
    return Settings(
        database_url=database.app,
        flush_url=database.flush,
        redis_url=redis_url,
        queue_url=queue_url,
        keyring_file=str(ring),
        outbound_allow="127.0.0.1",
        webhook_schedule_s="0,5,60",
        webhook_timeout_s=5,
        storage_url=f"file:{tmp_path}/storage",
        shutdown_timeout_s=4,
        outbox_dir=str(tmp_path / "outbox"),
        notification_schedule_s="0,5,60",
        mail_timeout_s=5,
    )


@pytest.fixture
async def db(database: DatabaseUrls) -> AsyncIterator[Db]:
    """A connection with all rights."""
    connection = await asyncpg.connect(database.migrate)
    yield connection
    await connection.close()


@pytest.fixture
async def pool(settings: Settings) -> AsyncIterator[pg.Pool]:
    async with pg.open_pool(settings) as opened:
        yield opened


@pytest.fixture
async def redis_connection(settings: Settings) -> AsyncIterator[redis.Connection]:
    connection = await redis.Connection.open(settings.redis_url)
    yield connection
    await connection.close()


@pytest.fixture
async def tools(
    settings: Settings, pool: pg.Pool, redis_connection: redis.Connection
) -> AsyncIterator[Tools]:
    """What the actors of this test work with."""
    outbound = Outbound(allow=settings.outbound_allow)
    channels = table.chosen(settings)
    files = await storage.open(settings.storage_place, lambda: RING, served_at=DOWNLOADS)
    yield Tools(settings, RING, pool, redis_connection, outbound.send, channels, files)
    await outbound.close()


@pytest.fixture
async def step(settings: Settings) -> AsyncIterator[loop.Step]:
    """The step of a relay."""
    async with relay.session(settings) as opened:
        yield opened


@pytest.fixture
async def shop() -> AsyncIterator[Receiver]:
    """Who receives webhooks."""
    async with receiver() as listening:
        yield listening


@pytest.fixture
async def endpoint(db: Db, shop: Receiver) -> str:
    """The receiver's endpoint, which listens to awards."""
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    new = NewEndpoint(url=shop.url, events=["award.created"])
    await webhooks.add(db, RING, PROGRAM, ENDPOINT, new, SECRET)
    return ENDPOINT


def event(number: int = 1) -> webhooks.Event:
    return webhooks.Event(
        PROGRAM, "award.created", f"awd_{number}", loop.now_ms() - 1_000, {"amount": number}
    )


@pytest.fixture
async def start(settings: Settings) -> AsyncIterator[Start]:
    """Starts `python -m workers ROLE`; what still runs at the end is killed."""
    processes: list[asyncio.subprocess.Process] = []

    async def start_one(role: str) -> asyncio.subprocess.Process:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "workers", role),
            cwd=ROOT,
            env={**os.environ, **environment(settings)},
            stderr=asyncio.subprocess.PIPE,
        )
        processes.append(process)
        return process

    yield start_one
    for process in processes:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.communicate()


def soon_ms() -> int:
    """A time at which all that was written before is due, also by PostgreSQL's finer clock."""
    return loop.now_ms() + 1_000


def environment(settings: Settings) -> dict[str, str]:
    names = (
        *("database_url", "flush_url", "redis_url", "queue_url", "outbound_allow"),
        *("keyring_file", "webhook_schedule_s", "webhook_timeout_s", "shutdown_timeout_s"),
        *("outbox_dir", "notification_schedule_s", "mail_timeout_s", "mail_url"),
        *("storage_url", "providers_file"),
    )
    return {PREFIX + name.upper(): str(getattr(settings, name)) for name in names}


async def until(is_so: Callable[[], Awaitable[object]]) -> None:
    """Wait until the condition holds."""
    async with asyncio.timeout(30):
        while not await is_so():  # noqa: ASYNC110 - what is waited for is in another process
            await asyncio.sleep(0.02)
