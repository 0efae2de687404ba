"""Claims of referral codes in PostgreSQL: made once, and never in a ring."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from core import errors
from core.contacts import Contact
from core.programs import ProgramSettings, ReferralRules
from db import contacts, members, pg, programs, referral_codes
from tests.conftest import RING
from tests.db.bringing import (
    NOW,
    RULES,
    Shopping,
    apply,
    bring,
    claim,
    code_of,
    join,
    of,
    set_rules,
    shop,
    shopping,
    tell,
)
from tests.db.conftest import PROGRAM, until_waiting

__all__ = ["shop", "shopping"]


async def test_of_two_claims_at_once_one_is_made(db: pg.Db, pool: pg.Pool) -> None:
    one, other, third = [await join(db) for _ in range(3)]

    async def run(member_id: str, code: str) -> str:
        async with pool.acquire() as own:
            try:
                return (await claim(own, member_id, code)).state
            except errors.Conflict as refused:
                return refused.code

    codes = {each: await code_of(db, each) for each in (one, other, third)}
    twice = await asyncio.gather(run(one, codes[other]), run(one, codes[third]))
    assert sorted(twice) == ["already_referred", "claimed"]
    assert await run(one, codes[third]) == "already_referred"
    first, second = await join(db), await join(db)
    codes |= {each: await code_of(db, each) for each in (first, second)}
    ring = await asyncio.gather(run(first, codes[second]), run(second, codes[first]))
    assert sorted(ring) == ["claimed", "referral_loop"]


async def test_of_two_who_claim_each_others_codes_the_second_waits_for_the_first(
    db: pg.Db, pool: pg.Pool
) -> None:
    one, two = [await join(db) for _ in range(2)]
    codes = {each: await code_of(db, each) for each in (one, two)}
    async with pool.acquire() as other, pool.acquire() as third:
        async with db.transaction():
            await claim(db, one, codes[two])
            claiming = asyncio.create_task(claim(other, two, codes[one]))
            await until_waiting(third)
        with pytest.raises(errors.ReferralLoop):
            await claiming


async def test_no_loop_of_any_length_is_made(db: pg.Db) -> None:
    line = [await join(db)]
    for _ in range(4):
        line.append(await bring(db, line[-1]))
    with pytest.raises(errors.ReferralLoop):
        await claim(db, line[0], await code_of(db, line[-1]))
    with pytest.raises(errors.SelfReferral):
        await claim(db, line[0], await code_of(db, line[0]))


async def test_a_claim_comes_soon_and_before_the_first_purchase(
    db: pg.Db, shopping: Shopping
) -> None:
    code = await code_of(db, await join(db))
    bought, late = await join(db), await join(db)
    await tell(db, await shopping.report(bought, status="pending"))
    with pytest.raises(errors.ReferralTooLate):
        await claim(db, bought, code)
    with pytest.raises(errors.ReferralTooLate):
        await claim(db, late, code, at=dt.datetime.now(dt.UTC) + dt.timedelta(days=7, seconds=9))
    with pytest.raises(errors.ReferralCodeNotFound):
        await claim(db, late, "ABCDEFGH" if code != "ABCDEFGH" else "ABCDEFGJ")
    await set_rules(db, is_on=False)
    with pytest.raises(errors.ReferralsClosed):
        await claim(db, late, code)
    with pytest.raises(errors.MemberNotFound):
        await claim(db, "mem_none", code)
    await set_rules(db)
    await members.delete(db, PROGRAM, late)
    with pytest.raises(errors.MemberNotFound):
        await claim(db, late, code)


async def test_another_programs_code_is_nobodys_here(db: pg.Db) -> None:
    settings = ProgramSettings(referrals=ReferralRules(**RULES))
    await programs.add(
        db, "prg_other", name="Tea", currency="INR", time_zone="UTC", settings=settings
    )
    await members.add(db, RING, "prg_other", "mem_theirs", members.NewMember())
    async with db.transaction():
        made = await referral_codes.make(db, "prg_other", "mem_theirs", "rfc_theirs", NOW)
    with pytest.raises(errors.ReferralCodeNotFound):
        await claim(db, await join(db), made.code.code)


async def test_a_member_has_one_code_however_many_ask_at_once(db: pg.Db, pool: pg.Pool) -> None:
    await members.add(db, RING, PROGRAM, "mem_asha", members.NewMember())

    async def run(number: int) -> tuple[str, bool]:
        async with pool.acquire() as own, own.transaction():
            made = await referral_codes.make(own, PROGRAM, "mem_asha", f"rfc_n{number}", NOW)
            return made.code.code, made.is_new

    made = await asyncio.gather(*map(run, range(4)))
    assert len({code for code, _ in made}) == 1
    assert sorted(is_new for _, is_new in made) == [False, False, False, True]
    with pytest.raises(errors.MemberNotFound):
        await referral_codes.make(db, PROGRAM, "mem_none", "rfc_none", NOW)


async def test_of_a_claim_and_a_first_purchase_at_once_one_waits(
    db: pg.Db, pool: pg.Pool, shopping: Shopping
) -> None:
    code = await code_of(db, await join(db))
    buyer, guest = await join(db), await join(db)
    reports = [await shopping.report(one) for one in (buyer, guest)]
    async with pool.acquire() as other, pool.acquire() as third:
        async with db.transaction():
            await apply(db, reports[0])
            claiming = asyncio.create_task(claim(other, buyer, code))
            await until_waiting(third)
        with pytest.raises(errors.ReferralTooLate):
            await claiming
        async with db.transaction():
            await claim(db, guest, code)
            buying = asyncio.create_task(tell(other, reports[1]))
            await until_waiting(third)
        await buying
    assert (await of(db, guest)).state == "rewarded"


async def test_an_address_that_nobody_has_proved_makes_no_one_the_same(
    db: pg.Db, shopping: Shopping
) -> None:
    old, new = await join(db), await join(db)
    for one in (old, new):
        contact = Contact("email", f"asha+{one}@example.com")
        await contacts.put(db, RING, PROGRAM, one, contact, is_verified=False)
    await claim(db, new, await code_of(db, old))
    await tell(db, await shopping.report(new))
    assert (await of(db, new)).state == "rewarded"
