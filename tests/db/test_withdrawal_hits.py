"""Fraud rules on withdrawals in PostgreSQL: what they see, and that the money follows."""

from __future__ import annotations

import asyncio
import datetime as dt

import asyncpg
import pytest

from core.withdrawal_rules import FirstWithdrawal, WithdrawalVelocity
from db import fraud_rules, money, pg, withdrawals
from db.withdrawals import Act, Wanted
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db import test_withdrawals
from tests.db.conftest import PROGRAM
from tests.db.test_fraud import add
from tests.db.test_withdrawals import NOW, credit, new, request, roles, take

DAY = 86_400
member = test_withdrawals.member


async def join(database: DatabaseUrls, age_s: int) -> None:
    owner = await asyncpg.connect(database.migrate)
    await owner.execute("UPDATE member SET created_at = $1", NOW - dt.timedelta(seconds=age_s))
    await owner.close()


async def counted(db: pg.Db) -> list[fraud_rules.Hits]:
    found = await fraud_rules.count_hits(db, PROGRAM, await fraud_rules.current(db, PROGRAM))
    return list(found.values())


async def test_what_is_held_waits_with_its_reasons_and_one_in_the_window_more_is_too_many(
    db: pg.Db,
) -> None:
    await credit(db, 1_000)
    await add(db, WithdrawalVelocity(window_s=DAY, most=1))
    first = await request(db, 1)
    await take(db, 1, "cancel")
    second, third = await request(db, 2), await request(db, 3)
    assert (first.is_held, second.is_held, third.is_held) == (False, False, True)
    assert third.reasons == [f"it is the member's withdrawal 2 within {DAY} s"]
    later = Act(by="opr_1", at=NOW + dt.timedelta(seconds=DAY))
    async with db.transaction():
        fourth = await withdrawals.request(db, RING, new(4), later)
    assert not fourth.is_held
    [held] = await withdrawals.page(
        db, RING, PROGRAM, before="", limit=9, wanted=Wanted(is_held=True)
    )
    assert held == third
    assert await counted(db) == [(1, 0)]


async def test_what_is_rejected_is_given_back_and_its_member_does_not_read_why(
    db: pg.Db,
) -> None:
    await credit(db, 1_000)
    rule_id = await add(db, WithdrawalVelocity(window_s=DAY, above_minor=150), "reject")
    assert (await request(db, 1)).state == "requested"
    made = await request(db, 2)
    assert (made.state, made.reason, made.decided_by) == ("rejected", None, rule_id)
    assert made.reasons == [f"the member's withdrawals within {DAY} s come to 200, above 150"]
    totals = {"receivable": -1_000, "available": 900, "held": 100, "paid_out": 0}
    assert await roles(db) == totals
    assert await money.check(db) == []


@pytest.mark.parametrize(("age_s", "is_held"), [(DAY - 1, True), (DAY, False)])
async def test_the_first_withdrawal_of_a_new_member_is_held_until_one_is_paid(
    db: pg.Db, database: DatabaseUrls, age_s: int, *, is_held: bool
) -> None:
    await join(database, age_s)
    await credit(db, 1_000)
    await add(db, FirstWithdrawal(younger_than_s=DAY))
    assert (await request(db, 1)).is_held is is_held
    assert (await request(db, 2)).is_held is is_held
    await take(db, 1, "approve")
    await take(db, 1, "complete", Act(by="opr_1", at=NOW, utr="UTR123"))
    assert not (await request(db, 3)).is_held


async def test_a_shadow_and_a_rule_of_another_program_change_nothing(db: pg.Db) -> None:
    await credit(db, 1_000)
    await add(db, FirstWithdrawal(younger_than_s=400 * DAY), "reject", is_shadow=True)
    foreign = await add(db, WithdrawalVelocity(window_s=DAY, above_minor=0), "reject")
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ('prg_2', 'x', 'INR', 'UTC')"
    )
    await db.execute("UPDATE fraud_rule SET program_id = 'prg_2' WHERE id = $1", foreign)
    made = await request(db, 1)
    assert (made.state, made.is_held, made.reasons) == ("requested", False, [])
    assert await counted(db) == [(0, 1)]


async def test_of_many_at_once_each_sees_those_before_it(db: pg.Db, pool: pg.Pool) -> None:
    await credit(db, 1_000)
    await add(db, WithdrawalVelocity(window_s=DAY, most=2))

    async def one(number: int) -> bool:
        async with pool.acquire() as own:
            return (await request(own, number)).is_held

    assert sorted(await asyncio.gather(*map(one, range(5)))) == [False, False, True, True, True]
