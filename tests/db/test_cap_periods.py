"""Which of a member's purchases count towards the cap of an offer."""

from __future__ import annotations

import datetime as dt

import asyncpg

from core import clickid, conversions
from core.fraud_rules import Amount
from core.offers import MemberCap
from db import members, pg
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db import test_fraud
from tests.db.conftest import PROGRAM
from tests.db.test_conversions import (
    ACT,
    LINK,
    MEMBER,
    NOW,
    ROW,
    apply,
    click,
    network,
    report,
    roles,
    store_capped_offer,
    store_click,
)

__all__ = ["network"]

DAY = dt.timedelta(days=1)


async def test_a_cap_is_each_members_own_in_each_period_of_what_was_not_taken_back(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await store_capped_offer(db, member_cap=MemberCap(period="day", count=1))
    await members.add(db, RING, PROGRAM, "mem_2", members.NewMember())
    owner = await asyncpg.connect(database.migrate)
    mine, theirs = click(1), click(2)
    for text, member_id in ((mine, MEMBER), (theirs, "mem_2")):
        at = conversions.moment(clickid.decode(text).ms)
        await owner.execute(ROW, at.date(), text, PROGRAM, LINK, at, member_id)
    await owner.close()

    async def given(txn: str, text: str, day: int = 0, **fields: object) -> int:
        """What both have after this report."""
        act = ACT._replace(at=NOW + day * DAY)
        await apply(db, report(txn, click_id=text, **fields), act=act)
        return (await roles(db)).get("available", 0)

    assert await given("t1", mine) == 50
    assert await given("t1", mine, commission_minor=300) == 50
    assert await given("t2", mine) == 50
    assert await given("t3", theirs) == 100
    assert await given("t4", mine, 1) == 150
    assert await given("t5", mine, 1) == 150
    assert await given("t4", mine, 1, status="reversed") == 100
    assert await given("t6", mine, 1) == 150


async def test_what_is_reported_beside_those_of_other_periods_counts_in_its_own(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await store_capped_offer(db, member_cap=MemberCap(period="day", count=1))
    late, text = click(1), click(2)
    await store_click(database, text)
    assert await apply(db, report("t0", click_id=late)) == ["awaiting_click"]
    pending = report("t1", click_id=text, status="pending")
    await apply(db, pending, act=ACT._replace(at=NOW + DAY))
    await store_click(database, late)
    # That of the day before beside that of the day, and then beside that of the day after.
    for txn, click_id, status, day in (("t0", late, "approved", 1), ("t2", text, "settled", 2)):
        given = report(txn, click_id=click_id, commission_minor=250)
        again = report("t1", click_id=text, status=status)
        await apply(db, given, again, act=ACT._replace(at=NOW + day * DAY))
        assert (await roles(db))["available"] == 50 + day * 50


async def test_what_a_rule_has_rejected_takes_no_place_of_a_cap(
    db: pg.Db, database: DatabaseUrls
) -> None:
    await store_capped_offer(db, member_cap=MemberCap(period="day", count=1))
    await test_fraud.add(db, Amount(of="commission", above_minor=150), "reject")
    text = click()
    await store_click(database, text)
    await apply(db, report("t1", click_id=text, status="pending"))
    given = report("t2", click_id=text, commission_minor=100)
    await apply(db, report("t1", click_id=text), given)
    assert (await roles(db))["available"] == 50
