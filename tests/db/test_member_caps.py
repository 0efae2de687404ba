"""The most that a member gets of an offer: whatever is reported at once, late, or taken back."""

from __future__ import annotations

import asyncio
import datetime as dt

from core.conversions import Item
from db import conversions as stored
from db import networks, pg
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM, until_waiting
from tests.db.test_conversions import (
    ACT,
    NETWORK,
    NEW,
    NOW,
    apply,
    click,
    network,
    report,
    retry,
    roles,
    store_capped_offer,
    store_click,
)

__all__ = ["network"]


async def test_what_a_network_takes_back_in_the_same_breath_counts_no_more(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await store_capped_offer(db)
    text = click()
    await store_click(database, text)
    said = [report(f"t{number}", click_id=text, status="pending") for number in range(3)]
    await apply(db, *said)
    # One place is free again, while what only moves on keeps its own.
    said = [report(f"t{number}", click_id=text, status="pending") for number in (3, 4)]
    said += [report(f"t{number}", click_id=text) for number in (1, 2)]
    await apply(db, *said, report("t0", click_id=text, status="rejected"))
    money = {"receivable": -800, "pending": 50, "expected": 350}
    assert await roles(db) == money | {"available": 100, "margin": 300}


async def test_two_networks_at_once_give_no_more_than_the_cap(
    db: pg.Db, pool: pg.Pool, database: DatabaseUrls
) -> None:
    await store_capped_offer(db)
    await networks.add(db, RING, PROGRAM, "net_2", NEW, b"2")
    text = click()
    await store_click(database, text)
    said = [Item(report(f"t{number}", click_id=text)) for number in range(2)]

    async def tell(own: pg.Db, network_id: str) -> None:
        locked = await networks.lock(own, PROGRAM, network_id)
        await stored.apply(own, RING, locked, said, ACT)

    async def tell_later(own: pg.Db) -> None:
        async with own.transaction():
            await tell(own, "net_2")

    async with pool.acquire() as other:
        async with db.transaction():
            await tell(db, NETWORK)
            later = asyncio.create_task(tell_later(other))
            async with pool.acquire() as third:
                await until_waiting(third)
        await later
    assert await roles(db) == {"receivable": -800, "available": 150, "margin": 650}


async def test_what_waited_gets_what_later_ones_have_left_of_a_cap(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await store_capped_offer(db)
    late, text = click(1), click(2)
    await store_click(database, text)
    assert await apply(db, report("first", click_id=late)) == ["awaiting_click"]
    after = ACT._replace(at=NOW + dt.timedelta(minutes=1))
    await apply(db, *(report(f"t{number}", click_id=text) for number in range(3)), act=after)
    assert await roles(db) == {"receivable": -600, "available": 150, "margin": 450}
    await store_click(database, late)
    assert await retry(db, NOW + dt.timedelta(hours=1)) == 1
    assert await roles(db) == {"receivable": -800, "available": 150, "margin": 650}
