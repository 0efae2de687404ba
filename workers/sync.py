"""Asks affiliate networks what has changed: page by page, each with its place in the window, while
the next one is on its way. A kill costs at most the page that was being taken.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from typing import Final

from core import conversions as conversions_
from core import tasks
from core.conversions import Item
from core.providers.affiliate import table
from core.providers.affiliate.protocol import (
    AffiliateNetwork,
    AuthRefused,
    CanPull,
    Page,
    PullFailed,
    Throttled,
    Window,
)
from core.settings import Settings
from core.tasks import SyncNetwork
from db import conversions, networks, outbox
from db.bookings import Act
from db.networks import Network
from db.pg import Db
from workers import loop
from workers.broker import Tools
from workers.conversions import acting

EVERY: Final = dt.timedelta(minutes=15)
FIRST: Final = dt.timedelta(days=30)
#: What a refused account waits, and the longest wait of one that fails.
REFUSED_WAIT: Final = dt.timedelta(hours=6)
WAIT_MAX: Final = dt.timedelta(hours=6)
WAIT_FIRST_S: Final = 60
#: Less than an actor may take (`broker.TIME_LIMIT_MS`), with time for one page.
TURN_S: Final = 25.0
BATCH: Final = 1_000


class Lost(Exception):
    """Somebody else has read the window on, or asked for another."""


async def schedule(_settings: Settings, db: Db, now_ms: int) -> None:
    """Have the networks asked whose time has come; `next_sync_at` moves on with the task."""
    now = conversions_.moment(now_ms)
    for network_id in await networks.due(db, now, list(table.TABLE)):
        program_id = await networks.find_program(db, network_id)
        if program_id is None:
            continue
        network = await networks.lock(db, program_id, network_id)
        provider = table.make(network.provider, network.config)
        if network.next_sync_at <= now and network.credentials and isinstance(provider, CanPull):
            if network.sync_from is None:
                start = _start(network, provider, now)
                await networks.ask(db, network, start, now, now + EVERY)
            else:
                await networks.put_off(db, network, now + EVERY)
            await outbox.add(db, SyncNetwork(network_id))


async def sync(tools: Tools, row_id: int, task: tasks.SyncNetwork) -> None:
    """Read the network's window on, for a while; the row ends with the window."""
    async with tools.pool.acquire() as db:
        program_id = await networks.find_program(db, task.network_id)
        network = None
        if program_id is not None:
            network = await networks.get(db, program_id, task.network_id)
        if network is None or network.sync_from is None or network.state == "disabled":
            await outbox.done(db, row_id)
            return
    provider = networks.made(tools.ring, network)
    try:
        is_done = isinstance(provider, CanPull) and await _read_on(tools, network, provider)
    except Lost:
        is_done = True
    except PullFailed as error:
        await _failed(tools, row_id, network, error)
        return
    async with tools.pool.acquire() as db:
        if is_done:
            await outbox.done(db, row_id)
        else:
            await outbox.put_off(db, row_id, loop.now_ms())


async def _read_on(tools: Tools, network: Network, provider: CanPull) -> bool:
    """Whether the window was read to its end; PullFailed, Lost."""
    assert network.sync_from is not None
    assert network.sync_to is not None
    window = Window(_ms(network.sync_from), _ms(network.sync_to))
    cursor, until = network.sync_cursor or "", time.monotonic() + TURN_S
    async with aclosing(_ahead(provider.pull(tools.send, window, cursor))) as pages:
        async for page in pages:
            await _take(tools, network, cursor, page)
            if page.cursor is None:
                return True
            cursor = page.cursor
            if time.monotonic() > until:
                return False
    await _take(tools, network, cursor, Page([], [], None))
    return True


async def _ahead(pages: AsyncIterator[Page]) -> AsyncGenerator[Page, None]:
    """The same pages, each asked for while the one before it is taken."""
    coming = asyncio.create_task(_next(pages))
    try:
        while (page := await coming) is not None:
            coming = asyncio.create_task(_next(pages))
            yield page
    finally:
        coming.cancel()
        await asyncio.gather(coming, return_exceptions=True)


async def _next(pages: AsyncIterator[Page]) -> Page | None:
    return await anext(pages, None)


async def _take(tools: Tools, network: Network, cursor: str, page: Page) -> None:
    """A page in parts, each in a transaction, the last one with the place after the page. Reports
    that were taken before change nothing.
    """
    act = acting(tools.settings, loop.now_ms(), "network")
    for start in range(0, max(len(page.reports), 1), BATCH):
        items = [Item(report) for report in page.reports[start : start + BATCH]]
        async with tools.pool.acquire() as db, db.transaction():
            locked = await networks.lock(db, network.program_id, network.id)
            if (locked.sync_from, locked.sync_to, locked.sync_cursor or "") != (
                network.sync_from,
                network.sync_to,
                cursor,
            ):
                raise Lost
            await conversions.apply(db, tools.ring, locked, items, act)
            if start + BATCH >= len(page.reports):
                await _move_on(db, locked, page, act)


async def _move_on(db: Db, network: Network, page: Page, act: Act) -> None:
    problem = _problem(page)
    if page.cursor is None:
        await networks.finish(db, network, act.at, act.at + EVERY, problem)
    else:
        await networks.advance(db, network, page.cursor, problem or network.last_error)


def _problem(page: Page) -> str | None:
    if not page.problems:
        return None
    first = page.problems[0]
    return f"{len(page.problems)} rows could not be read: {first.field} {first.detail}"


async def _failed(tools: Tools, row_id: int, network: Network, error: PullFailed) -> None:
    """Note it; the window is read on from where it was, after a wait that grows."""
    now = conversions_.moment(loop.now_ms())
    wait = min(dt.timedelta(seconds=WAIT_FIRST_S * 2 ** min(network.sync_failures, 12)), WAIT_MAX)
    if isinstance(error, AuthRefused):
        wait = REFUSED_WAIT
    elif isinstance(error, Throttled):
        wait = dt.timedelta(seconds=error.retry_after_s)
    async with tools.pool.acquire() as db, db.transaction():
        locked = await networks.lock(db, network.program_id, network.id)
        await networks.fail(db, locked, str(error)[:500], now + wait)
        await outbox.done(db, row_id)


def _start(network: Network, provider: AffiliateNetwork, now: dt.datetime) -> dt.datetime:
    assert isinstance(provider, CanPull)
    if network.synced_until is None:
        return now - FIRST
    return network.synced_until - dt.timedelta(milliseconds=provider.terms.look_back_ms)


def _ms(at: dt.datetime) -> int:
    return (at - conversions_.EPOCH) // dt.timedelta(milliseconds=1)
