"""Points and stamps: what is decided for one question after another."""

from __future__ import annotations

import asyncio

import pytest

from core import errors, events
from db import awards, expiry, members, pg, redis
from tests.conftest import RING
from tests.db import accounts
from tests.db.accounts import FREE, MEMBER, NOW_MS, PROGRAM, WHERE, Bank, ask, closing, limited

DAY_MS = 86_400_000
LARGEST = 2**53 - 1


async def test_awards_spends_and_reversals_move_the_balance(bank: Bank) -> None:
    award = await bank.decide(ask("award", 100))
    spend = await bank.decide(ask("spend", 30))
    part = await bank.decide(ask("reverse", 20, related=accounts.name(award), bound=100))
    rest = await bank.decide(ask("reverse", related=accounts.name(award), bound=100))
    assert [one.balance for one in (award, spend, part, rest)] == [100, 70, 50, -30]
    assert [one.amount for one in (award, spend, part, rest)] == [100, 30, 20, 80]
    assert [one.sequence for one in (award, spend, part, rest)] == [1, 2, 3, 4]
    assert await bank.balance() == (-30, 0)
    assert await bank.balance(unit="stamps") == (0, 0)


async def test_a_negative_balance_is_repaid_by_awards_and_bars_spends(bank: Bank) -> None:
    award = await bank.decide(ask("award", 50))
    await bank.decide(ask("spend", 50))
    await bank.decide(ask("reverse", related=accounts.name(award), bound=50))
    for op in ("spend", "hold"):
        with pytest.raises(errors.BalanceNegative, match="-50"):
            await bank.decide(ask(op, 1, expires_in_s=60))
    assert (await bank.decide(ask("award", 51))).balance == 1
    assert (await bank.decide(ask("spend", 1))).balance == 0


async def test_more_than_there_is_is_refused(bank: Bank, connection: redis.Connection) -> None:
    award = await bank.decide(ask("award", 10))
    for op in ("spend", "hold"):
        with pytest.raises(errors.InsufficientBalance, match="10"):
            await bank.decide(ask(op, 11, expires_in_s=60))
    with pytest.raises(errors.ReversalTooLarge, match="10"):
        await bank.decide(ask("reverse", 11, related=accounts.name(award), bound=10))
    await bank.decide(ask("reverse", related=accounts.name(award), bound=10))
    with pytest.raises(errors.ReversalTooLarge, match="0"):
        await bank.decide(ask("reverse", related=accounts.name(award), bound=10))
    assert len(await accounts.written(connection)) == 2


async def test_holds_are_captured_in_part_or_whole_released_and_expire(bank: Bank) -> None:
    await bank.decide(ask("award", 100))
    first, second, third = [await bank.decide(ask("hold", 20, expires_in_s=60)) for _ in range(3)]
    assert await bank.balance() == (40, 60)
    part = await bank.decide(closing("capture", first, 15))
    assert (part.amount, part.remainder, part.balance) == (15, 5, 45)
    assert part.account == events.account_field(PROGRAM, MEMBER, "points")
    whole = await bank.decide(closing("capture", second))
    assert (whole.amount, whole.remainder, whole.balance) == (20, 0, 45)
    given_back = await bank.decide(closing("release", third))
    assert (given_back.amount, given_back.balance) == (20, 65)
    assert await bank.balance() == (65, 0)
    for op in ("capture", "release", "expire"):
        with pytest.raises(errors.HoldNotOpen):
            await bank.decide(closing(op, third))


async def test_a_capture_takes_no_more_than_was_set_aside(bank: Bank) -> None:
    await bank.decide(ask("award", 100))
    hold = await bank.decide(ask("hold", 20, expires_in_s=60))
    with pytest.raises(errors.CaptureTooLarge, match="20"):
        await bank.decide(closing("capture", hold, 21))
    assert await bank.balance() == (80, 20)


async def test_a_hold_past_its_time_can_be_released_but_not_captured(bank: Bank) -> None:
    await bank.decide(ask("award", 100))
    hold = await bank.decide(ask("hold", 20, expires_in_s=60))
    with pytest.raises(errors.HoldNotOpen):
        await bank.decide(closing("capture", hold), NOW_MS + 60_000)
    await bank.decide(closing("release", hold), NOW_MS + 60_000)
    assert await bank.balance() == (100, 0)


async def test_another_programs_hold_is_not_open(bank: Bank) -> None:
    await bank.decide(ask("award", 100))
    hold = await bank.decide(ask("hold", 20, expires_in_s=60))
    for stranger in (FREE._replace(id=PROGRAM[:-1]), FREE._replace(id="prg_other")):
        for op in ("capture", "release"):
            with pytest.raises(errors.HoldNotOpen):
                await bank.decide(closing(op, hold, program=stranger))
    assert await bank.balance() == (80, 20)


async def test_a_deleted_members_holds_close_without_bringing_the_account_back(
    banked: Bank, connection: redis.Connection
) -> None:
    await banked.decide(ask("award", 100))
    first, second = [await banked.decide(ask("hold", 20, expires_in_s=60)) for _ in range(2)]
    await banked.state.close_accounts(PROGRAM, MEMBER)
    assert (await banked.decide(closing("capture", first, 5))).remainder == 15
    assert await expiry.expire_due(banked.state, connection, NOW_MS + 61_000) == 1
    assert await banked.state.balances(PROGRAM, MEMBER) is None
    assert await banked.state.hold_amount(WHERE, accounts.name(second)) is None
    with pytest.raises(errors.MemberNotFound):
        await banked.decide(ask("award", 1))


@pytest.mark.parametrize("op", ["award", "spend", "hold", "reverse"])
async def test_an_unknown_member_is_not_found(banked: Bank, op: awards.Op) -> None:
    more = {"related": "1-1", "bound": 5} if op == "reverse" else {"expires_in_s": 60}
    with pytest.raises(errors.MemberNotFound):
        await banked.decide(ask(op, 1, member_id="mem_nobody", **more))


async def test_a_member_that_only_postgresql_knows_is_awarded(banked: Bank, db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, "mem_2", members.NewMember())
    program = limited(budget=10)
    asked = ask("award", 4, member_id="mem_2", program=program)
    assert (await banked.decide(asked)).balance == 4


async def test_no_balance_reaches_two_to_the_53(bank: Bank) -> None:
    await bank.decide(ask("award", LARGEST))
    with pytest.raises(errors.BalanceTooLarge):
        await bank.decide(ask("award", 1))
    hold = await bank.decide(ask("hold", LARGEST, expires_in_s=60))
    with pytest.raises(errors.BalanceTooLarge):
        await bank.decide(ask("award", 1))
    assert (await bank.decide(closing("release", hold))).balance == LARGEST
    await bank.decide(ask("spend", LARGEST))
    for number in range(2):
        reverse = ask("reverse", related=f"9-{number}", bound=LARGEST)
        if number:
            with pytest.raises(errors.BalanceTooLarge):
                await bank.decide(reverse)
        else:
            assert (await bank.decide(reverse)).balance == -LARGEST


async def test_a_members_limit_counts_the_programs_day(bank: Bank) -> None:
    program = limited(per_member_day=10)
    late_ms = NOW_MS - NOW_MS % DAY_MS + 18 * 3_600_000 + 29 * 60_000  # 23:59 in Kolkata
    await bank.decide(ask("award", 7, program=program), late_ms)
    with pytest.raises(errors.LimitReached, match="leaves 3"):
        await bank.decide(ask("award", 4, program=program), late_ms)
    await bank.decide(ask("award", 3, program=program), late_ms)
    await bank.decide(ask("award", 10, unit="stamps", program=program), late_ms)
    await bank.decide(ask("award", 10, program=program), late_ms + 60_000)
    with pytest.raises(errors.LimitReached, match="leaves 0"):
        await bank.decide(ask("award", 1, program=limited(per_member_day=5)), late_ms + 60_000)


async def test_stamps_keep_their_distance(bank: Bank) -> None:
    program = limited(interval_s=60)
    await bank.decide(ask("award", 1, unit="stamps", program=program))
    with pytest.raises(errors.LimitReached, match="1 ms"):
        await bank.decide(ask("award", 1, unit="stamps", program=program), NOW_MS + 59_999)
    await bank.decide(ask("award", 1, unit="stamps", program=program), NOW_MS + 60_000)
    # Another unit has its own clock.
    await bank.decide(ask("award", 1, program=program), NOW_MS + 60_000)


async def test_a_budget_is_never_exceeded_by_awards_at_once(banked: Bank) -> None:
    await banked.state.open_accounts(PROGRAM, [f"mem_{n}" for n in range(20)])
    program = limited(budget=100)

    async def one(number: int) -> int:
        try:
            asked = ask("award", 3, member_id=f"mem_{number % 20}", program=program)
            return (await banked.decide(asked)).amount
        except errors.BudgetExhausted:
            return 0

    given = await asyncio.gather(*(one(number) for number in range(60)))
    assert 90 <= sum(given) <= 100
    with pytest.raises(errors.BudgetExhausted):
        await banked.decide(ask("award", 50, program=program))
