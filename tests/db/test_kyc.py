"""A document and its review, each while the other one is under way."""

from __future__ import annotations

import asyncio
import datetime as dt

import pytest

from core.kyc import Document
from db import kyc, members, pg
from tests.conftest import RING
from tests.db.conftest import PROGRAM, until_waiting

MEMBER = "mem_1"
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


async def put(db: pg.Db, number: str) -> kyc.Kyc:
    document = Document(kind="pan", number=number, name="Asha Verma")
    async with db.transaction():
        return await kyc.put(db, RING, PROGRAM, MEMBER, document, NOW)


async def review(db: pg.Db, reason: str | None) -> kyc.Kyc:
    async with db.transaction():
        locked = await kyc.lock(db, RING, PROGRAM, MEMBER)
        return await kyc.review(db, RING, PROGRAM, locked, reason=reason, by="opr_1", now=NOW)


@pytest.fixture(autouse=True)
async def document(db: pg.Db) -> None:
    """A member has handed something in."""
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    await put(db, "ABCPE1234F")


async def test_what_is_handed_in_during_a_review_is_not_verified_by_it(
    db: pg.Db, pool: pg.Pool
) -> None:
    async with pool.acquire() as other, pool.acquire() as third:
        async with db.transaction():
            locked = await kyc.lock(db, RING, PROGRAM, MEMBER)
            putting = asyncio.create_task(put(other, "ABCPE9999F"))
            await until_waiting(third)
            done = await kyc.review(db, RING, PROGRAM, locked, reason=None, by="opr_1", now=NOW)
            assert (done.state, done.document.number) == ("verified", "ABCPE1234F")
        found = await putting
    assert (found.state, found.document.number) == ("submitted", "ABCPE9999F")


async def test_a_review_waits_for_what_relies_on_the_one_before(db: pg.Db, pool: pg.Pool) -> None:
    await review(db, None)
    async with pool.acquire() as other, pool.acquire() as third:
        async with db.transaction():
            assert await kyc.is_verified(db, PROGRAM, MEMBER)
            rejecting = asyncio.create_task(review(other, "It is forged."))
            await until_waiting(third)
        assert (await rejecting).state == "rejected"
    assert not await kyc.is_verified(db, PROGRAM, MEMBER)
