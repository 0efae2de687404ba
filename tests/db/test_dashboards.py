"""How a program is doing: what counts, from which moment on, and by which indexes it is found."""

from __future__ import annotations

import datetime as dt
import itertools
import re
from typing import Final

import asyncpg
import pytest

from core import events
from core.ledger import Type
from core.programs import ProgramSettings, UnitRules
from db import budgets, dashboards, ledger, members, pg, programs
from db.dashboards import Metrics, UnitMetrics
from db.members import NewMember
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM

NOW: Final = dt.datetime(2026, 1, 15, 12, tzinfo=dt.UTC)
SINCE: Final = dt.datetime(2025, 12, 16, tzinfo=dt.UTC)
BEFORE: Final = SINCE - dt.timedelta(milliseconds=1)
OTHER: Final = "prg_01h455vb4pex5vsknk084sn02r"
BUDGET: Final = ProgramSettings(points=UnitRules(budget=100))
LOWERED: Final = ProgramSettings(points=UnitRules(budget=10))
_numbers: Final = itertools.count(1)


def happened(
    kind: Type, member: str, at: dt.datetime, amount: int, unit: str = "p", program: str = PROGRAM
) -> ledger.Placed:
    ms = (at - dt.datetime(1970, 1, 1, tzinfo=dt.UTC)) // dt.timedelta(milliseconds=1)
    facts = events.PointsFacts(kind, "test", "", b"", None, None, ms, ms, "1-1", None)
    event = events.PointsEvent(amount, amount, 0, f"{program}:{member}:{unit}", facts)
    return ledger.Placed(3, 1, next(_numbers), event)


@pytest.fixture
async def lived(db: pg.Db, database: DatabaseUrls) -> None:
    """Members of two programs, and a month of theirs."""
    await programs.add(
        db, OTHER, name="Tea", currency="INR", time_zone="UTC", settings=ProgramSettings()
    )
    for name in ("old", "new", "both", "never", "gone"):
        await members.add(db, RING, PROGRAM, name, NewMember())
    await members.add(db, RING, OTHER, "stranger", NewMember())
    await db.execute("UPDATE member SET created_at = $1 WHERE id <> 'never'", BEFORE)
    await db.execute("UPDATE member SET created_at = $1 WHERE id = 'never'", SINCE)
    await members.delete(db, PROGRAM, "gone")
    flusher = await asyncpg.connect(database.flush)
    await ledger.Book().post(
        flusher,
        [
            happened("award", "old", BEFORE, 1_000),
            happened("award", "both", BEFORE, 1_000, "s"),
            happened("award", "new", SINCE, 5),
            happened("award", "both", NOW, 7),
            happened("award", "both", NOW, 2, "s"),
            happened("award", "gone", NOW, 11),
            happened("award", "stranger", NOW, 1_000, program=OTHER),
            happened("reversal", "new", NOW, 3),
            happened("spend", "old", NOW, 20),
            happened("capture", "old", NOW, 4),
            happened("spend", "old", BEFORE, 1_000),
        ],
    )
    await flusher.executemany(
        "INSERT INTO click_daily VALUES ($1, $2, $3, 'desktop', 'IN', '', $4, $5)",
        [
            ("lnk_1", BEFORE.date(), 0, PROGRAM, 1_000),
            ("lnk_1", SINCE.date(), 0, PROGRAM, 6),
            ("lnk_2", NOW.date(), 2, PROGRAM, 3),
            ("lnk_3", NOW.date(), 0, OTHER, 1_000),
        ],
    )
    await flusher.close()


async def read(
    db: pg.Db, program_id: str = PROGRAM, unspent: dict[str, int] | None = None
) -> Metrics:
    async with db.transaction():
        return await dashboards.read(db, program_id, NOW, unspent)


async def test_the_numbers_are_those_of_the_program_and_of_the_period(
    db: pg.Db, lived: None
) -> None:
    assert await read(db) == Metrics(
        since=SINCE,
        as_of=NOW,
        members=4,
        new_members=1,
        active_members=2,
        at_risk_members=1,
        retention_percent=66,
        points=UnitMetrics(awards=3, awarded=23, taken_back=3, spent=24, budget_left=None),
        stamps=UnitMetrics(awards=1, awarded=2, taken_back=0, spent=0, budget_left=None),
        clicks=9,
        human_clicks=6,
    )


async def test_a_program_without_members_has_no_retention(db: pg.Db) -> None:
    found = await read(db)
    assert (found.members, found.active_members, found.at_risk_members) == (0, 0, 0)
    assert found.retention_percent is None


async def test_of_a_budget_that_is_left_which_no_award_has_used(db: pg.Db) -> None:
    left = []
    for settings, is_leased in ((BUDGET, False), (BUDGET, True), (LOWERED, False)):
        await programs.change(db, PROGRAM, {"settings": settings})
        if is_leased:
            async with db.transaction():
                await budgets.lease(db, PROGRAM, "points", 3, total=100, wanted=30)
        unspent = {"points": 12 if settings is LOWERED or is_leased else 0, "stamps": 0}
        left.append((await read(db, unspent=unspent)).points.budget_left)
    assert left == [100, 82, 0]
    assert (await read(db, unspent={"points": 12, "stamps": 0})).stamps.budget_left is None
    assert (await read(db)).points.budget_left is None, "Redis knows, and is away"


INDEXES: Final = {
    "MEMBERS": ("member_(by_program|external_id_is_unique)",),
    "ACTIVITY": ("account_is_unique", "ledger_transaction_by_(member|time)"),
    "EVENTS": ("ledger_transaction_by_(member|time)",),
    "CLICKS": ("click_daily_by_program",),
    "LEASED": ("budget_pkey",),
}


@pytest.mark.parametrize(("name", "indexes"), INDEXES.items(), ids=INDEXES)
async def test_no_table_is_read_whole(db: pg.Db, name: str, indexes: tuple[str, ...]) -> None:
    """Where there is a better way, as the planner says when it shall not do so."""
    statement = str(getattr(dashboards, name))
    values = f"'{PROGRAM}'" + (", '2026-01-15'" if "$2" in statement else "")
    await db.execute(f"SET enable_seqscan = off; PREPARE looked_at AS {statement}")
    rows = await db.fetch(f"EXPLAIN EXECUTE looked_at ({values})")
    plan = "\n".join(row[0] for row in rows)
    assert "Seq Scan" not in plan
    assert [index for index in indexes if not re.search(rf"\b{index}\b", plan)] == [], plan
