"""A reclassification in a worker: done once, wherever the worker is killed."""

from __future__ import annotations

import asyncio
import datetime as dt
import os
from typing import Any

import pytest

from core import clickid, conversions, ids, tasks
from core.conversions import Item
from core.fraud_rules import Amount
from core.networks import Rules
from core.providers.affiliate.report import Report
from db import conversions as stored
from db import fraud_rules, members, money, networks, outbox, reclassifications, regrading
from db.bookings import Act
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db
from workers import jobs
from workers.broker import Tools

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ACT = Act("network", NOW, dt.timedelta(days=7))
NETWORK, MEMBER, JOB = "net_1", "mem_1", "rcl_1"
LINK = "lnk_01h455vb4pex5vsknk084sn02q"
CLICK = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device, system,
                   browser, privacy_signal, member_id)
VALUES ($1, $2, $3, $4, $5, 0, '{}', 'desktop', 'Linux', 'Firefox', false, $6)
"""


@pytest.fixture(autouse=True)
async def wanted(db: Db) -> None:
    """Seven conversions of a member, and a rule that is to look at them again."""
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    account = networks.New(
        provider="generic", name="Shops", config={"currency": "INR"}, rules=Rules(),
        credentials=None,
    )  # fmt: skip
    network = await networks.add(db, RING, PROGRAM, NETWORK, account, b"")
    ms = (NOW - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    minter = clickid.Minter(RING.active_click, RING.click[RING.active_click], 7)
    text = minter.mint(ms, PROGRAM, ids.link_bits(LINK))
    await db.execute(CLICK, NOW.date(), text, PROGRAM, LINK, NOW, MEMBER)
    said = [
        Report(
            txn_id=f"t{number}", status="approved", commission_minor=200, currency="INR",
            click_id=text,
        )
        for number in range(7)
    ]  # fmt: skip
    async with db.transaction():
        await stored.apply(db, RING, network, [Item(one) for one in said], ACT)
    rule_id = ids.new("fraud_rule", ms, os.urandom(ids.ENTROPY_BYTES))
    new = fraud_rules.New(name="x", condition=Amount(above_minor=0), action="hold", is_shadow=False)
    rule = await fraud_rules.add(db, PROGRAM, rule_id, new, "opr_1", NOW)
    span = (NOW, NOW + dt.timedelta(seconds=1))
    asked = reclassifications.New(
        id=JOB, rule=rule, condition=rule.condition, action=rule.action, since=span[0],
        until=span[1], is_dry_run=False,
    )  # fmt: skip
    await reclassifications.add(db, PROGRAM, asked, "opr_1", NOW)


async def run(tools: Tools, db: Db) -> None:
    row = await db.fetchrow("SELECT id, attempts FROM outbox WHERE task = 'reclassify'")
    assert row is not None
    await jobs.perform(tools, row["id"], row["attempts"])


async def held(db: Db) -> int:
    assert await money.check(db) == []
    found: int = await db.fetchval("SELECT count(*) FROM conversion WHERE review = 'held'")
    assert await db.fetchval("SELECT count(*) FROM fraud_case WHERE state = 'open'") == found
    return found


@pytest.mark.parametrize("is_after", [False, True])
async def test_a_kill_costs_the_batch_that_was_under_way(
    tools: Tools, db: Db, monkeypatch: pytest.MonkeyPatch, *, is_after: bool
) -> None:
    monkeypatch.setattr(reclassifications, "BATCH", 2)
    real, looked = regrading.look, 0

    async def killed(*args: Any) -> Any:
        nonlocal looked
        looked += 1
        if looked == 3 and not is_after:
            raise asyncio.CancelledError
        outcome = await real(*args)
        if looked == 3:
            raise asyncio.CancelledError
        return outcome

    with monkeypatch.context() as patch:
        patch.setattr(regrading, "look", killed)
        with pytest.raises(asyncio.CancelledError):
            await run(tools, db)
    assert await held(db) == 4
    half = await reclassifications.get(db, PROGRAM, JOB)
    assert (half.state, half.looked_at, half.held) == ("running", 4, 4)
    await run(tools, db)
    done = await reclassifications.get(db, PROGRAM, JOB)
    assert (done.state, done.looked_at, done.held) == ("done", 7, 7)
    assert await held(db) == 7
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'reclassify'") == 0
    again = await outbox.add(db, tasks.Reclassify(JOB))
    await jobs.perform(tools, again, 0)
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'reclassify'") == 0
    assert (await reclassifications.get(db, PROGRAM, JOB)).looked_at == 7
