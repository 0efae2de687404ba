import asyncio
import datetime as dt

import asyncpg
import pytest

from core import wallet
from core.wallet import Account
from db import money, pg
from db.money import Transaction
from deploy.local.postgres import DatabaseUrls
from tests.db.conftest import PROGRAM

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RECEIVABLE = Account("receivable", "INR", network_id="net_1")
AVAILABLE = Account("available", "INR", "mem_1")
HELD = Account("held", "INR", "mem_1")
MARGIN = Account("margin", "INR")


def moving(legs: wallet.Legs, subject: str = "cnv_1", step: int = 1) -> Transaction:
    return Transaction(
        id=f"mtx_{subject}_{step}",
        type="cashback",
        subject=subject,
        step=step,
        member_id="mem_1",
        reason=None,
        recorded_by="test",
        recorded_at=NOW,
        postings=wallet.postings(legs),
    )


async def post(db: pg.Db, *transactions: Transaction) -> None:
    async with db.transaction():
        named = {account for one in transactions for account in wallet.accounts(one.postings)}
        await money.post(db, await money.lock(db, PROGRAM, named), transactions)


async def test_what_moves_shows_in_the_balances(db: pg.Db) -> None:
    await post(db, moving({RECEIVABLE: -1000, AVAILABLE: 700, MARGIN: 300}))
    assert await money.balances(db, PROGRAM, "mem_1") == {("INR", "available"): 700}
    assert await money.totals(db, PROGRAM) == [
        ("INR", "available", 700, 0),
        ("INR", "margin", 300, 0),
        ("INR", "receivable", -1000, -1000),
    ]
    assert await money.check(db) == []


async def test_many_transactions_follow_one_another(db: pg.Db) -> None:
    steps = [moving({RECEIVABLE: -10, AVAILABLE: 10}, step=step) for step in range(1, 4)]
    await post(db, *steps)
    rows = await db.fetch(
        "SELECT source_minor, destination_minor FROM money_posting ORDER BY transaction_id"
    )
    assert [tuple(row) for row in rows] == [(-10, 10), (-20, 20), (-30, 30)]
    assert await money.check(db) == []


async def test_a_step_moves_its_money_once(db: pg.Db) -> None:
    await post(db, moving({RECEIVABLE: -10, AVAILABLE: 10}))
    with pytest.raises(asyncpg.UniqueViolationError):
        await post(db, moving({RECEIVABLE: -10, AVAILABLE: 10})._replace(id="mtx_other"))
    assert await money.balances(db, PROGRAM, "mem_1") == {("INR", "available"): 10}


async def test_available_may_be_below_zero_and_held_may_not(db: pg.Db) -> None:
    await post(db, moving({RECEIVABLE: 10, AVAILABLE: -10}))
    with pytest.raises(asyncpg.CheckViolationError):
        await post(db, moving({RECEIVABLE: 10, HELD: -10}, step=2))
    assert await money.balances(db, PROGRAM, "mem_1") == {("INR", "available"): -10}


async def test_another_program_has_other_accounts(db: pg.Db) -> None:
    await post(db, moving({RECEIVABLE: -10, AVAILABLE: 10}))
    assert await money.balances(db, "prg_other", "mem_1") == {}
    assert await money.totals(db, "prg_other") == []


async def test_many_at_once_neither_wait_for_ever_nor_lose_anything(
    db: pg.Db, pool: pg.Pool
) -> None:
    async def move(number: int) -> None:
        legs = {RECEIVABLE: -1, AVAILABLE: 1} if number % 2 else {AVAILABLE: -2, MARGIN: 2}
        async with pool.acquire() as own:
            await post(own, moving(legs, subject=f"cnv_{number}"))

    await asyncio.gather(*(move(number) for number in range(40)))
    assert await money.balances(db, PROGRAM, "mem_1") == {("INR", "available"): -20}
    assert await money.check(db) == []


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE money_posting SET amount_minor = 1",
        "DELETE FROM money_posting",
        "UPDATE money_transaction SET reason = 'x'",
        "DELETE FROM money_transaction",
        "TRUNCATE money_transaction CASCADE",
    ],
)
async def test_the_ledger_refuses_changes_whoever_asks(
    db: pg.Db, database: DatabaseUrls, change: str
) -> None:
    await post(db, moving({RECEIVABLE: -10, AVAILABLE: 10}))
    owner = await asyncpg.connect(database.migrate)
    with pytest.raises(asyncpg.InsufficientPrivilegeError, match="append-only"):
        await owner.execute(change)
    await owner.close()


async def test_the_check_finds_a_balance_that_nobody_moved(db: pg.Db) -> None:
    await post(db, moving({RECEIVABLE: -10, AVAILABLE: 10}))
    await db.execute("UPDATE money_account SET balance_minor = 11 WHERE role = 'available'")
    assert len(await money.check(db)) == 2
