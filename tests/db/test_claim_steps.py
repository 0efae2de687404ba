"""Steps of a claim, each while another one is under way."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from core import errors
from core.claim_rules import Policy
from core.claims import Act, Claim
from core.money import Money
from db import claims, members, pg, programs
from db.claim_facts import Order
from db.claims import New
from tests.conftest import RING
from tests.db.conftest import PROGRAM
from tests.db.test_claims import (
    BOOKED,
    LISTENER,
    MEMBER,
    NOW,
    ORDERED,
    POLICY,
    click,
    only,
    other_click,
    owner,
    report,
    roles,
    spend,
    until_waiting,
)

__all__ = ["click", "owner"]

CAPPED = """
UPDATE offer SET config = config || '{"member_cap": {"period": "day", "count": 1}}'
"""
OPERATOR = Act(by="opr_1", at=NOW, credited_to="available")


async def opened(db: pg.Db, click_id: str) -> Claim:
    """A claim that operators decide."""
    order = Order(MEMBER, "OD-1", Money(2_000, "INR"), ORDERED)
    new, policy = New("clm_1", click_id, None, order, "en"), Policy(mode="shadow")
    program = await programs.get(db, PROGRAM)
    async with db.transaction():
        return await claims.file(db, RING, program, policy, new, Act(by=MEMBER, at=NOW))


async def accept(db: pg.Db) -> Claim:
    before = await claims.lock(db, PROGRAM, "clm_1")
    return await claims.take(db, RING, before, "accept", OPERATOR)


async def test_of_two_operators_at_once_the_second_finds_it_accepted(
    db: pg.Db, pool: pg.Pool, owner: pg.Db, click: str
) -> None:
    await opened(db, click)
    async with pool.acquire() as other:

        async def accepting() -> None:
            async with other.transaction():
                await accept(other)

        async with db.transaction():
            await accept(db)
            later = asyncio.create_task(accepting())
            await until_waiting(owner, other)
        with pytest.raises(errors.ClaimNotOpen):
            await later
    assert await roles(db) == {"claims_float": -100, "available": 100}


async def test_a_report_that_comes_while_an_operator_accepts_takes_the_credit_back(
    db: pg.Db, pool: pg.Pool, owner: pg.Db, click: str
) -> None:
    await opened(db, click)
    async with pool.acquire() as reporter:

        async def reporting() -> None:
            async with reporter.transaction():
                await report(reporter, click_id=click, order_id="#od-1")

        async with db.transaction():
            await accept(db)
            later = asyncio.create_task(reporting())
            await until_waiting(owner, reporter)
        await later
    assert (await only(db)).state == "settled"
    assert await roles(db) == BOOKED


@pytest.mark.parametrize(("spent_minor", "announced"), [(99, 1), (100, 1), (101, 0)])
async def test_a_credit_that_was_spent_before_it_is_taken_back_is_announced_once(
    db: pg.Db, owner: pg.Db, click: str, spent_minor: int, announced: int
) -> None:
    await owner.execute(LISTENER, PROGRAM)
    await opened(db, click)
    async with db.transaction():
        await accept(db)
        await spend(db, spent_minor)
    async with db.transaction():
        before = await claims.lock(db, PROGRAM, "clm_1")
        why = Act(by="opr_1", at=NOW, reason="It was sent back.")
        await claims.take(db, RING, before, "decline", why)
    assert await roles(db) == {"available": -spent_minor, "paid_out": spent_minor}
    assert await owner.fetchval("SELECT count(*) FROM webhook_delivery") == announced


@pytest.mark.parametrize("had_by", ["claim", "report"])
@pytest.mark.parametrize(("days", "state"), [(0, "rejected"), (1, "accepted")])
async def test_what_was_had_in_the_period_of_a_cap_is_not_given_again(
    db: pg.Db, owner: pg.Db, click: str, had_by: str, days: int, state: str
) -> None:
    await owner.execute(CAPPED)
    if had_by == "claim":
        await opened(db, click)
    async with db.transaction():
        await (accept(db) if had_by == "claim" else report(db, click_id=click))
    order = Order(MEMBER, "OD-2", Money(2_000, "INR"), ORDERED)
    new = New("clm_2", await other_click(owner), None, order, "en")
    program, act = await programs.get(db, PROGRAM), Act(by=MEMBER, at=NOW + dt.timedelta(days=days))
    async with db.transaction():
        assert (await claims.file(db, RING, program, POLICY, new, act)).state == state


async def test_a_member_who_has_left_claims_nothing(db: pg.Db, click: str) -> None:
    await members.delete(db, PROGRAM, MEMBER)
    with pytest.raises(errors.MemberNotFound):
        await opened(db, click)
