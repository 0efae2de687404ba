"""Fraud rules on real reports: what they hold, what operators decide, and that money adds up."""

from __future__ import annotations

import asyncio
import datetime as dt
import itertools
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

import asyncpg
import msgspec
import pytest

from core import clickid, conversions, errors, ids
from core.conversions import Conversion
from core.fraud import Action, Step
from core.fraud_rules import (
    Amount,
    Condition,
)
from core.networks import Rules
from db import conversions as stored
from db import fraud_cases, fraud_rules, members, networks, pg, webhooks
from db.bookings import Act
from db.fraud_cases import Seen, Wanted
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db import test_conversions as base
from tests.db.conftest import PROGRAM
from tests.db.test_conversions import ACT, MEMBER, NETWORK, NEW, NOW, apply, report, roles

ALL: Final = Amount(above_minor=0)
OPERATOR: Final = Act("opr_1", NOW + dt.timedelta(hours=1), ACT.patience)
DAY: Final = 86_400
NOW_MS: Final = (NOW - conversions.EPOCH) // dt.timedelta(milliseconds=1)
ROW: Final = """
INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device, system,
                   browser, privacy_signal, member_id, referrer, address_hash)
VALUES ($1, $2, $3, $4, $5, $7, '{}', 'desktop', 'Linux', 'Firefox', false, $6, $8, $9)
"""
HELD: Final = {"receivable": -200, "review": 100, "expected": 100}
GIVEN: Final = {"receivable": -200, "available": 100, "margin": 100}
KEPT: Final = {"receivable": -200, "margin": 200}
Click = Callable[..., Awaitable[str]]


@pytest.fixture(autouse=True)
async def network(db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    await networks.add(db, RING, PROGRAM, NETWORK, NEW, b"")


@pytest.fixture
async def click(database: DatabaseUrls) -> Click:
    """Stores a click of a member."""
    numbers = itertools.count(1)

    async def store(
        member_id: str = MEMBER, hit_class: int = 0, referrer: str = "", address: bytes = b""
    ) -> str:
        text = base.click(next(numbers))
        at = conversions.moment(clickid.decode(text).ms)
        owner = await asyncpg.connect(database.migrate)
        row = (at.date(), text, PROGRAM, base.LINK, at, member_id, hit_class)
        await owner.execute(ROW, *row, referrer or None, address or None)
        await owner.close()
        return text

    return store


async def add(
    db: pg.Db, condition: Condition, action: Action = "hold", *, is_shadow: bool = False
) -> str:
    rule_id = ids.new("fraud_rule", 0, os.urandom(ids.ENTROPY_BYTES))
    new = fraud_rules.New(name="x", condition=condition, action=action, is_shadow=is_shadow)
    await fraud_rules.add(db, PROGRAM, rule_id, new, "opr_1", NOW)
    return rule_id


async def cases(db: pg.Db, **wanted: Any) -> list[Seen]:
    return await fraud_cases.page(db, PROGRAM, before="", limit=50, wanted=Wanted(**wanted))


async def decide(db: pg.Db, case: Seen, step: Step) -> Seen:
    async with db.transaction():
        return await fraud_cases.decide(db, RING, case, PROGRAM, step, "looked at", OPERATOR)


async def reviews(db: pg.Db) -> list[str | None]:
    found = await stored.page(db, PROGRAM, before="", limit=50, wanted=stored.Wanted())
    return [one.review for one in reversed(found)]


async def test_what_is_held_waits_for_an_operator_and_is_not_held_again(
    db: pg.Db, click: Click
) -> None:
    rule_id = await add(db, ALL)
    said = {"click_id": await click()}
    assert await apply(db, report(**said)) == ["held_for_review"]
    assert await roles(db) == HELD
    [case] = await cases(db, state="open")
    assert (case.member_id, case.cashback_minor, case.review) == (MEMBER, 100, "held")
    [hit] = case.hits
    assert (hit.rule, hit.rule_version, hit.condition) == (rule_id, 1, ALL)
    assert await apply(db, report(**said, commission_minor=200)) == ["duplicate"]
    done = await decide(db, case, "release")
    assert (done.state, done.decided_by, done.review) == ("released", "opr_1", "released")
    assert await roles(db) == GIVEN
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'tell_cashback'") == 1
    assert await apply(db, report(**said, status="settled")) == ["updated"]
    assert await roles(db) == {"settled": -200, "available": 100, "margin": 100}
    assert len(await cases(db)) == 1
    with pytest.raises(errors.FraudCaseNotOpen):
        await decide(db, case, "reject")


async def test_another_rule_may_hold_what_was_released(db: pg.Db, click: Click) -> None:
    await add(db, ALL)
    said = {"click_id": await click()}
    await apply(db, report(**said))
    await decide(db, (await cases(db))[0], "release")
    await add(db, Amount(of="commission", above_minor=250))
    assert await apply(db, report(**said, commission_minor=300)) == ["held_for_review"]
    assert sorted(case.state for case in await cases(db)) == ["open", "released"]
    assert await roles(db) == {"receivable": -300, "review": 150, "expected": 150}


async def test_what_is_rejected_gives_nothing_until_it_is_released(db: pg.Db, click: Click) -> None:
    rule_id = await add(db, ALL, "reject")
    said = {"click_id": await click()}
    assert await apply(db, report(**said, status="pending")) == ["accepted"]
    assert await apply(db, report(**said)) == ["updated"]
    assert await roles(db) == KEPT
    [case] = await cases(db)
    assert (case.state, case.decided_by, case.cashback_minor) == ("rejected", rule_id, 100)
    assert (await decide(db, case, "release")).review == "released"
    assert await roles(db) == GIVEN


async def test_a_flag_lets_the_money_flow_until_somebody_rejects_it(
    db: pg.Db, click: Click
) -> None:
    await add(db, ALL, "flag")
    assert await apply(db, report(click_id=await click())) == ["accepted"]
    assert await roles(db) == GIVEN
    [case] = await cases(db, state="open")
    assert (await decide(db, case, "reject")).review == "rejected"
    assert await roles(db) == KEPT


async def test_a_flag_that_is_released_changes_nothing(db: pg.Db, click: Click) -> None:
    await add(db, ALL, "flag")
    await apply(db, report(click_id=await click()))
    count = "SELECT count(*) FROM money_transaction"
    before = await db.fetchval(count)
    [case] = await cases(db)
    assert (await decide(db, case, "release")).review is None
    assert await db.fetchval(count) == before


async def test_a_shadow_changes_nothing_and_is_counted(db: pg.Db, click: Click) -> None:
    await add(db, ALL, "reject", is_shadow=True)
    assert await apply(db, report(click_id=await click())) == ["accepted"]
    assert (await roles(db), await cases(db), await reviews(db)) == (GIVEN, [], [None])
    rules = await fraud_rules.current(db, PROGRAM)
    [counted] = (await fraud_rules.count_hits(db, PROGRAM, rules)).values()
    assert counted == (0, 1)


async def test_a_reversal_while_it_is_held_leaves_nothing_to_give(db: pg.Db, click: Click) -> None:
    await add(db, ALL)
    said = {"click_id": await click()}
    await apply(db, report(**said))
    await apply(db, report(**said, status="reversed"))
    assert await roles(db) == {}
    [case] = await cases(db, state="open")
    assert case.conversion_state == "reversed"
    assert (await decide(db, case, "release")).state == "released"
    assert await roles(db) == {}


@pytest.mark.parametrize("steps", [("release", "reject"), ("reject", "reject")])
async def test_of_two_operators_one_decides(
    db: pg.Db, pool: pg.Pool, click: Click, steps: tuple[Step, Step]
) -> None:
    await add(db, ALL)
    await apply(db, report(click_id=await click()))
    [case] = await cases(db)

    async def one(step: Step) -> str:
        async with pool.acquire() as own:
            try:
                return (await decide(own, case, step)).state
            except errors.FraudCaseNotOpen:
                return "refused"

    done = await asyncio.gather(*map(one, steps))
    [state] = set(done) - {"refused"}
    assert done.count("refused") == 1
    assert await roles(db) == (GIVEN if state == "released" else KEPT)


async def test_what_a_network_holds_is_a_case_too(db: pg.Db, click: Click) -> None:
    network = await networks.get(db, PROGRAM, NETWORK)
    await networks.change(db, msgspec.structs.replace(network, rules=Rules(click_min_s=61)))
    said = {"click_id": await click()}
    assert await apply(db, report(**said)) == ["below_min_ctit"]
    assert await roles(db) == HELD
    [case] = await cases(db)
    [hit] = case.hits
    assert (hit.rule, hit.rule_version, hit.name) == (NETWORK, 0, None)
    await decide(db, case, "release")
    await apply(db, report(**said, status="settled"))
    assert await roles(db) == {"settled": -200, "available": 100, "margin": 100}


async def test_endpoints_are_told_of_each_step(db: pg.Db, click: Click) -> None:
    wanted = webhooks.NewEndpoint(
        url="https://a.example/", events=["fraud.case_opened", "fraud.case_resolved"]
    )
    await webhooks.add(db, RING, PROGRAM, "whk_1", wanted, "whsec_x")
    await add(db, ALL)
    await apply(db, report(click_id=await click()))
    await decide(db, (await cases(db))[0], "reject")
    await add(db, ALL, "reject")
    await apply(db, report("t2", click_id=await click()))
    told = [row["type"] for row in await db.fetch("SELECT type FROM webhook_delivery")]
    assert sorted(told) == ["fraud.case_opened"] * 2 + ["fraud.case_resolved"] * 2


async def another_program(db: pg.Db) -> None:
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ('prg_2', 'x', 'INR', 'UTC')"
    )


async def test_rules_of_another_program_do_not_look(db: pg.Db, click: Click) -> None:
    await another_program(db)
    rule_id = await add(db, ALL)
    await db.execute("UPDATE fraud_rule SET program_id = 'prg_2' WHERE id = $1", rule_id)
    assert await apply(db, report(click_id=await click())) == ["accepted"]
    assert await cases(db) == []


async def test_the_rows_say_what_the_money_says(db: pg.Db, click: Click) -> None:
    await add(db, ALL, "reject")
    await apply(db, report(click_id=await click()))
    [one] = await stored.page(db, PROGRAM, before="", limit=9, wanted=stored.Wanted())
    assert isinstance(one, Conversion)
    assert (one.review, one.booked_cashback_minor, one.version) == ("rejected", 0, 1)
    assert one.reasons[-1] == "its cashback is 100, above 0"
