"""Withdrawals in PostgreSQL: many at once, each step with its money."""

from __future__ import annotations

import asyncio
import datetime as dt

import asyncpg
import pytest

from core import errors, wallet
from core.payout_methods import Upi
from core.providers.payouts.protocol import Event, News
from core.wallet import Account
from core.withdrawals import Step
from db import members, money, payouts, pg, wallets, withdrawals
from db.withdrawals import Act, New, Withdrawal
from tests.conftest import RING
from tests.db.conftest import PROGRAM, until_waiting

MEMBER = "mem_1"
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
ACT = Act(by="opr_1", at=NOW)


@pytest.fixture(autouse=True)
async def member(db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())


async def credit(db: pg.Db, amount_minor: int, number: int = 1) -> None:
    legs = {
        Account("receivable", "INR", network_id="net_1"): -amount_minor,
        Account("available", "INR", MEMBER): amount_minor,
    }
    made = money.Transaction(
        *(f"mtx_credit{number}", "cashback", f"cnv_{number}", 1, MEMBER, None, "test", NOW),
        wallet.postings(legs),
    )
    async with db.transaction():
        await money.post(db, await money.lock(db, PROGRAM, legs), [made])


def new(number: int, amount_minor: int = 100) -> New:
    return New(
        id=f"wdr_{number}",
        program_id=PROGRAM,
        member_id=MEMBER,
        amount_minor=amount_minor,
        currency="INR",
        details=Upi(vpa="asha@okbank", name="Asha"),
        language="en",
    )


async def request(db: pg.Db, number: int, amount_minor: int = 100) -> Withdrawal:
    async with db.transaction():
        return await withdrawals.request(db, RING, new(number, amount_minor), ACT)


async def take(db: pg.Db, number: int, step: Step, act: Act = ACT) -> Withdrawal:
    async with db.transaction():
        before = await withdrawals.lock(db, RING, PROGRAM, f"wdr_{number}")
        return await withdrawals.take(db, RING, before, step, act)


async def roles(db: pg.Db) -> dict[str, int]:
    return {total.role: total.total_minor for total in await money.totals(db, PROGRAM)}


async def test_a_request_holds_the_money(db: pg.Db) -> None:
    await credit(db, 250)
    made = await request(db, 1)
    assert (made.state, made.version, made.destination) == ("requested", 1, new(1).details)
    assert await money.balances(db, PROGRAM, MEMBER) == {
        ("INR", "available"): 150,
        ("INR", "held"): 100,
    }
    assert await money.check(db) == []


async def test_many_requests_at_once_never_take_more_than_there_is(
    db: pg.Db, pool: pg.Pool
) -> None:
    await credit(db, 450)

    async def ask(number: int) -> bool:
        async with pool.acquire() as own:
            try:
                await request(own, number)
            except errors.InsufficientBalance:
                return False
            return True

    outcomes = await asyncio.gather(*(ask(number) for number in range(20)))
    assert sum(outcomes) == 4
    assert await money.balances(db, PROGRAM, MEMBER) == {
        ("INR", "available"): 50,
        ("INR", "held"): 400,
    }
    assert await db.fetchval("SELECT count(*) FROM withdrawal") == 4
    assert await money.check(db) == []


async def test_of_many_deciders_at_once_one_decides(db: pg.Db, pool: pg.Pool) -> None:
    await credit(db, 100)
    await request(db, 1)
    steps: list[Step] = ["approve", "reject", "cancel"] * 5

    async def decide(step: Step) -> bool:
        async with pool.acquire() as own:
            try:
                await take(own, 1, step)
            except errors.WithdrawalNotOpen:
                return False
            return True

    outcomes = await asyncio.gather(*map(decide, steps))
    # An approved one may still be rejected.
    assert sum(outcomes) in {1, 2}
    found = await withdrawals.get(db, RING, PROGRAM, "wdr_1")
    assert (await roles(db))["held"] == (100 if found.state == "approved" else 0)
    assert await money.check(db) == []


async def test_it_is_completed_once_by_whoever_comes_first(db: pg.Db, pool: pg.Pool) -> None:
    await credit(db, 100)
    await request(db, 1)
    await take(db, 1, "approve")

    async def complete(number: int) -> bool:
        async with pool.acquire() as own:
            try:
                await take(own, 1, "complete", Act(by="opr_1", at=NOW, utr=f"UTR{number}"))
            except errors.WithdrawalNotOpen:
                return False
            return True

    assert sum(await asyncio.gather(*map(complete, range(8)))) == 1
    assert (await roles(db))["paid_out"] == 100
    assert await money.check(db) == []


@pytest.mark.parametrize(
    ("steps", "available", "held", "paid_out"),
    [
        (["cancel"], 100, 0, 0),
        (["reject"], 100, 0, 0),
        (["approve", "reject"], 100, 0, 0),
        (["approve", "complete"], 0, 0, 100),
        (["approve", "complete", "reverse"], 100, 0, 0),
        (["approve", "send"], 0, 100, 0),
        (["approve", "send", "fail"], 100, 0, 0),
        (["approve", "send", "settle"], 0, 0, 100),
        (["approve", "send", "settle", "reverse"], 100, 0, 0),
    ],
)
async def test_each_way_leaves_the_money_where_it_belongs(
    db: pg.Db, steps: list[Step], available: int, held: int, paid_out: int
) -> None:
    await credit(db, 100)
    await request(db, 1)
    for step in steps:
        await take(db, 1, step, Act(by="opr_1", at=NOW, provider="razorpayx", utr="UTR1"))
    found = await roles(db)
    assert (found["available"], found["held"], found["paid_out"]) == (available, held, paid_out)
    assert await money.check(db) == []
    (purse,) = await wallets.purses(db, PROGRAM, MEMBER, "INR")
    assert purse.lifetime_minor == 100
    # What moves nothing is no transaction.
    moved = "SELECT count(DISTINCT transaction_id) FROM money_posting"
    count = "SELECT count(*) FROM money_transaction"
    assert await db.fetchval(moved) == await db.fetchval(count)


async def test_a_step_that_fails_leaves_nothing(db: pg.Db) -> None:
    await credit(db, 100)
    await request(db, 1)
    with pytest.raises(errors.WithdrawalNotOpen):
        await take(db, 1, "complete")
    with pytest.raises(asyncpg.CheckViolationError):
        await db.execute("UPDATE withdrawal SET state = 'paid'")
    assert (await withdrawals.get(db, RING, PROGRAM, "wdr_1")).state == "requested"


async def test_what_has_ended_is_not_approved_by_a_first_one_either(db: pg.Db) -> None:
    await credit(db, 100)
    await request(db, 1)
    ended = await take(db, 1, "cancel")
    with pytest.raises(errors.WithdrawalNotOpen):
        await withdrawals.approve_first(db, ended, ACT)


async def test_where_it_goes_is_not_readable_in_the_database(db: pg.Db) -> None:
    await credit(db, 100)
    await request(db, 1)
    row = await db.fetchval("SELECT withdrawal::text FROM withdrawal")
    assert "okbank" not in row
    assert b"okbank" not in await db.fetchval("SELECT destination FROM withdrawal")


async def test_a_statement_is_read_in_pages_and_each_line_follows_the_one_before(
    db: pg.Db,
) -> None:
    for number in range(5):
        await credit(db, 10, number)
    await request(db, 1, 30)
    found: list[wallets.WalletLine] = []
    before = wallets.Place()
    while page := await wallets.statement(
        db, PROGRAM, MEMBER, "available", "INR", before=before, limit=2
    ):
        found += page
        transaction_id, _, ordinal = page[-1].id.partition(".")
        before = wallets.Place(transaction_id, int(ordinal))
    assert len(found) == 6
    assert {line.amount_minor for line in found} == {10, -30}


async def under_way(db: pg.Db) -> None:
    """A withdrawal that a provider was told to pay."""
    await credit(db, 100)
    await request(db, 1)
    await take(db, 1, "approve", Act(by="opr_1", at=NOW, provider="razorpayx"))
    await take(db, 1, "send")


async def called(db: pg.Db, number: int) -> str:
    """The provider says in a call of its own that it has paid."""
    event = Event(f"evt_{number}", News(id="wdr_1", state="paid", utr="UTR123"))
    heard = await payouts.called(db, RING, "razorpayx", event, b"{}", NOW)
    assert heard is not None
    return heard.outcome


async def test_of_two_words_at_once_the_second_waits_for_the_first(
    db: pg.Db, pool: pg.Pool
) -> None:
    await under_way(db)
    async with pool.acquire() as other, pool.acquire() as third:

        async def later() -> str:
            async with other.transaction():
                return await called(other, 2)

        async with db.transaction():
            assert await called(db, 1) == "applied"
            waiting = asyncio.create_task(later())
            await until_waiting(third)
        assert await waiting == "nothing_new"
    assert (await roles(db))["paid_out"] == 100
    assert await money.check(db) == []


@pytest.mark.parametrize("told", [{"id": "wdr_2"}, {"provider": "cashfree-payouts"}])
async def test_a_word_about_another_payout_is_not_ours(db: pg.Db, told: dict[str, str]) -> None:
    await under_way(db)
    said = {"id": "wdr_1", "provider": "razorpayx"} | told
    async with db.transaction():
        before = await withdrawals.lock(db, RING, PROGRAM, "wdr_1")
        news = News(id=said["id"], state="paid")
        outcome, after = await payouts.hear(db, RING, before, said["provider"], news, NOW)
    assert (outcome, after) == ("not_ours", before)


async def test_what_the_provider_calls_it_is_noted_once_while_it_is_under_way(db: pg.Db) -> None:
    await under_way(db)
    news = News(id="wdr_1", state="under_way", reference="7")

    async def hear() -> tuple[str, int, str | None]:
        async with db.transaction():
            before = await withdrawals.lock(db, RING, PROGRAM, "wdr_1")
            outcome, after = await payouts.hear(db, RING, before, "razorpayx", news, NOW)
        return outcome, after.version - before.version, after.provider_reference

    assert [await hear(), await hear()] == [("applied", 1, "7"), ("nothing_new", 0, "7")]
    await take(db, 1, "fail")
    await db.execute("UPDATE withdrawal SET provider_reference = NULL")
    assert await hear() == ("nothing_new", 0, None)


async def test_what_the_provider_calls_it_stands_for_a_reference_of_the_bank(db: pg.Db) -> None:
    await under_way(db)
    async with db.transaction():
        before = await withdrawals.lock(db, RING, PROGRAM, "wdr_1")
        news = News(id="wdr_1", state="paid", reference="7")
        _, after = await payouts.hear(db, RING, before, "razorpayx", news, NOW)
    assert (after.state, after.utr) == ("paid", "7")


async def test_what_is_paid_by_hand_is_left_to_the_hand(db: pg.Db) -> None:
    await credit(db, 100)
    await request(db, 1)
    await take(db, 1, "approve")
    await payouts.resume(db, NOW + dt.timedelta(days=1))
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'pay_withdrawal'") == 0
