"""A running gateway on a socket of its own, and callers with tokens of the kinds there are."""

from __future__ import annotations

import asyncio
import contextlib
import io
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import aiohttp
import asyncpg
import msgspec
import pytest
import uvloop
from redis.asyncio import Redis

from core import keyring, tokens
from core.settings import Settings
from db import keys
from deploy.local.postgres import DatabaseUrls
from gateway import hot, routes
from gateway.app import App
from gateway.dispatch import Dispatch
from tests import conftest, lanes
from web.routing import Router


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What production runs on."""
    return {"uvloop": uvloop.new_event_loop}


Db: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

RING = conftest.RING
TABLES = ("program", "merchant", "member", "link", "outbox", "idempotency", "webhook_endpoint")


class Answer(NamedTuple):
    """What came back."""

    status: int
    headers: Any
    body: Any

    @property
    def code(self) -> str:
        return str(self.body["code"])


class Client:
    """A caller of the gateway: one token, one program."""

    def __init__(self, session: aiohttp.ClientSession, url: str, headers: dict[str, str]) -> None:
        self.session = session
        self.url = url
        self.headers = headers

    async def call(
        self, method: str, path: str, body: object = None, **headers: str | None
    ) -> Answer:
        """Send `body`, bytes as they are; a header given as None is left out."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        merged = {**self.headers, **named}
        raw_body = body if isinstance(body, bytes) or body is None else encode(body)
        data = None if raw_body is None else io.BytesIO(raw_body)
        async with self.session.request(
            method,
            self.url + path,
            data=data,
            headers={name: value for name, value in merged.items() if value is not None},
        ) as response:
            raw = await response.read()
            is_json = response.content_type.endswith(("/json", "+json"))
            return Answer(
                response.status,
                response.headers,
                msgspec.json.decode(raw) if is_json and raw else raw,
            )

    async def get(self, path: str, **headers: str | None) -> Answer:
        return await self.call("GET", path, **headers)

    async def post(self, path: str, body: object, **headers: str | None) -> Answer:
        return await self.call("POST", path, body, **headers)

    async def put(self, path: str, body: object, **headers: str | None) -> Answer:
        return await self.call("PUT", path, body, **headers)

    async def patch(self, path: str, body: object, **headers: str | None) -> Answer:
        return await self.call("PATCH", path, body, **headers)

    async def delete(self, path: str) -> Answer:
        return await self.call("DELETE", path)


encode = msgspec.json.encode


def token(
    program_id: str | None,
    scopes: Iterable[str] = tokens.SCOPES,
    *,
    ttl_s: int = 600,
    rate_per_minute: int | None = 0,
) -> str:
    """A token of the tests' key ring; all scopes but the platform's, unless told otherwise, and
    no limit.
    """
    wanted = [scope for scope in scopes if program_id is None or scope != tokens.PLATFORM]
    return tokens.issue(
        RING,
        program_id=program_id,
        subject="test",
        scopes=wanted,
        now_s=int(time.time()),
        ttl_s=ttl_s,
        token_id="tok_test",
        rate_per_minute=rate_per_minute,
    )


def bearer(text: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {text}"}


@contextlib.asynccontextmanager
async def running(settings: Settings) -> AsyncIterator[tuple[App, str]]:
    """A gateway with these settings, and its address."""
    async with speaking(settings) as (app, speaker):
        yield app, f"http://127.0.0.1:{speaker.port}"


@contextlib.asynccontextmanager
async def speaking(settings: Settings) -> AsyncIterator[tuple[App, lanes.Speaker]]:
    """A gateway with these settings, to be spoken to in bytes."""
    app = await App.open(settings)
    dispatch = Dispatch(app, Router(routes.ROUTES))
    protocol = hot.protocol(app, dispatch.requests)
    try:
        async with lanes.speaking(dispatch, settings, protocol) as speaker:
            yield app, speaker
    finally:
        await app.close()


@pytest.fixture
def fast_lane() -> bool:
    """Whether the gateway has its fast lane; `lanes.BOTH_LANES` tests both."""
    return True


@pytest.fixture
def settings(
    tmp_path: Path, database: DatabaseUrls, redis_url: str, *, fast_lane: bool
) -> Settings:
    ring = tmp_path / "keyring.json"
    ring.write_bytes(keyring.dump(RING))
    return Settings(
        database_url=database.app,
        redis_url=redis_url,
        queue_url=redis_url,
        keyring_file=str(ring),
        storage_url=f"file:{tmp_path}/storage",
        redirector_url="https://go.example.test",
        fast_lane=fast_lane,
        rate_anonymous_per_minute=0,
    )


async def open_all(redis: Redis) -> None:
    """Open the award partitions as the flusher leaves them when it has opened them."""
    head: dict[Any, Any] = {
        "gen": 0,
        "seq": 0,
        "open": 1,
        "run": (await redis.info("server"))["run_id"],
    }
    for partition in range(keys.AWARD_PARTITIONS):
        await redis.hset(keys.award_head(partition), mapping=head)


@pytest.fixture
async def open_partitions(redis: Redis) -> None:
    await open_all(redis)


@pytest.fixture
async def gateway(settings: Settings, open_partitions: None) -> AsyncIterator[tuple[App, str]]:
    async with running(settings) as running_one:
        yield running_one


@pytest.fixture
def app(gateway: tuple[App, str]) -> App:
    return gateway[0]


@pytest.fixture
async def session() -> AsyncIterator[aiohttp.ClientSession]:
    async with aiohttp.ClientSession() as opened:
        yield opened


@pytest.fixture
def staff(gateway: tuple[App, str], session: aiohttp.ClientSession) -> Client:
    """Platform staff who name no program."""
    return Client(session, gateway[1], bearer(token(None)))


Enter = Callable[[], Awaitable[Client]]


@pytest.fixture
def enter(staff: Client) -> Enter:
    """Makes a program and returns its caller."""

    async def make() -> Client:
        made = await staff.post("/v1/programs", {"name": "Tea", "currency": "INR"})
        assert made.status == 201
        return Client(staff.session, staff.url, bearer(token(made.body["id"])))

    return make


@pytest.fixture
async def client(enter: Enter) -> Client:
    """The caller of one program."""
    return await enter()


@pytest.fixture
async def other(enter: Enter) -> Client:
    """The caller of another program."""
    return await enter()


@pytest.fixture
async def db(database: DatabaseUrls) -> AsyncIterator[Db]:
    """A connection with all rights."""
    connection = await asyncpg.connect(database.migrate)
    yield connection
    await connection.close()


async def counts(db: Db) -> dict[str, int]:
    """How many rows the tables have that the API writes."""
    return {table: await db.fetchval(f"SELECT count(*) FROM {table}") for table in TABLES}
