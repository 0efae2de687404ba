"""A redirector in this process, and a Redis of its own for tests that kill it."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import shutil
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest
import uvloop
from yarl import URL

from core import events, ids, keyring, links, settings
from core.events import Click
from core.keyring import KeyRing
from core.links import LinkConfig
from core.settings import Settings
from db import keys, snapshot
from db.redis import Connection
from deploy.local.redis_server import Redis
from redirector import hot
from redirector.app import App
from redirector.state import State
from tests import lanes
from tests.lanes import Speaker

PROGRAM = ids.new("program", 1_700_000_000_000, bytes(10))
BROWSER = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "text/html",
    "Accept-Language": "en",
}

Publish = Callable[..., Awaitable[str]]
Start = Callable[..., Awaitable["Redirector"]]


def pytest_asyncio_loop_factories() -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """What production runs on."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture
def redis_server() -> Iterator[Redis]:
    folder = Path(tempfile.mkdtemp(prefix="sg-"))
    server = Redis("state", folder, folder, sync="no")
    server.start()
    yield server
    server.kill()
    shutil.rmtree(folder)


@pytest.fixture
def state_url(request: pytest.FixtureRequest) -> str:
    """The state server, empty: one of its own for a test that asks for it, to do it harm."""
    if "redis_server" in request.fixturenames:
        return str(request.getfixturevalue("redis_server").url)
    return str(request.getfixturevalue("redis_url"))


@pytest.fixture
async def connection(state_url: str) -> AsyncIterator[Connection]:
    opened = await Connection.open(state_url, deadline_s=10)
    yield opened
    await opened.close()


@pytest.fixture
def ring() -> KeyRing:
    return keyring.generate(1_700_000_000_000, bytes(range(96)))


@pytest.fixture
def fast_lane() -> bool:
    """Whether the redirector has its fast lane; `lanes.BOTH_LANES` tests both."""
    return True


@pytest.fixture
def environ(state_url: str, ring: KeyRing, tmp_path: Path, *, fast_lane: bool) -> dict[str, str]:
    """The settings of a redirector, as variables."""
    file = tmp_path / "keyring.json"
    file.write_bytes(keyring.dump(ring))
    return {
        "STAMPGATE_DATABASE_URL": "postgresql://nowhere/",
        "STAMPGATE_REDIS_URL": state_url,
        "STAMPGATE_QUEUE_URL": state_url,
        "STAMPGATE_KEYRING_FILE": os.fspath(file),
        "STAMPGATE_SPOOL_DIR": os.fspath(tmp_path / "spool"),
        "STAMPGATE_REDIRECTOR_URL": "https://go.example",
        # Slow machines miss a deadline of 25 ms; tests about deadlines set their own.
        "STAMPGATE_CLICK_DEADLINE_MS": "2000",
        "STAMPGATE_FAST_LANE": str(fast_lane).lower(),
    }


class Redirector:
    """A redirector that serves on a port of this process, and a client of it."""

    def __init__(self, state: State, client: aiohttp.ClientSession, speaker: Speaker) -> None:
        self.state = state
        self.client = client
        self.speaker = speaker
        self.url = f"http://127.0.0.1:{speaker.port}"

    async def get(
        self, path: str, headers: dict[str, str] | None = None, method: str = "GET", **more: Any
    ) -> aiohttp.ClientResponse:
        """The answer to a browser's request, not followed."""
        answer = await self.client.request(
            method,
            # As it stands: the client must not normalize what is under test.
            URL(self.url + path, encoded=True),
            headers=BROWSER | (headers or {}),
            allow_redirects=False,
            skip_auto_headers=("User-Agent", "Accept"),
            **more,
        )
        await answer.read()
        return answer


@pytest.fixture
async def start(environ: dict[str, str]) -> AsyncIterator[Start]:
    """Starts redirectors; keywords are settings."""
    async with contextlib.AsyncExitStack() as stack:

        async def start_one(**changes: Any) -> Redirector:
            changed = {
                f"STAMPGATE_{name.upper()}": str(value).lower() for name, value in changes.items()
            }
            chosen: Settings = settings.load(environ | changed)
            state = await State.open(chosen)
            stack.push_async_callback(state.close)
            speaker = await stack.enter_async_context(
                lanes.speaking(App(state), chosen, hot.protocol(state))
            )
            client = await stack.enter_async_context(
                aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(limit=0), cookie_jar=aiohttp.DummyCookieJar()
                )
            )
            await eventually(lambda: state.has_booted or not state.redis.is_up)
            return Redirector(state, client, speaker)

        yield start_one


@pytest.fixture
async def redirector(start: Start) -> Redirector:
    return await start()


@pytest.fixture
def publish(connection: Connection) -> Publish:
    """Publishes a link from the fields of a LinkConfig; its id."""
    versions = itertools.count(1)

    async def publish_one(slug: str, *, password_hash: str | None = None, **fields: Any) -> str:
        link_id = ids.new("link", 1_700_000_000_000, slug.encode().ljust(10, b"\0")[:10])
        config = msgspec.convert(
            {"slug": slug, "destination": "https://shop.example/p?subid={click_id}"} | fields,
            LinkConfig,
        )
        blob = links.encode(
            links.compile_snapshot(
                link_id, PROGRAM, next(versions), links.validate(config), password_hash
            )
        )
        if config.cap is not None:
            await connection.call("SET", keys.link_cap(link_id), 0, "NX")
        await snapshot.publish(connection, slug, next(versions), blob)
        return link_id

    return publish_one


async def eventually(
    is_true: Callable[[], bool | Awaitable[bool]], timeout_s: float = 20.0
) -> None:
    """Wait until it is true; fail when it never is."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        result = is_true()
        if result if isinstance(result, bool) else await result:
            return
        await asyncio.sleep(0.01)
    pytest.fail("it never came true")


async def recorded(connection: Connection) -> list[Click]:
    """All clicks on the streams."""
    found: list[Click] = []
    for partition in range(keys.CLICK_PARTITIONS):
        for _, fields in await connection.call("XRANGE", keys.click_stream(partition), "-", "+"):
            found += events.decode_clicks(fields[1]).clicks
    return found


async def live(connection: Connection, link_id: str) -> dict[int, int]:
    """The live numbers of a link by class."""
    counts: dict[int, int] = {}
    for partition in range(keys.CLICK_PARTITIONS):
        flat = await connection.call("HGETALL", keys.click_counts(partition))
        for field, count in zip(flat[::2], flat[1::2], strict=True):
            link, _, hit_class = field.decode().partition(":")
            if link == link_id:
                counts[int(hit_class)] = counts.get(int(hit_class), 0) + int(count)
    return counts
