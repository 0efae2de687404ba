"""Offers, and what they name, changed by two at a time: one waits for the other, never both."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any, Final

import msgspec
import pytest

from core.merchants import MerchantConfig
from core.networks import Rules
from core.offers import OfferConfig
from db import links, merchants, networks, offers, pg
from tests.conftest import RING
from tests.db.conftest import PROGRAM

LINKS: Final = {"off_1": "lnk_1", "off_2": "lnk_2"}
WAITS: Final = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)"


def config(tag: str) -> dict[str, str]:
    """An account whose links begin with this."""
    return {"link": f"https://{tag}.example/?c={{click_id}}&to={{destination}}"}


def offer(number: int = 1, **fields: Any) -> OfferConfig:
    base = OfferConfig(
        merchant_id="mrc_1",
        title="Tea",
        kind="deal",
        destination="https://shop.example/",
        external_id=f"o{number}",
        network_id="net_1",
        state="active",
    )
    return msgspec.structs.replace(base, **fields)


@pytest.fixture(autouse=True)
async def catalogue(db: pg.Db) -> None:
    """Two accounts, and two offers, of which the second is the first in its table."""
    for number in (1, 2):
        new = networks.New(
            provider="generic",
            name="Shops",
            config=config(f"old{number}"),
            rules=Rules(),
            credentials=None,
        )
        await networks.add(db, RING, PROGRAM, f"net_{number}", new, b"")
    await merchants.add(db, PROGRAM, "mrc_1", MerchantConfig(name="Shop", external_id="m1"))
    slugs = iter(["tea2", "tea1"])
    for number in (2, 1):
        draft = offers.Draft(f"off_{number}", LINKS[f"off_{number}"], offer(number))
        await offers.add(db, PROGRAM, [draft], lambda: next(slugs), ())


@pytest.fixture
async def other(pool: pg.Pool) -> AsyncIterator[pg.Db]:
    """Somebody else's connection."""
    async with pool.acquire() as connection:
        yield connection


async def until_waits(seen_by: pg.Db, who: pg.Db) -> None:
    async with asyncio.timeout(20):
        while not await seen_by.fetchval(WAITS, who.get_server_pid()):  # noqa: ASYNC110 - in the server
            await asyncio.sleep(0.005)


async def change(db: pg.Db, before: offers.Offer, **fields: Any) -> None:
    wanted = msgspec.structs.replace(before.config, **fields)
    await offers.change(db, PROGRAM, {before.id: wanted}, {before.id: before}, ())


async def reconfigure(db: pg.Db, tag: str) -> list[links.Publication]:
    """Give the first account another config, and the links of its offers, as the gateway does."""
    before = await networks.lock_to_change(db, PROGRAM, "net_1")
    await networks.change(db, msgspec.structs.replace(before, config=config(tag)))
    return await offers.relink(db, PROGRAM, "net_1", ())


async def link(db: pg.Db, offer_id: str = "off_1") -> tuple[str, str | None]:
    """Where an offer's clicks go first, and their link's title."""
    found = (await links.get(db, PROGRAM, LINKS[offer_id])).config
    return found.destination.removeprefix("https://").partition(".")[0], found.title


async def test_an_offer_waits_for_its_network_and_not_the_other_way_round(
    db: pg.Db, other: pg.Db
) -> None:
    async with db.transaction():
        before = await offers.lock(db, PROGRAM, "off_1")
        async with other.transaction():
            await networks.lock_to_change(other, PROGRAM, "net_1")
            changing = asyncio.create_task(change(db, before, title="Green tea"))
            await until_waits(other, db)
            await reconfigure(other, "new")
        await changing
    assert await link(db) == ("new", "Green tea")
    assert await link(db, "off_2") == ("new", "Tea")


async def test_the_link_of_an_offer_that_moves_meanwhile_is_its_new_networks(
    db: pg.Db, other: pg.Db
) -> None:
    async def reconfigured() -> list[links.Publication]:
        async with other.transaction():
            return await reconfigure(other, "new")

    async with db.transaction():
        await change(db, await offers.lock(db, PROGRAM, "off_1"), network_id="net_2")
        changing = asyncio.create_task(reconfigured())
        await until_waits(db, other)
    assert [one.slug for one in await changing] == ["tea2"]
    assert await link(db) == ("old2", "Tea")
    assert await link(db, "off_2") == ("new", "Tea")


async def test_links_are_held_in_one_order(db: pg.Db, other: pg.Db) -> None:
    configs = {name: (await links.get(db, PROGRAM, name)).config for name in ("lnk_2", "lnk_1")}
    async with db.transaction():
        await links.hold(db, PROGRAM, ["lnk_1"])
        replacing = asyncio.create_task(links.replace(other, PROGRAM, configs))
        await until_waits(db, other)
        await links.hold(db, PROGRAM, ["lnk_2"])
    assert len(await replacing) == 2


async def test_a_merchant_waits_for_no_offer_that_waits_for_it(db: pg.Db, other: pg.Db) -> None:
    drafts = [
        offers.Draft("off_3", "lnk_3", offer(3)),
        offers.Draft("off_4", "lnk_4", offer(1, title="Green tea")),
    ]

    async def saved() -> offers.Saved:
        async with other.transaction():
            return await offers.save(other, PROGRAM, drafts, lambda: "tea3", ())

    async with db.transaction():
        before = await merchants.lock(db, PROGRAM, "mrc_1")
        after = msgspec.structs.replace(before, name="Store", external_id="m2")
        await merchants.change(db, PROGRAM, "mrc_1", after)
        saving = asyncio.create_task(saved())
        await until_waits(db, other)
        await offers.index(db, PROGRAM, ["mrc_1"])
    done = await saving
    assert (done.created, done.changed) == (["off_3"], ["off_1"])


async def test_a_merchants_offers_are_held_in_one_order(db: pg.Db, other: pg.Db) -> None:
    # As they stand in the table.
    await other.execute("SET enable_indexscan = off; SET enable_bitmapscan = off")
    async with db.transaction():
        await offers.lock(db, PROGRAM, "off_1")
        indexing = asyncio.create_task(offers.index(other, PROGRAM, ["mrc_1"]))
        await until_waits(db, other)
        await offers.lock(db, PROGRAM, "off_2")
    await indexing
