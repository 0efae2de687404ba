"""A sync asks its network no more often than that allows, and loses nothing by it."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from typing import Any

import msgspec
import pytest

from core import conversions as conversions_
from core import tasks
from core.networks import Rules
from db import networks, outbox
from tests.conftest import RING
from tests.providers.affiliate import server
from tests.providers.affiliate.admitad import Admitad
from tests.providers.affiliate.cuelinks import Cuelinks
from tests.providers.affiliate.server import Network
from tests.providers.server import running
from tests.workers.conftest import PROGRAM, Db
from workers import jobs, loop, pacing
from workers.broker import Tools

NETWORK = "net_1"
DAY = dt.timedelta(days=1)
END = conversions_.moment(server.EPOCH_MS)
ROWS = "SELECT id, attempts, (extract(epoch FROM due_at) * 1000)::bigint AS due_ms FROM outbox"


class Clock:
    """The workers' clock; it stands still until it is told to go on."""

    def __init__(self) -> None:
        self.ms = loop.now_ms()

    def now_ms(self) -> int:
        return self.ms


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(loop, "now_ms", made.now_ms)
    return made


@pytest.fixture(params=[Cuelinks, Admitad])
async def theirs(request: pytest.FixtureRequest, db: Db) -> AsyncIterator[Network]:
    """A network with forty transactions in pages of seven, that may be asked twice a minute; the
    second one wants a token first, each time."""
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    async with running(request.param) as listening:
        made = server.many([number / 2 for number in range(1, 41)], status="approved")
        listening.transactions = [msgspec.structs.replace(one, click_id="") for one in made]
        new = networks.New(
            provider=listening.slug,
            name="Shops",
            config={**listening.config(), "calls_per_minute": 2},
            rules=Rules(),
            credentials=listening.credentials(),
        )
        await networks.add(db, RING, PROGRAM, NETWORK, new, b"")
        network = await networks.get(db, PROGRAM, NETWORK)
        await networks.ask(db, network, END - 25 * DAY, END, END)
        await outbox.add(db, tasks.SyncNetwork(NETWORK))
        yield listening


def calls(theirs: Network) -> int:
    return len(theirs.questions) + len(getattr(theirs, "grants", []))


async def start(tools: Tools, db: Db) -> Any:
    """One start of what waits; the row that is left."""
    for row in await db.fetch(ROWS):
        await jobs.perform(tools, row["id"], row["attempts"])
    return await db.fetchrow(ROWS)


async def test_a_window_is_read_to_its_end_at_the_pace_of_its_network(
    tools: Tools, db: Db, theirs: Network, clock: Clock
) -> None:
    asked: list[tuple[int, int]] = []
    for _ in range(60):
        before = calls(theirs)
        row = await start(tools, db)
        asked.append((clock.ms, calls(theirs) - before))
        if row is None:
            break
        # A row of its own, which nothing is counted against.
        assert row["attempts"] == 0
        assert clock.ms < row["due_ms"] <= clock.ms + 130_000
        clock.ms = row["due_ms"]
    assert await db.fetchval("SELECT count(*) FROM conversion") == 40
    for at, _ in asked:
        assert sum(count for one, count in asked if at <= one < at + 60_000) <= 2
    network = await networks.get(db, PROGRAM, NETWORK)
    assert (network.sync_from, network.sync_failures, network.last_error) == (None, 0, None)


async def test_all_who_ask_share_the_calls(
    tools: Tools, db: Db, theirs: Network, clock: Clock
) -> None:
    for _ in range(3):
        await outbox.add(db, tasks.SyncNetwork(NETWORK))
    rows = await db.fetch(ROWS)
    await asyncio.gather(*(jobs.perform(tools, row["id"], 0) for row in rows))
    assert calls(theirs) == 2


async def test_a_short_wait_is_waited_for(
    tools: Tools, db: Db, theirs: Network, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "SLEEP_MAX_S", 0.2)
    await db.execute("""UPDATE network SET config = config || '{"calls_per_minute": 6000}'""")
    assert await start(tools, db) is None
    assert await db.fetchval("SELECT count(*) FROM conversion") == 40
