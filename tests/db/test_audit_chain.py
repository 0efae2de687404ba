"""Chains in PostgreSQL: sealed without making writers wait, and checked against the one who owns
the tables."""

from __future__ import annotations

import asyncio
import datetime as dt
import time
from collections.abc import AsyncIterator

import asyncpg
import pytest

from core import keyring
from db import audit, audit_chain, pg
from db.audit_chain import Report
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM
from tests.db.test_audit import entry

ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(keyring.KEY_BYTES))
DAY_MS = 86_400_000
COUNT = 8


@pytest.fixture
async def owner(database: DatabaseUrls) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """Who may do everything to the tables, and has no key."""
    connection = await asyncpg.connect(database.migrate)
    await connection.execute("ALTER TABLE audit_entry DISABLE TRIGGER USER")
    for name in await partitions(connection):
        await connection.execute(f"ALTER TABLE {name} DISABLE TRIGGER USER")
    yield connection
    await connection.close()


async def partitions(db: pg.Db) -> list[str]:
    rows = await db.fetch(
        "SELECT inhrelid::regclass::text FROM pg_inherits"
        " WHERE inhparent = 'audit_entry'::regclass ORDER BY 1"
    )
    return [str(row[0]) for row in rows]


async def fill(db: pg.Db, count: int = COUNT, **changes: object) -> None:
    for number in range(count):
        await audit.add(db, RING, entry(object_id=f"lnk_{number}", **changes))


async def seal(db: pg.Db, ring: keyring.KeyRing = RING) -> audit_chain.Sealed:
    async with db.transaction():
        return await audit_chain.seal(db, ring)


async def check(
    db: pg.Db, program_id: str = PROGRAM, *, ring: keyring.KeyRing = RING, after: int = 0,
    limit: int | None = None, kept: str = "",
) -> Report:  # fmt: skip
    heads = [audit_chain.parse_head(kept)] if kept else []
    async with db.transaction(isolation="repeatable_read", readonly=True):
        return await audit_chain.verify(db, ring, program_id, after=after, limit=limit, kept=heads)


def kinds(report: Report) -> set[str]:
    assert report.is_whole == (not report.problems)
    return {problem.kind for problem in report.problems}


async def test_entries_get_their_places_chain_by_chain(db: pg.Db) -> None:
    await fill(db)
    await fill(db, 3, program_id=None)
    assert kinds(await check(db)) == set()
    assert (await check(db)).unsealed == COUNT
    sealed = await seal(db)
    assert sealed.entries == COUNT + 3
    assert {name: head.position for name, head in sealed.after.items()} == {PROGRAM: COUNT, "": 3}
    assert (await seal(db)).entries == 0
    report = await check(db)
    assert (report.checked, report.unsealed, report.is_whole) == (COUNT, 0, True)
    assert (report.position, report.digest) == (COUNT, sealed.after[PROGRAM].digest.hex())
    assert (await check(db, "")).checked == 3
    assert (await check(db, "prg_unknown")).is_whole
    assert await audit_chain.names(db) == ["", PROGRAM]
    assert await audit_chain.length(db, PROGRAM, 2) == COUNT - 2


async def test_one_sealer_works_at_a_time(db: pg.Db, pool: pg.Pool) -> None:
    await fill(db)
    async with pool.acquire() as second, second.transaction():
        assert (await audit_chain.seal(second, RING)).entries == COUNT
        assert (await seal(db)).entries == 0
    assert (await check(db)).position == COUNT


async def test_writers_do_not_wait_for_each_other_nor_for_the_sealer(
    database: DatabaseUrls, db: pg.Db
) -> None:
    """Twenty transactions of one program, all written and none committed; then all commit."""
    await fill(db)
    others = [await asyncpg.connect(database.app) for _ in range(20)]
    transactions = [other.transaction() for other in others]
    started = time.monotonic()
    sealing = db.transaction()
    await sealing.start()
    assert (await audit_chain.seal(db, RING)).entries == COUNT
    async with asyncio.timeout(20):
        for other, transaction in zip(others, transactions, strict=True):
            await transaction.start()
            await other.execute("SET LOCAL lock_timeout = '1s'")
            await audit.add(other, RING, entry())
        for transaction in reversed(transactions):
            await transaction.commit()
    assert time.monotonic() - started < 20
    await sealing.commit()
    for other in others:
        await other.close()
    # What was begun before others were sealed and committed after is not passed over.
    assert (await seal(db)).entries == 20
    report = await check(db)
    assert (report.checked, report.is_whole) == (COUNT + 20, True)


async def test_what_was_rolled_back_leaves_no_gap(db: pg.Db) -> None:
    await fill(db)
    transaction = db.transaction()
    await transaction.start()
    await audit.add(db, RING, entry())
    await transaction.rollback()
    await fill(db)
    await seal(db)
    assert (await check(db)).position == 2 * COUNT


MOVE = """
UPDATE audit_entry AS a SET position = b.position, digest = b.digest FROM audit_entry AS b
 WHERE (a.position, b.position) IN ((3, 4), (4, 3))
"""
FORGE = """
INSERT INTO audit_entry SELECT 'aud_forged', at, program_id, 'opr_9', actor_role, action, object_id,
       before, after, address, request_id, key, proof, position + {}, digest, is_proven
  FROM audit_entry WHERE position = 3
"""


@pytest.mark.parametrize(
    ("harm", "shows"),
    [
        ("DELETE FROM audit_entry WHERE position = 1", {"missing"}),
        (f"DELETE FROM audit_entry WHERE position = {COUNT}", {"missing"}),
        ("DELETE FROM audit_entry WHERE position = 4", {"missing"}),
        ("DELETE FROM audit_entry", {"missing"}),
        ("UPDATE audit_entry SET actor = 'opr_2' WHERE position = 4", {"changed"}),
        ("UPDATE audit_entry SET after = '{\"cap\":null}' WHERE position = 4", {"changed"}),
        ("UPDATE audit_entry SET at = at + interval '1 us' WHERE position = 4", {"changed"}),
        (MOVE, {"moved"}),
        (FORGE.format(0), {"changed"}),
        ("UPDATE audit_entry SET position = position + 1 WHERE position > 3", {"missing", "head"}),
        ("UPDATE audit_chain SET position = position - 1", {"head", "seal"}),
        ("UPDATE audit_chain SET cut_position = 2", {"moved", "seal"}),
        ("DELETE FROM audit_chain", {"head"}),
    ],
)  # fmt: skip
async def test_what_the_owner_of_the_tables_does_shows(
    db: pg.Db, owner: asyncpg.Connection[asyncpg.Record], harm: str, shows: set[str]
) -> None:
    await fill(db)
    await seal(db)
    await owner.execute(harm)
    found = kinds(await check(db))
    assert shows <= found
    # What comes after does not cover it up.
    await fill(db)
    await seal(db)
    assert kinds(await check(db))


async def test_an_entry_that_the_owner_writes_has_no_proof(
    db: pg.Db, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await fill(db)
    await seal(db)
    await owner.execute(
        "INSERT INTO audit_entry SELECT 'aud_forged', now(), program_id, 'opr_9', actor_role,"
        " action, object_id, before, after, address, request_id, key, proof"
        "  FROM audit_entry WHERE position = 3"
    )
    assert kinds(await check(db)) == {"changed"}
    assert (await seal(db)).entries == 1
    report = await check(db)
    assert [(one.kind, one.entry_id) for one in report.problems] == [("changed", "aud_forged")]


async def test_a_chain_that_was_set_back_lacks_the_head_that_was_kept(
    db: pg.Db, owner: asyncpg.Connection[asyncpg.Record]
) -> None:
    await fill(db)
    await seal(db)
    await owner.execute("CREATE TABLE copy AS SELECT * FROM audit_chain")
    await fill(db)
    kept = (await seal(db)).after[PROGRAM]
    text = f"{kept.position}:{kept.digest.hex()}"
    assert (await check(db, kept=text)).is_whole
    assert await audit_chain.has(db, kept, audit_chain.parse_head(text))
    await owner.execute(f"DELETE FROM audit_entry WHERE position > {COUNT}")
    await owner.execute("UPDATE audit_chain SET position = c.position, digest = c.digest,"
                        " seal = c.seal FROM copy c")  # fmt: skip
    assert (await check(db)).is_whole  # nothing in PostgreSQL is wrong
    assert kinds(await check(db, kept=text)) == {"head"}
    await fill(db, 2 * COUNT)
    again = (await seal(db)).after[PROGRAM]
    assert kinds(await check(db, kept=text)) == {"head"}
    assert not await audit_chain.has(db, again, audit_chain.parse_head(text))


async def test_a_long_chain_is_checked_in_parts(db: pg.Db) -> None:
    await fill(db)
    await seal(db)
    await fill(db, 1)
    after, checked = 0, []
    while True:
        report = await check(db, after=after, limit=3)
        assert report.is_whole
        checked.append(report.checked)
        if report.next_after is None:
            break
        after = report.next_after
    assert checked == [3, 3, 3]
    assert report.unsealed == 1


async def test_a_rotated_key_seals_anew_and_the_old_one_may_go(db: pg.Db) -> None:
    await fill(db)
    await seal(db)
    assert await audit_chain.uses(db, RING.active_field)
    await fill(db, 1, program_id=None)
    await seal(db, ROTATED)
    assert not await audit_chain.uses(db, RING.active_field)
    retired = keyring.retire(ROTATED, "field", RING.active_field)
    assert (await check(db, ring=retired)).is_whole
    assert (await check(db, "", ring=retired)).is_whole
    # Not before it was sealed anew.
    await fill(db, 1)
    assert await audit_chain.uses(db, RING.active_field)


def months_ago(count: int) -> int:
    return int(time.time() * 1000) - count * 31 * DAY_MS


async def keep(db: pg.Db, days: int) -> None:
    today = dt.datetime.now(dt.UTC).date()
    async with db.transaction():
        await audit_chain.keep_partitions(db, RING, today, months_ahead=2, retention_days=days)


async def test_months_past_retention_are_cut_off_and_the_rest_still_hangs_together(
    db: pg.Db,
) -> None:
    for age in (30, 20, 3, 0):
        await fill(db, 5, at_ms=months_ago(age))
        await fill(db, 1, at_ms=months_ago(age), program_id=None)
        await seal(db)
    await keep(db, 10_000)
    strays = "SELECT count(*) FROM audit_entry WHERE tableoid = 'audit_entry_default'::regclass"
    assert await db.fetchval(strays) == 0
    assert (await check(db)).checked == 20
    before = await partitions(db)
    await keep(db, 15 * 31)
    gone = set(before) - set(await partitions(db))
    assert len(gone) == 2
    report = await check(db)
    assert (report.checked, report.position, report.is_whole) == (10, 20, True)
    assert (await check(db, "")).checked == 2
    # All of a chain may go; it goes on from where it was.
    await keep(db, 15 * 31)
    await fill(db, 5)
    await seal(db)
    assert (await check(db)).position == 25


async def test_a_month_is_kept_until_all_of_it_is_sealed(db: pg.Db) -> None:
    await fill(db, 3, at_ms=months_ago(30))
    await keep(db, 400)
    assert await db.fetchval("SELECT count(*) FROM audit_entry") == 3
    await seal(db)
    await keep(db, 400)
    assert await db.fetchval("SELECT count(*) FROM audit_entry") == 0
    report = await check(db)
    assert (report.checked, report.position, report.is_whole) == (0, 3, True)


async def test_the_partitions_of_the_months_to_come_are_there(db: pg.Db) -> None:
    await keep(db, 400)
    month = dt.datetime.now(dt.UTC).date().replace(day=1)
    names = []
    for _ in range(3):
        names.append(f"audit_entry_{month:%Y%m}")
        month = (month + dt.timedelta(days=32)).replace(day=1)
    assert set(names) <= set(await partitions(db))
    waiting = await audit_chain.waiting(db)
    assert (waiting.entries, waiting.oldest_s) == (0, 0)
