"""Looking at conversions again: a dry run says what a run then does, and a run does it once."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable
from typing import Any, Final

import pytest

from core.conversions import Item
from core.fraud import Action
from core.fraud_rules import Amount, Condition, MemberVelocity
from db import conversions as stored
from db import fraud_cases, fraud_rules, members, networks, pg, reclassifications
from db.bookings import Act
from db.fraud_cases import Wanted
from db.reclassifications import Reclassification
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db import test_conversions as base
from tests.db import test_fraud
from tests.db.conftest import PROGRAM, until_waiting
from tests.db.test_conversions import MEMBER, NETWORK, NEW, NOW, apply, report, roles
from tests.db.test_fraud import GIVEN, HELD, KEPT, OPERATOR, reviews

ALL: Final = Amount(above_minor=0)
NONE: Final = Amount(above_minor=10**9)
MS: Final = dt.timedelta(milliseconds=1)

Run = Callable[..., Awaitable[Reclassification]]


@pytest.fixture(autouse=True)
async def network(db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    await networks.add(db, RING, PROGRAM, NETWORK, NEW, b"")


@pytest.fixture
async def text(database: DatabaseUrls) -> str:
    """A click of the member."""
    made = base.click()
    await base.store_click(database, made)
    return made


async def put(db: pg.Db, rule_id: str, condition: Condition, action: Action = "hold") -> None:
    async with db.transaction():
        before = await fraud_rules.lock(db, PROGRAM, rule_id)
        new = fraud_rules.New(name="x", condition=condition, action=action, is_shadow=False)
        await fraud_rules.put(db, PROGRAM, before, new, "opr_1", NOW)


@pytest.fixture
def run(db: pg.Db) -> Run:
    """Runs a reclassification to its end."""
    number = 0

    async def look(
        rule_id: str | None = None, *, is_dry: bool = False, since: dt.datetime = NOW,
        until: dt.datetime = NOW + MS, condition: Condition = ALL, act: Act = OPERATOR,
    ) -> Reclassification:  # fmt: skip
        nonlocal number
        number += 1
        rule = None if rule_id is None else await fraud_rules.get(db, PROGRAM, rule_id)
        new = reclassifications.New(
            id=f"rcl_{number}",
            rule=rule,
            condition=condition if rule is None else rule.condition,
            action="hold" if rule is None else rule.action,
            since=since,
            until=until,
            is_dry_run=is_dry,
        )
        await reclassifications.add(db, PROGRAM, new, "opr_1", NOW)
        while True:
            async with db.transaction():
                job = await reclassifications.to_do(db, new.id)
                if job is None:
                    return await reclassifications.get(db, PROGRAM, new.id)
                await reclassifications.step(db, RING, job, act)

    return look


def counts(job: Reclassification) -> tuple[int, ...]:
    return (job.looked_at, job.flagged, job.held, job.rejected, job.released)


def moved(job: Reclassification) -> dict[str, int]:
    return {one.role: one.amount_minor for one in job.difference}


async def snapshot(db: pg.Db) -> list[Any]:
    tables = ("conversion", "fraud_case", "fraud_hit", "money_account", "money_posting")
    return [
        [tuple(row) for row in await db.fetch(f"SELECT * FROM {table} ORDER BY 1, 2")]
        for table in tables
    ]


async def test_a_dry_run_says_what_a_run_does_and_a_second_does_nothing(
    db: pg.Db, text: str, run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reclassifications, "BATCH", 2)
    await networks.add(db, RING, PROGRAM, "net_2", NEW, b"")
    await apply(db, *(report(f"t{number}", click_id=text) for number in range(5)))
    await apply(db, report("small", click_id=text, commission_minor=3), report("nobodys"))
    rule_id = await test_fraud.add(db, Amount(above_minor=50))
    before = await snapshot(db)
    dry = await run(rule_id, is_dry=True)
    assert counts(dry) == (7, 0, 5, 0, 0)
    assert await snapshot(db) == before
    real = await run(rule_id)
    assert (counts(real), real.difference) == (counts(dry), dry.difference)
    assert moved(real) == {"available": -500, "review": 500, "margin": -500, "expected": 500}
    assert (await roles(db))["review"] == 500
    assert len(await test_fraud.cases(db, state="open")) == 5
    after = await snapshot(db)
    assert counts(await run(rule_id)) == (7, 0, 0, 0, 0)
    assert await snapshot(db) == after
    await put(db, rule_id, NONE)
    back = await run(rule_id)
    assert counts(back) == (7, 0, 0, 0, 5)
    assert moved(back) == {role: -amount for role, amount in moved(real).items()}
    assert await test_fraud.cases(db, state="open") == []
    assert counts(await run(rule_id)) == (7, 0, 0, 0, 0)


async def test_what_is_nobodys_or_has_ended_is_not_looked_at(
    db: pg.Db, text: str, run: Run
) -> None:
    await apply(db, report("nobodys"), report(click_id=text))
    await apply(db, report(click_id=text, status="reversed"))
    rule_id = await test_fraud.add(db, Amount(of="commission", above_minor=0))
    assert counts(await run(rule_id)) == (2, 0, 0, 0, 0)
    assert await reviews(db) == [None, None]


async def test_it_is_worked_on_by_one_at_a_time(db: pg.Db, pool: pg.Pool) -> None:
    new = reclassifications.New(
        id="rcl_1", rule=None, condition=ALL, action="hold", since=NOW, until=NOW + MS,
        is_dry_run=True,
    )  # fmt: skip
    await reclassifications.add(db, PROGRAM, new, "opr_1", NOW)
    async with pool.acquire() as other, pool.acquire() as third:
        async with db.transaction():
            job = await reclassifications.to_do(db, "rcl_1")
            assert job is not None
            later = asyncio.create_task(reclassifications.to_do(other, "rcl_1"))
            await until_waiting(third)
            await reclassifications.step(db, RING, job, OPERATOR)
        assert await later is None


async def test_a_batch_waits_for_what_its_network_reports(
    db: pg.Db, pool: pg.Pool, text: str, run: Run
) -> None:
    rule_id = await test_fraud.add(db, NONE)
    await put(db, rule_id, ALL)
    async with pool.acquire() as other, pool.acquire() as third:
        async with other.transaction():
            await networks.lock(other, PROGRAM, NETWORK)
            running = asyncio.ensure_future(run(rule_id))
            await until_waiting(third)
            account = await networks.get(other, PROGRAM, NETWORK)
            await stored.apply(other, RING, account, [Item(report(click_id=text))], base.ACT)
        done = await running
    assert done.looked_at == 1


async def test_a_rule_that_becomes_stricter_and_milder_is_followed(
    db: pg.Db, text: str, run: Run
) -> None:
    rule_id = await test_fraud.add(db, ALL)
    await apply(db, report(click_id=text))
    assert await roles(db) == HELD
    steps: list[tuple[Action, dict[str, int], str]] = [
        ("reject", KEPT, "rejected"),
        ("hold", HELD, "open"),
        ("reject", KEPT, "rejected"),
        ("flag", GIVEN, "open"),
    ]
    for action, money, state in steps:
        await put(db, rule_id, ALL, action)
        dry = await run(rule_id, is_dry=True)
        real = await run(rule_id)
        assert (dry.difference, counts(dry)) == (real.difference, counts(real))
        assert moved(await run(rule_id)) == {}
        assert await roles(db) == money
        [case] = await test_fraud.cases(db)
        assert case.state == state
    assert await apply(db, report(click_id=text, status="settled")) == ["updated"]
    assert await roles(db) == {"settled": -200, "available": 100, "margin": 100}


async def test_what_a_person_decided_stays(db: pg.Db, text: str, run: Run) -> None:
    rule_id = await test_fraud.add(db, ALL)
    await apply(db, report("t1", click_id=text), report("t2", click_id=text))
    one, other = await test_fraud.cases(db)
    await test_fraud.decide(db, one, "release")
    await test_fraud.decide(db, other, "reject")
    before = await roles(db)
    for condition, action in ((ALL, "reject"), (NONE, "hold")):
        await put(db, rule_id, condition, action)  # type: ignore[arg-type]  # words of a loop
        assert counts(await run(rule_id)) == (2, 0, 0, 0, 0)
    strict = await test_fraud.add(db, ALL, "reject")
    assert counts(await run(strict)) == (2, 0, 0, 1, 0)
    assert await roles(db) != before
    assert await roles(db) == {"receivable": -400, "margin": 400}


async def test_no_other_rule_holds_what_a_person_has_rejected(
    db: pg.Db, text: str, run: Run
) -> None:
    await test_fraud.add(db, ALL)
    await apply(db, report(click_id=text))
    [case] = await test_fraud.cases(db)
    await test_fraud.decide(db, case, "reject")
    assert counts(await run(await test_fraud.add(db, ALL))) == (1, 0, 0, 0, 0)
    [case] = await test_fraud.cases(db)
    assert (case.state, len(case.hits), await roles(db)) == ("rejected", 1, KEPT)


async def test_only_what_counted_is_taken_back_and_once(db: pg.Db, text: str, run: Run) -> None:
    rule_id = await test_fraud.add(db, ALL, is_shadow=True)
    await apply(db, report(click_id=text))
    later = OPERATOR._replace(at=OPERATOR.at + MS)
    for act in (OPERATOR, later):
        await put(db, rule_id, ALL)
        assert counts(await run(rule_id, act=act)) == (1, 0, 1, 0, 0)
        await put(db, rule_id, NONE)
        assert counts(await run(rule_id, act=act)) == (1, 0, 0, 0, 1)
    hits = await db.fetch("SELECT rule_version, withdrawn_at FROM fraud_hit ORDER BY 1")
    assert [tuple(row) for row in hits] == [(1, None), (2, OPERATOR.at), (4, later.at)]


async def test_what_another_rule_holds_stays_held(db: pg.Db, text: str, run: Run) -> None:
    rule_id, _ = await test_fraud.add(db, ALL), await test_fraud.add(db, ALL)
    await apply(db, report(click_id=text))
    await put(db, rule_id, NONE)
    assert counts(await run(rule_id)) == (1, 0, 0, 0, 0)
    assert await roles(db) == HELD
    [case] = await test_fraud.cases(db, state="open")
    assert sorted(hit.withdrawn_at is None for hit in case.hits) == [False, True]


async def test_only_the_span_is_looked_at_and_a_rule_can_be_tried_unstored(
    db: pg.Db, text: str, run: Run
) -> None:
    for number in range(3):
        act = base.ACT._replace(at=NOW + number * MS)
        await apply(db, report(f"t{number}", click_id=text), act=act)
    few = await run(is_dry=True, since=NOW + MS, until=NOW + 2 * MS)
    assert counts(few) == (1, 0, 1, 0, 0)
    quick = MemberVelocity(most=1, window_s=60)
    many = await run(is_dry=True, until=NOW + 3 * MS, condition=quick)
    assert counts(many) == (3, 0, 2, 0, 0)
    assert await reviews(db) == [None] * 3
    assert await fraud_cases.page(db, PROGRAM, before="", limit=9, wanted=Wanted()) == []
    assert moved(many) == {"available": -200, "review": 200, "margin": -200, "expected": 200}


async def test_without_a_network_there_is_nothing_to_look_at(db: pg.Db, run: Run) -> None:
    await test_fraud.another_program(db)
    await db.execute("UPDATE network SET program_id = 'prg_2'")
    assert counts(await run(is_dry=True)) == (0, 0, 0, 0, 0)


async def test_a_rule_joins_the_case_that_another_rule_has_rejected(
    db: pg.Db, text: str, run: Run
) -> None:
    strict = await test_fraud.add(db, ALL, "reject")
    await apply(db, report(click_id=text))
    milder = await test_fraud.add(db, ALL)
    assert counts(await run(milder)) == (1, 0, 0, 0, 0)
    [case] = await test_fraud.cases(db)
    assert (case.state, len(case.hits), await roles(db)) == ("rejected", 2, KEPT)
    await put(db, strict, NONE)
    assert counts(await run(strict)) == (1, 0, 1, 0, 0)
    await put(db, strict, ALL, "reject")
    assert counts(await run(strict)) == (1, 0, 0, 1, 0)
    assert (await test_fraud.decide(db, case, "release")).review == "released"
    assert (len(await test_fraud.cases(db)), await roles(db)) == (1, GIVEN)
    assert counts(await run(milder)) == (1, 0, 0, 0, 0)


@pytest.mark.parametrize("place", [0, 1])
async def test_whoever_decides_decides_all_cases_of_a_conversion(
    db: pg.Db, text: str, *, place: int
) -> None:
    await test_fraud.add(db, ALL, "reject")
    await apply(db, report(click_id=text))
    await db.execute(DOUBLE, "frc_z")
    await test_fraud.decide(db, (await test_fraud.cases(db))[place], "release")
    assert [one.state for one in await test_fraud.cases(db)] == ["released", "released"]
    assert await roles(db) == GIVEN


@pytest.mark.parametrize("older", ["frc_0", "frc_z"])
async def test_beside_an_older_open_case_a_rule_joins_the_one_that_rejects(
    db: pg.Db, text: str, run: Run, older: str
) -> None:
    strict = await test_fraud.add(db, ALL, "reject")
    await apply(db, report(click_id=text))
    await db.execute(DOUBLE, older)
    milder = await test_fraud.add(db, ALL)
    assert counts(await run(milder)) == (1, 0, 0, 0, 0)
    [rejected] = await test_fraud.cases(db, state="rejected")
    assert (len(rejected.hits), await roles(db)) == (2, KEPT)
    for rule_id, expected, money in ((strict, "held", HELD), (milder, "released", GIVEN)):
        await put(db, rule_id, NONE)
        dry, real = await run(rule_id, is_dry=True), await run(rule_id)
        assert (counts(dry), dry.difference) == (counts(real), real.difference)
        assert (await reviews(db), await roles(db)) == ([expected], money)
        assert moved(await run(rule_id)) == {}
        # What is left is in the older one, until nothing is.
        left = await test_fraud.cases(db, state="open")
        standing = [[hit.rule for hit in one.hits if hit.withdrawn_at is None] for one in left]
        assert standing == ([[milder]] if expected == "held" else [])


@pytest.mark.parametrize("older", ["frc_0", "frc_z"])
async def test_what_a_person_decides_about_an_older_case_stays(
    db: pg.Db, text: str, run: Run, older: str
) -> None:
    rule_id = await test_fraud.add(db, ALL, "reject")
    await apply(db, report(click_id=text))
    await db.execute(DOUBLE, older)
    await put(db, rule_id, ALL, "hold")
    assert counts(await run(rule_id)) == (1, 0, 1, 0, 0)
    [case] = await test_fraud.cases(db, state="open")
    assert [hit.rule for hit in case.hits if hit.withdrawn_at is None] == [rule_id]
    await test_fraud.decide(db, case, "release")
    await put(db, rule_id, ALL, "reject")
    assert counts(await run(rule_id)) == (1, 0, 0, 0, 0)
    assert await roles(db) == GIVEN


# As cases were opened before rules joined what another one has rejected.
DOUBLE: Final = """
INSERT INTO fraud_case (id, program_id, conversion_id, state, version, cashback_minor, opened_at)
SELECT $1, program_id, conversion_id, 'open', 1, 100, opened_at FROM fraud_case
"""
