"""Servers and databases for every test: real ones, thrown away after the run.

`STAMPGATE_TEST_DATABASE_URL`, `…_REDIS_URL` and `…_QUEUE_URL` name servers to use instead; their
role must be allowed to create databases, and what those Redis databases hold is flushed.
"""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from urllib.parse import urlsplit, urlunsplit

import argon2
import pytest
import redis as redis_py
from hypothesis import HealthCheck
from hypothesis import settings as examples
from redis.asyncio import Redis

from core import keyring, passwords
from db.migrate import migrate
from deploy.local.postgres import DatabaseUrls
from deploy.local.servers import Servers, throwaway
from tests.databases import Databases

# One key ring for all tests: its bytes are no secret.
RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
WORKER = os.environ.get("PYTEST_XDIST_WORKER", "gw0")
TEMPLATE = f"stampgate_template_{WORKER}"
GIVEN = {
    name: os.environ.get(f"STAMPGATE_TEST_{name}")
    for name in ("DATABASE_URL", "REDIS_URL", "QUEUE_URL")
}

for variable in [name for name in os.environ if name.startswith("STAMPGATE_")]:
    if not variable.startswith("STAMPGATE_TEST_"):
        del os.environ[variable]


# The same examples in each run, whatever the machine is busy with: `make fuzz` looks for others.
FUZZ = os.environ.get("STAMPGATE_TEST_EXAMPLES")
examples.register_profile(
    "stampgate",
    deadline=None,
    database=None,
    derandomize=FUZZ is None,
    max_examples=100 if FUZZ is None else 10 * int(FUZZ),
    suppress_health_check=[HealthCheck.too_slow],
)
examples.load_profile("stampgate")

# Tests of ten seconds and more.
LONG = (
    "tests/chaos/",
    "tests/deploy/test_local_",
    "tests/gateway/test_schemathesis.py",
    "tests/gateway/test_smuggling.py",
    "tests/redirector/test_rolling.py",
    "tests/redirector/test_smuggling.py",
    "tests/web/test_rolling.py",
    "tests/workers/test_main.py",
)

# Each gateway makes a hash when it starts, and each sign-in another one: the cheapest there are.
COSTLY = passwords._argon2
pytest.MonkeyPatch().setattr(
    passwords, "_argon2", argon2.PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
)


def refuse_the_internet(event: str, arguments: tuple[object, ...]) -> None:
    """Audit hook: tests speak to Unix sockets and to this machine only."""
    if event == "socket.connect":
        address = arguments[1]
        if isinstance(address, tuple) and address[0] not in {"127.0.0.1", "::1", "localhost"}:
            message = f"a test reached for {address[0]}"
            raise RuntimeError(message)


sys.addaudithook(refuse_the_internet)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that no test process is left alone with it."""
    items.sort(key=lambda item: not item.nodeid.startswith(LONG))


@pytest.fixture
def costly_passwords(monkeypatch: pytest.MonkeyPatch) -> None:
    """Passwords cost what they cost in production."""
    monkeypatch.setattr(passwords, "_argon2", COSTLY)


@pytest.fixture(scope="session")
def servers() -> Iterator[Servers]:
    """The servers of this test process."""
    with throwaway() as running:
        yield running


@pytest.fixture(scope="session")
def databases(request: pytest.FixtureRequest) -> Iterator[Databases]:
    """The test server with a migrated template database."""
    given = GIVEN["DATABASE_URL"]
    made = Databases(request.getfixturevalue("servers") if given is None else None, given)

    async def make() -> None:
        await made.create(TEMPLATE)
        await migrate(made.urls(TEMPLATE).migrate)

    asyncio.run(make())
    yield made
    made.close()
    asyncio.run(made.drop(TEMPLATE))


@pytest.fixture
def database(databases: Databases) -> DatabaseUrls:
    """A fresh migrated database for this test alone: `.app`, `.migrate` and `.flush` addresses."""
    name = f"stampgate_test_{WORKER}"
    databases.renew(name, TEMPLATE)
    return databases.urls(name)


def flushed(url: str) -> str:
    with redis_py.Redis.from_url(url) as client:
        client.flushdb()
    return url


def given_redis(name: str) -> str | None:
    """The given server's logical database for this test process."""
    given = GIVEN[name]
    number = WORKER.removeprefix("gw")
    if given is None or given.startswith("unix:"):
        return given and f"{given}?db={number}"
    return urlunsplit(urlsplit(given)._replace(path=f"/{number}"))


@pytest.fixture
def redis_url(request: pytest.FixtureRequest) -> str:
    """The state server, empty."""
    return flushed(given_redis("REDIS_URL") or request.getfixturevalue("servers").redis_url)


@pytest.fixture
def queue_url(request: pytest.FixtureRequest) -> str:
    """The queue server, empty."""
    return flushed(given_redis("QUEUE_URL") or request.getfixturevalue("servers").queue_url)


@pytest.fixture
async def redis(redis_url: str) -> AsyncIterator[Redis]:
    """A redis-py client of the empty state server; it answers in bytes."""
    async with Redis.from_url(redis_url) as client:
        yield client
