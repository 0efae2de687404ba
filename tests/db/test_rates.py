"""Conversions that wait for an exchange rate, and rates that come while they are worked on."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from decimal import Decimal

import pytest

from core.conversions import Item, Key
from core.rates import Rate
from db import conversions as stored
from db import exchange_rates, networks, pg
from tests.conftest import RING
from tests.db.conftest import PROGRAM, until_waiting
from tests.db.test_conversions import (
    ACT,
    NETWORK,
    NOW,
    apply,
    network,
    only,
    report,
    retry,
    roles,
)

__all__ = ["network"]


async def test_a_rate_that_comes_books_what_waited(db: pg.Db) -> None:
    said = report(currency="USD")
    assert await apply(db, said, said) == ["currency_unknown", "duplicate"]
    assert await roles(db) == {}
    rate = Rate("USD", "INR", NOW - dt.timedelta(days=1), Decimal("83.5"))
    await exchange_rates.put(db, PROGRAM, [rate])
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=1)
    assert await stored.waiting(db, soon, 10) == [(PROGRAM, NETWORK)]
    assert await retry(db, soon) == 1
    assert await roles(db) == {"receivable": -16_700, "margin": 16_700}


async def test_a_rate_that_comes_while_a_report_is_taken_books_it_a_little_later(
    db: pg.Db, pool: pg.Pool
) -> None:
    rate = Rate("USD", "INR", NOW - dt.timedelta(days=1), Decimal("83.5"))
    async with pool.acquire() as other, db.transaction():
        network = await networks.lock(db, PROGRAM, NETWORK)
        said = [Item(report(currency="USD"))]
        [verdict] = await stored.apply(db, RING, network, said, ACT)
        await exchange_rates.put(other, PROGRAM, [rate])
    assert verdict.word == "currency_unknown"
    later = NOW + dt.timedelta(minutes=5)
    assert await stored.waiting(db, later, 10) == [(PROGRAM, NETWORK)]
    assert await retry(db, later) == 1
    assert await roles(db) == {"receivable": -16_700, "margin": 16_700}


async def known(db: pg.Db) -> object:
    network = await networks.lock(db, PROGRAM, NETWORK)
    return await stored.known(db, network, [Key("t1", "")])


async def locked(db: pg.Db) -> object:
    return await stored.lock(db, PROGRAM, (await only(db)).id)


async def tried(db: pg.Db) -> object:
    network = await networks.lock(db, PROGRAM, NETWORK)
    return await stored.retry(db, RING, network, ACT, 100)


@pytest.mark.parametrize("read", [known, locked, tried])
async def test_a_rate_waits_for_whoever_works_on_what_waits_for_it(
    db: pg.Db,
    pool: pg.Pool,
    monkeypatch: pytest.MonkeyPatch,
    read: Callable[[pg.Db], Awaitable[object]],
) -> None:
    async def nothing(*_: object) -> None:
        """Whoever stores something waits for nobody any more."""

    await apply(db, report(currency="USD"))
    monkeypatch.setattr(stored, "_settle", nothing)
    await db.execute("UPDATE conversion SET next_try_at = $1", NOW)
    rate = Rate("USD", "INR", NOW - dt.timedelta(days=1), Decimal("83.5"))
    async with pool.acquire() as other, pool.acquire() as third:
        async with db.transaction():
            await read(db)
            putting = asyncio.create_task(exchange_rates.put(other, PROGRAM, [rate]))
            await until_waiting(third)
        await putting
    assert (await only(db)).next_try_at is not None


async def test_what_was_tried_meanwhile_is_not_put_off(db: pg.Db) -> None:
    await apply(db, report())
    await stored.put_off(db, PROGRAM, (await only(db)).id, NOW)
    assert (await only(db)).next_try_at is None


async def test_what_waits_for_a_rate_is_looked_at_once_by_itself(db: pg.Db) -> None:
    await apply(db, report(currency="USD"))
    later = NOW + dt.timedelta(minutes=5)
    assert await retry(db, later) == 1
    assert await stored.waiting(db, NOW + dt.timedelta(days=9), 10) == []
