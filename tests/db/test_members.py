"""Members, merchants and programs in PostgreSQL."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import Awaitable, Callable

import pytest

from core import errors
from core.kyc import Document
from core.merchants import MerchantConfig
from core.payout_methods import Upi
from core.programs import ProgramSettings, UnitRules
from core.withdrawals import Money
from db import (
    adjustments,
    kyc,
    members,
    merchants,
    payout_methods,
    personal,
    pg,
    programs,
    referral_codes,
)
from db.adjustments import Act
from db.members import NewMember
from tests.conftest import RING
from tests.db.conftest import PROGRAM, until_waiting

MEMBER = "mem_1"
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


async def test_members_whose_external_id_is_taken_are_left_out(db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, "mem_1", NewMember(external_id="a"))
    items = [("mem_2", NewMember(external_id="a")), ("mem_3", NewMember(external_id="b"))]
    assert list(await members.add_many(db, RING, PROGRAM, items)) == ["mem_3"]
    with pytest.raises(errors.ExternalIdTaken):
        await members.add(db, RING, PROGRAM, "mem_4", NewMember(external_id="a"))


async def test_a_deleted_member_keeps_its_row_and_is_gone_for_everybody(db: pg.Db) -> None:
    await members.add(db, RING, PROGRAM, "mem_1", NewMember(external_id="a"))
    await members.delete(db, PROGRAM, "mem_1")
    assert await db.fetchval("SELECT count(*) FROM member") == 1
    assert not await members.exists(db, PROGRAM, "mem_1")
    assert await members.page(db, RING, PROGRAM, after="", limit=10) == []
    for attempt in (
        members.get(db, RING, PROGRAM, "mem_1"),
        members.delete(db, PROGRAM, "mem_1"),
        members.change(db, RING, PROGRAM, "mem_1", {"name": "B"}),
    ):
        with pytest.raises(errors.MemberNotFound):
            await attempt


async def hand_in(db: pg.Db, number: int) -> None:
    document = Document(kind="pan", number=f"ABCPE000{number}F", name="Asha Verma")
    await kyc.put(db, RING, PROGRAM, MEMBER, document, NOW)


async def give(db: pg.Db, number: int) -> None:
    about, act = Money(MEMBER, 5, "INR"), Act("opr_1", NOW)
    made = await adjustments.propose(
        db, PROGRAM, f"adj_{number}", kind="promotion", about=about, reason="x", ticket=None,
        act=act,
    )  # fmt: skip
    await adjustments.post(db, made, act)


async def be_paid_at(db: pg.Db, number: int) -> None:
    details = Upi(vpa=f"asha{number}@okbank", name="Asha Verma")
    await payout_methods.add(db, RING, PROGRAM, MEMBER, f"pmt_{number}", details, NOW)


async def get_a_code(db: pg.Db, number: int) -> None:
    await referral_codes.make(db, PROGRAM, MEMBER, f"rfc_{number}", NOW)


@pytest.mark.parametrize("write", [hand_in, give, be_paid_at, get_a_code])
async def test_an_erasure_waits_for_what_is_being_written_and_nothing_is_written_after_it(
    db: pg.Db, pool: pg.Pool, write: Callable[[pg.Db, int], Awaitable[None]]
) -> None:
    await members.add(db, RING, PROGRAM, MEMBER, NewMember())
    async with pool.acquire() as other, pool.acquire() as third:
        async with db.transaction():
            await write(db, 1)
            erasing = asyncio.create_task(other.execute(personal.ERASE_MEMBER, PROGRAM, MEMBER))
            await until_waiting(third)
        await erasing
    with pytest.raises(errors.MemberNotFound):
        async with db.transaction():
            await write(db, 2)


async def test_an_upsert_replaces_what_was_known(db: pg.Db) -> None:
    first = NewMember(external_id="a", name="A", attributes={"x": 1})
    made = await members.upsert(db, RING, PROGRAM, "mem_1", first)
    again = await members.upsert(db, RING, PROGRAM, "mem_2", NewMember(external_id="a", name="B"))
    assert (again.id, again.name, again.attributes) == (made.id, "B", {})


async def test_nothing_belongs_to_a_program_that_does_not_exist(db: pg.Db) -> None:
    new = NewMember(external_id="a")
    for attempt in (
        members.add(db, RING, "prg_x", "mem_1", new),
        members.upsert(db, RING, "prg_x", "mem_1", new),
        merchants.add(db, "prg_x", "mrc_1", MerchantConfig(name="A")),
        programs.get(db, "prg_x"),
        programs.change(db, "prg_x", {"name": "A"}),
    ):
        with pytest.raises(errors.ProgramNotFound):
            await attempt


async def test_a_program_keeps_its_rules(db: pg.Db) -> None:
    rules = ProgramSettings(points=UnitRules(per_member_day=5, interval_s=60, budget=100))
    changed = await programs.change(db, PROGRAM, {"settings": rules, "time_zone": "Asia/Kolkata"})
    assert (changed.settings, changed.time_zone) == (rules, "Asia/Kolkata")
    assert await programs.get(db, PROGRAM) == changed
    assert await programs.page(db, after="", limit=10) == [changed]
    assert await programs.page(db, after=PROGRAM, limit=10) == []
