"""A claim and the conversion of its click, each while the other one is under way."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator
from decimal import Decimal
from typing import Any, Final

import asyncpg
import pytest

from core import clickid, conversions, errors, ids, wallet
from core.claim_rules import Policy
from core.claims import Act, Claim
from core.conversions import Conversion, Item
from core.merchants import MerchantConfig
from core.money import Money
from core.networks import Rules
from core.offers import OfferConfig, OfSale
from core.providers.affiliate.report import Report
from core.rates import Rate
from core.wallet import Account
from db import (
    bookings,
    claims,
    exchange_rates,
    members,
    merchants,
    money,
    networks,
    offers,
    pg,
    programs,
)
from db import conversions as stored
from db.claim_facts import Order
from db.claims import New, Wanted
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM

NOW: Final = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
CLICKED: Final = NOW - dt.timedelta(days=4, minutes=10)
ORDERED: Final = NOW - dt.timedelta(days=4)
POLICY: Final = Policy(mode="automatic", credit="available")
REPORTING: Final = bookings.Act("network", NOW, dt.timedelta(days=7))
MEMBER, NETWORK, LINK = "mem_1", "net_1", "lnk_01h455vb4pex5vsknk084sn02q"
NEW: Final = networks.New(
    provider="generic", name="Shops", config={"currency": "INR"}, rules=Rules(), credentials=None
)
OFFER: Final = OfferConfig(
    merchant_id="mrc_1",
    title="Tea",
    kind="cashback",
    cashback=OfSale(rate_bp=500),
    destination="https://shop.example/?c={click_id}",
    state="active",
)
ROW: Final = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device, system,
                   browser, privacy_signal, member_id)
VALUES ($1, $2, $3, $4, $5, 0, '{}', 'desktop', 'Linux', 'Firefox', false, $6)
"""
CAPPED: Final = """
UPDATE offer
   SET config = config || '{"member_cap": {"period": "ever", "amount_minor": 120}}'
"""
WAITS: Final = "SELECT EXISTS (SELECT FROM pg_locks WHERE pid = $1 AND NOT granted)"


@pytest.fixture
async def owner(database: DatabaseUrls) -> AsyncIterator[pg.Db]:
    connection = await asyncpg.connect(database.migrate)
    yield connection
    await connection.close()


@pytest.fixture
async def click(db: pg.Db, owner: pg.Db) -> str:
    """A member's click on an offer that gives 5 percent."""
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    await networks.add(db, RING, PROGRAM, NETWORK, NEW, b"")
    await merchants.add(db, PROGRAM, "mrc_1", MerchantConfig(name="Shop"))
    await offers.add(db, PROGRAM, [offers.Draft("off_1", LINK, OFFER)], lambda: "tea", ())
    minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 7)
    at_ms = (CLICKED - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    text = minter.mint(at_ms, PROGRAM, ids.link_bits(LINK))
    await owner.execute(ROW, CLICKED.date(), text, PROGRAM, LINK, CLICKED, MEMBER)
    return text


async def file(
    db: pg.Db,
    click_id: str | None,
    order_id: str = "OD-1",
    *,
    ordered_at: dt.datetime = ORDERED,
    number: int = 1,
) -> Claim:
    order = Order(MEMBER, order_id, Money(2_000, "INR"), ordered_at)
    program = await programs.get(db, PROGRAM)
    merchant_id = "mrc_1" if click_id is None else None
    new = New(f"clm_{order_id}_{number}", click_id, merchant_id, order, "en")
    return await claims.file(db, RING, program, POLICY, new, Act(by=MEMBER, at=NOW))


async def other_click(owner: pg.Db) -> str:
    """Another one of the member on the offer."""
    minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 8)
    at_ms = (CLICKED - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    text = minter.mint(at_ms, PROGRAM, ids.link_bits(LINK))
    await owner.execute(ROW, CLICKED.date(), text, PROGRAM, LINK, CLICKED, MEMBER)
    return text


async def report(db: pg.Db, **fields: Any) -> None:
    act = REPORTING._replace(at=fields.pop("at", NOW))
    values: dict[str, Any] = {
        "status": "approved",
        "commission_minor": 80,
        "sale_minor": 1_000,
    } | fields
    values = {"txn_id": "t1", "currency": "INR", "sale_currency": "INR", **values}
    network = await networks.lock(db, PROGRAM, NETWORK)
    await stored.apply(db, RING, network, [Item(Report(**values))], act)


async def roles(db: pg.Db) -> dict[str, int]:
    assert await money.check(db) == []
    totals = await money.totals(db, PROGRAM)
    return {total.role: total.total_minor for total in totals if total.total_minor}


async def until_waiting(db: pg.Db, connection: pg.Db) -> None:
    """Return once the connection waits for a lock."""
    async with asyncio.timeout(20):
        while not await db.fetchval(WAITS, connection.get_server_pid()):
            pass


async def only(db: pg.Db) -> Claim:
    [one] = await claims.page(db, PROGRAM, before="", limit=9, wanted=Wanted())
    return one


BOOKED: Final = {"receivable": -80, "available": 50, "margin": 30}


@pytest.mark.parametrize("by", ["click", "order"])
async def test_a_report_that_comes_while_a_claim_is_filed_takes_its_credit_back(
    db: pg.Db, pool: pg.Pool, owner: pg.Db, click: str, by: str
) -> None:
    said = {"click_id": click, "order_id": "OD-1"}
    if by == "order":
        # The network gave the sale to another click of the member.
        said = {"click_id": await other_click(owner), "order_id": "#od-1"}
    async with pool.acquire() as reporter:

        async def reporting() -> None:
            async with reporter.transaction():
                await report(reporter, **said)

        async with db.transaction():
            assert (await file(db, click)).state == "accepted"
            assert await roles(db) == {"claims_float": -100, "available": 100}
            later = asyncio.create_task(reporting())
            await until_waiting(owner, reporter)
        await later
    assert (await only(db)).state == "settled"
    assert await roles(db) == BOOKED


@pytest.mark.parametrize("is_named", [True, False])
async def test_an_order_in_the_second_of_its_click_came_after_it(
    db: pg.Db, owner: pg.Db, click: str, *, is_named: bool
) -> None:
    late = CLICKED + dt.timedelta(milliseconds=700)
    await owner.execute("UPDATE click SET clicked_at = $1", late)
    async with db.transaction():
        claim = await file(db, click if is_named else None, ordered_at=CLICKED)
    assert (claim.click_id, claim.state) == (click, "accepted")
    assert (claim.facts.order_after_s, claim.facts.refusal) == (0, "")


async def test_a_claim_that_is_filed_while_a_report_is_taken_sees_it(
    db: pg.Db, pool: pg.Pool, owner: pg.Db, click: str
) -> None:
    async with pool.acquire() as filer:

        async def filing() -> Claim:
            async with filer.transaction():
                return await file(filer, click)

        async with db.transaction():
            await report(db, click_id=click, order_id="OD-1")
            later = asyncio.create_task(filing())
            await until_waiting(owner, filer)
        claim = await later
    assert (claim.state, claim.reasons) == (
        "rejected",
        ["click_reported", "order_reported"],
    )
    assert await roles(db) == BOOKED


async def test_another_order_of_the_click_leaves_the_claim_to_its_own_report(
    db: pg.Db, click: str
) -> None:
    async with db.transaction():
        claim = await file(db, click)
    async with db.transaction():
        await report(db, click_id=click, order_id="OD-2")
        await report(db, txn_id="t2", click_id=click, status="rejected")
        await report(db, txn_id="t3", click_id=click)
    assert await only(db) == claim
    both = {"receivable": -160, "margin": 60}
    assert await roles(db) == both | {"claims_float": -100, "available": 200}
    async with db.transaction():
        await report(db, txn_id="t4", click_id=click, order_id="#od-1")
    assert (await only(db)).state == "settled"
    assert (await roles(db))["available"] == 150


async def named(db: pg.Db, txn_id: str) -> Conversion:
    found = await stored.page(db, PROGRAM, before="", limit=9, wanted=stored.Wanted())
    return next(one for one in found if one.txn_id == txn_id)


async def test_what_was_settled_by_another_order_is_claimed_anew(
    db: pg.Db, owner: pg.Db, click: str
) -> None:
    async with db.transaction():
        await file(db, click)
    async with db.transaction():
        await report(db, click_id=click, order_id="OD-2")
    operator = Act(by="opr_1", at=NOW)
    async with db.transaction():
        wrong = await claims.settle_by(db, RING, await only(db), await named(db, "t1"), operator)
    assert (wrong.state, await roles(db)) == ("settled", BOOKED)
    async with db.transaction():
        anew = await file(db, click, number=2)
    assert (anew.state, anew.reasons) == ("sent", ["other_order"])
    async with db.transaction():
        await claims.take(db, RING, anew, "accept", operator)
    assert (await roles(db))["claims_float"] == -100
    with pytest.raises(errors.OrderClaimed):
        await file(db, await other_click(owner), number=3)
    async with db.transaction():
        await report(db, txn_id="t2", click_id=click, order_id="OD-1")
    assert (await roles(db))["available"] == 100
    # Now the order is done with.
    with pytest.raises(errors.OrderClaimed):
        await file(db, click, number=4)


async def test_what_looked_like_the_order_answers_no_second_claim(db: pg.Db, click: str) -> None:
    bought_ms = (ORDERED - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    said = {"click_id": click, "sale_minor": 2_000, "event_at_ms": bought_ms}
    async with db.transaction():
        await file(db, click)
    async with db.transaction():
        await report(db, **said)
    assert (await only(db)).state == "settled"
    async with db.transaction():
        anew = await file(db, None, number=2)
    assert (anew.click_id, anew.state, anew.reasons) == (click, "sent", ["other_order"])
    async with db.transaction():
        await report(db, **said, status="settled")
        assert (await claims.get(db, PROGRAM, anew.id)).state == "sent"


async def test_a_credit_stays_while_the_report_waits_for_a_rate(db: pg.Db, click: str) -> None:
    async with db.transaction():
        await file(db, click)
    async with db.transaction():
        await report(db, click_id=click, order_id="OD-1", currency="USD", sale_currency="USD")
    assert (await only(db)).state == "accepted"
    assert await roles(db) == {"claims_float": -100, "available": 100}
    rate = Rate("USD", "INR", CLICKED, Decimal(1))
    async with db.transaction():
        await exchange_rates.put(db, PROGRAM, [rate])
        network = await networks.lock(db, PROGRAM, NETWORK)
        later = REPORTING._replace(at=dt.datetime.now(dt.UTC) + dt.timedelta(days=1))
        assert await stored.retry(db, RING, network, later, 10) == 1
    assert (await only(db)).state == "settled"
    assert await roles(db) == BOOKED


@pytest.mark.parametrize("state", ["accepted", "settled"])
async def test_what_was_given_for_a_claim_counts_towards_the_cap(
    db: pg.Db, owner: pg.Db, click: str, state: str
) -> None:
    await owner.execute(CAPPED)
    async with db.transaction():
        claim = await file(db, click)
        if state == "settled":
            operator = Act(by="opr_1", at=NOW)
            await claims.take(db, RING, claim, "settle", operator)
    another = await other_click(owner)
    async with db.transaction():
        await report(db, txn_id="t2", click_id=another, order_id="OD-2")
    assert (await roles(db))["available"] == 120
    # With its own report the claim's credit ends, which leaves as much as it was.
    async with db.transaction():
        await report(db, click_id=click, order_id="OD-1", sale_minor=2_000, commission_minor=160)
    assert (await only(db)).conversion_id is not None
    assert await roles(db) == {"receivable": -240, "available": 120, "margin": 120}


async def test_a_member_who_has_spent_the_credit_is_below_zero_and_that_is_announced(
    db: pg.Db, owner: pg.Db, click: str
) -> None:
    await owner.execute(LISTENER, PROGRAM)
    async with db.transaction():
        await file(db, click)
        await spend(db, 100)
    async with db.transaction():
        await report(db, click_id=click, order_id="OD-1", status="pending")
    assert (await only(db)).state == "settled"
    assert await roles(db) == {
        "receivable": -80,
        "pending": 50,
        "expected": 30,
        "available": -100,
        "paid_out": 100,
    }
    assert await owner.fetchval("SELECT type FROM webhook_delivery") == "balance.negative"


async def spend(db: pg.Db, amount_minor: int) -> None:
    legs = {
        Account("available", "INR", MEMBER): -amount_minor,
        Account("paid_out", "INR"): amount_minor,
    }
    paid = money.Transaction(
        id="mtx_1",
        type="withdrawal_paid",
        subject="wdr_1",
        step=1,
        member_id=MEMBER,
        reason=None,
        recorded_by="test",
        recorded_at=NOW,
        postings=wallet.postings(legs),
    )
    await money.post(db, await money.lock(db, PROGRAM, legs), [paid])


LISTENER: Final = """
INSERT INTO webhook_endpoint (id, program_id, url, events, sealed_secret)
VALUES ('whk_1', $1, 'https://a.example', '{balance.negative}', 's')
"""
