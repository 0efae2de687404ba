"""What our records say of a claim: which click, whose order, and what was had before."""

from __future__ import annotations

import datetime as dt

import pytest

from core.merchants import MerchantConfig
from db import merchants, pg
from tests.db.conftest import PROGRAM
from tests.db.test_claim_steps import CAPPED, accept, opened
from tests.db.test_claims import NOW, click, file, other_click, owner, report, roles

__all__ = ["click", "owner"]

TWICE = """
UPDATE offer SET config = config || '{"member_cap": {"period": "day", "count": 2}}'
"""
LAST = "UPDATE click SET clicked_at = clicked_at + interval '1 minute', class = $2"


@pytest.mark.parametrize("why", ["claimed", "reported", "suspect"])
async def test_without_a_click_a_last_one_that_is_claimed_or_reported_or_no_humans_is_not_meant(
    db: pg.Db, owner: pg.Db, click: str, why: str
) -> None:
    last = await other_click(owner)
    await owner.execute(f"{LAST} WHERE click_id = $1", last, int(why == "suspect"))
    async with db.transaction():
        if why == "claimed":
            await file(db, last, "OD-2")
        if why == "reported":
            await report(db, click_id=last, order_id="OD-2")
    async with db.transaction():
        assert (await file(db, None)).click_id == click


@pytest.mark.parametrize(
    ("merchant_id", "is_known"), [("mrc_1", True), (None, True), ("mrc_2", False)]
)
async def test_an_order_of_that_number_at_another_shop_is_another_one(
    db: pg.Db, owner: pg.Db, click: str, merchant_id: str | None, *, is_known: bool
) -> None:
    await merchants.add(db, PROGRAM, "mrc_2", MerchantConfig(name="Other"))
    async with db.transaction():
        await report(db, click_id=await other_click(owner), order_id="OD-1")
        await db.execute("UPDATE conversion SET merchant_id = $1", merchant_id)
    async with db.transaction():
        claim = await file(db, click)
    assert claim.facts.is_order_reported is is_known
    assert claim.state == ("rejected" if is_known else "accepted")


async def test_a_claim_and_the_report_that_answers_it_count_once_towards_a_cap(
    db: pg.Db, owner: pg.Db, click: str
) -> None:
    await owner.execute(TWICE)
    async with db.transaction():
        await file(db, click)
    async with db.transaction():
        await report(db, click_id=click, order_id="OD-1")
    async with db.transaction():
        assert (await file(db, await other_click(owner), "OD-2")).state == "accepted"


@pytest.mark.parametrize(("days", "available"), [(-1, 150), (0, 100), (1, 150)])
async def test_a_claim_counts_towards_the_cap_of_its_own_period(
    db: pg.Db, owner: pg.Db, click: str, days: int, available: int
) -> None:
    await owner.execute(CAPPED)
    async with db.transaction():
        await file(db, click)
    at = NOW + dt.timedelta(days=days)
    async with db.transaction():
        await report(db, click_id=await other_click(owner), order_id="OD-2", at=at)
    assert (await roles(db))["available"] == available


async def test_what_a_network_had_rejected_before_can_be_accepted(db: pg.Db, click: str) -> None:
    async with db.transaction():
        await report(db, click_id=click, order_id="OD-1", status="rejected")
    claim = await opened(db, click)
    assert claim.reasons == ["click_reported", "order_reported"]
    async with db.transaction():
        assert (await accept(db)).state == "accepted"
    assert await roles(db) == {"claims_float": -100, "available": 100}
