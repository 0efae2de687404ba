"""Asks affiliate networks what has changed: page by page, each with its place in the window, while
the next one is on its way. A kill costs at most the page that was being taken. An account that has
made its calls of the minute is asked on when it may be.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing
from typing import Final

from core import conversions as conversions_
from core import tasks
from core.conversions import Item
from core.errors import BadField, BadSetting
from core.providers.affiliate import table
from core.providers.affiliate.protocol import (
    AffiliateNetwork,
    AuthRefused,
    BadCursor,
    CanPull,
    Page,
    PullFailed,
    Throttled,
    Window,
)
from core.providers.affiliate.report import Problem, Report
from core.settings import Settings
from core.tasks import SyncNetwork
from db import conversions, networks, outbox, pg
from db.bookings import Act
from db.networks import Network
from db.pg import Db
from workers import loop, pacing
from workers.broker import Tools
from workers.conversions import acting

log: Final = logging.getLogger("stampgate.sync")

EVERY: Final = dt.timedelta(minutes=15)
FIRST: Final = dt.timedelta(days=30)
#: What a refused account waits, and the longest wait of one that fails.
REFUSED_WAIT: Final = dt.timedelta(hours=6)
WAIT_MAX: Final = dt.timedelta(hours=6)
WAIT_FIRST_S: Final = 60
#: Less than an actor may take (`broker.TIME_LIMIT_MS`), with time for one page.
TURN_S: Final = 25.0
DUE_MAX: Final = 500
#: Reports that are taken in one transaction.
BATCH: Final = 1_000
#: What is told of a report that failed through a fault of ours.
FAILED: Final = "it could not be taken"


class Lost(Exception):
    """Somebody else has read the window on, or asked for another."""


async def schedule(_settings: Settings, db: Db, now_ms: int) -> None:
    """Have the networks asked whose time has come; `next_sync_at` moves on with the task."""
    now = conversions_.moment(now_ms)
    for program_id, network_id in await networks.due(db, now, list(table.TABLE), DUE_MAX):
        network = await networks.get(db, program_id, network_id)
        try:
            provider = table.make(network.provider, network.config)
        except BadSetting as error:
            # One that was good for an earlier version is not to keep the others waiting.
            await networks.fail(db, network, str(error)[:500], now + WAIT_MAX)
            continue
        is_asked = network.credentials is not None and isinstance(provider, CanPull)
        if is_asked and network.sync_from is None:
            start = _start(network, provider, now)
            await networks.ask(db, network, start, now, now + EVERY)
        else:
            await networks.put_off(db, network, now + EVERY)
        if is_asked:
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
    try:
        provider = networks.made(tools.ring, network)
        is_done = isinstance(provider, CanPull) and await _read_on(tools, network, provider)
    except Lost:
        is_done = True
    except pacing.Spent as spent:
        await _again(tools, row_id, task, spent.wait_s)
        return
    except (BadSetting, BadField):
        why = "the settings or the credentials of the account cannot be used"
        await _failed(tools, row_id, network, AuthRefused(why))
        return
    except PullFailed as error:
        await _failed(tools, row_id, network, error)
        return
    async with tools.pool.acquire() as db:
        if is_done:
            await outbox.done(db, row_id)
            return
    await _again(tools, row_id, task, 0.0)


async def _again(tools: Tools, row_id: int, task: SyncNetwork, wait_s: float) -> None:
    """Read on after a while, as a row of its own: this one got somewhere, and its starts are not
    those of a task that fails."""
    async with tools.pool.acquire() as db, db.transaction():
        await outbox.done(db, row_id)
        await outbox.add(db, task, due_at_ms=loop.now_ms() + int(wait_s * 1000))


async def _read_on(tools: Tools, network: Network, provider: CanPull) -> bool:
    """Whether the window was read to its end; PullFailed, Lost, pacing.Spent."""
    assert network.sync_from is not None
    assert network.sync_to is not None
    window = Window(_ms(network.sync_from), _ms(network.sync_to))
    cursor, until = network.sync_cursor or "", time.monotonic() + TURN_S
    send = pacing.paced(tools, network, provider.terms)
    async with aclosing(_ahead(provider.pull(send, window, cursor))) as pages:
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
    """A page in parts, the last one with the place after the page. Reports that were taken before
    change nothing; those that cannot be taken are counted, and the others go on.
    """
    act = acting(tools.settings, loop.now_ms(), "network")
    for start in range(0, max(len(page.reports), 1), BATCH):
        part = page.reports[start : start + BATCH]
        is_last = start + BATCH >= len(page.reports)
        if await _taken(tools, network, cursor, part, act, page if is_last else None):
            continue
        failed = [one for one in part if not await _taken(tools, network, cursor, [one], act, None)]
        page.problems.extend(Problem(code="malformed", detail=FAILED) for _ in failed)
        if is_last:
            async with tools.pool.acquire() as db, db.transaction():
                await _move_on(db, await _locked(db, network, cursor), page, act)


async def _taken(
    tools: Tools,
    network: Network,
    cursor: str,
    reports: Sequence[Report],
    act: Act,
    page: Page | None,
) -> bool:
    """Whether these could be taken, in one transaction; with the place after `page`, if given."""
    try:
        async with tools.pool.acquire() as db, db.transaction():
            locked = await _locked(db, network, cursor)
            items = [Item(report) for report in reports]
            await conversions.apply(db, tools.ring, locked, items, act)
            if page is not None:
                await _move_on(db, locked, page, act)
    except (Lost, *pg.NOT_NOW):
        raise
    except Exception:
        log.exception("%d reports of %s could not be taken", len(reports), network.id)
        return False
    return True


async def _locked(db: Db, network: Network, cursor: str) -> Network:
    locked = await networks.lock(db, network.program_id, network.id)
    if (locked.sync_from, locked.sync_to, locked.sync_cursor or "") != (
        network.sync_from,
        network.sync_to,
        cursor,
    ):
        raise Lost
    return locked


async def _move_on(db: Db, locked: Network, page: Page, act: Act) -> None:
    """Note the place, and what was wrong in the window; a call that failed is forgotten."""
    problem = _problem(page) or (None if locked.sync_failures else locked.last_error)
    if page.cursor is None:
        await networks.finish(db, locked, act.at, act.at + EVERY, problem)
    else:
        await networks.advance(db, locked, page.cursor, problem)


def _problem(page: Page) -> str | None:
    if not page.problems:
        return None
    first = page.problems[0]
    return f"{len(page.problems)} rows could not be read: {first.field} {first.detail}".replace(
        "  ", " "
    )


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
        if isinstance(error, BadCursor) and locked.sync_from and locked.sync_to:
            # The window is read anew: settings have changed that its parts follow from.
            await networks.ask(db, locked, locked.sync_from, locked.sync_to, now)
        await networks.fail(db, locked, str(error)[:500], now + wait)
        await outbox.done(db, row_id)


def _start(network: Network, provider: AffiliateNetwork, now: dt.datetime) -> dt.datetime:
    assert isinstance(provider, CanPull)
    if network.synced_until is None:
        return now - FIRST
    return network.synced_until - dt.timedelta(milliseconds=provider.terms.look_back_ms)


def _ms(at: dt.datetime) -> int:
    return (at - conversions_.EPOCH) // dt.timedelta(milliseconds=1)
