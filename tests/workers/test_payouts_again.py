"""Payouts that are attempted again: not too soon, not twice at once, and not on a mere silence."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from core import tasks
from db import outbox
from deploy.local.postgres import DatabaseUrls
from tests.providers.payouts.server import Fault, Server
from tests.workers.conftest import Db, until
from tests.workers.test_jobs import holding
from tests.workers.test_payouts import (
    ID,
    LOCK,
    RAZORPAYX,
    TROUBLE,
    approved,
    assert_paid_once,
    attempt,
    bank,
    money_is,
    paying,
    settings,
    state,
    waiting,
)
from workers import jobs
from workers.broker import Tools

__all__ = ["bank", "paying", "settings"]


@pytest.mark.parametrize("trouble", ["500", "drop_before", "429", "401"])
async def test_a_look_that_says_nothing_is_no_reason_to_pay_again(
    db: Db, paying: Tools, bank: Server, trouble: str
) -> None:
    bank.faults, bank.look_faults = [TROUBLE["drop_after"]], [TROUBLE[trouble]]
    await approved(db, bank.slug)
    for _ in range(2):
        await attempt(db, paying)
        assert (await state(db), bank.asked.count("pay")) == ("paying", 1)
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("paid", (0, 0, 20_050))
    assert_paid_once(bank)


@RAZORPAYX
async def test_a_provider_that_asks_for_patience_has_it(
    db: Db, paying: Tools, bank: Server
) -> None:
    bank.faults = [Fault(429, headers={"Retry-After": "1800"})]
    await approved(db, bank.slug)
    await attempt(db, paying)
    due_at = await db.fetchval("SELECT due_at FROM outbox WHERE task = 'pay_withdrawal'")
    assert due_at > dt.datetime.now(dt.UTC) + dt.timedelta(minutes=29)


@RAZORPAYX
async def test_of_two_workers_at_once_the_second_looks_before_it_pays(
    db: Db, database: DatabaseUrls, paying: Tools, bank: Server
) -> None:
    await approved(db, bank.slug)
    await outbox.add(db, tasks.PayWithdrawal(ID))

    async def are_both_waiting() -> bool:
        return bool(await db.fetchval("SELECT count(*) = 2 FROM pg_locks WHERE NOT granted"))

    rows = await db.fetch("SELECT id FROM outbox WHERE task = 'pay_withdrawal'")
    async with holding(database.migrate, LOCK):
        both = [asyncio.create_task(jobs.perform(paying, row["id"], 0)) for row in rows]
        await until(are_both_waiting)
    await asyncio.gather(*both)
    assert bank.asked.count("look") == 1
    assert (await state(db), await waiting(db)) == ("paid", 0)
    assert_paid_once(bank)


async def test_what_was_begun_is_looked_up_though_the_member_is_banned_by_now(
    db: Db, paying: Tools, bank: Server
) -> None:
    bank.begins = "under_way"
    await approved(db, bank.slug)
    await attempt(db, paying)
    await db.execute("UPDATE member SET banned_at = now()")
    await bank.settle(ID, "paid")
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("paid", (0, 0, 20_050))
    assert_paid_once(bank)
