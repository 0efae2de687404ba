"""How long it is known where money went, and to whom."""

from __future__ import annotations

import datetime as dt

import pytest

from core.kyc import Document
from core.payout_methods import Upi
from core.settings import Settings
from db import kyc, members, payout_methods, personal, withdrawals
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db
from workers import schedule

MEMBER = "mem_1"
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NOW_MS = int(NOW.timestamp() * 1000)
DETAILS = Upi(vpa="asha@okbank", name="Asha")
INSERT = """
INSERT INTO withdrawal (id, program_id, member_id, amount_minor, currency, state, version, method,
                        destination, language, approved_by, requested_at, updated_at, provider)
VALUES ('wdr_1', $1, $2, 1, 'INR', $3, 1, 'upi', $4, 'en', 'opr_1', $5, $5, 'razorpayx')
"""
KYC_TABLE = next(table for table in personal.TABLES if table.name == "kyc")


@pytest.fixture(autouse=True)
async def member(db: Db) -> None:
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    document = Document(kind="pan", number="ABCPE1234F", name="Asha")
    await kyc.put(db, RING, PROGRAM, MEMBER, document, NOW)


async def withdrew(db: Db, state: str, days_ago: int) -> None:
    sealed = payout_methods.seal(RING, DETAILS, withdrawals.DESTINATION, "wdr_1")
    await db.execute(INSERT, PROGRAM, MEMBER, state, sealed, NOW - dt.timedelta(days=days_ago))


async def kept(db: Db, settings: Settings) -> tuple[bool, bool]:
    """Whether the destination and the document are still there after the hourly job."""
    await schedule.forget_payments(settings, db, NOW_MS)
    return (
        await db.fetchval("SELECT destination IS NOT NULL FROM withdrawal"),
        await db.fetchval("SELECT count(*) FROM kyc") == 1,
    )


@pytest.mark.parametrize(
    ("state", "days_ago", "is_kept"),
    [
        ("canceled", 29, True),
        ("canceled", 31, False),
        ("rejected", 31, False),
        ("failed", 31, False),
        ("requested", 9_999, True),
        ("paying", 9_999, True),
        ("paid", 2_921, True),
        ("paid", 2_923, False),
        ("reversed", 2_923, False),
    ],
)
async def test_where_it_went_is_forgotten_when_nobody_needs_to_know(
    db: Db, settings: Settings, state: str, days_ago: int, *, is_kept: bool
) -> None:
    await withdrew(db, state, days_ago)
    assert await kept(db, settings) == (is_kept, True)


@pytest.mark.parametrize(
    ("state", "days_ago", "at_once", "later"),
    [
        ("canceled", 1, False, False),
        ("paid", 1, True, True),
        ("paid", 2_923, True, False),
        ("approved", 2_923, True, True),
    ],
)
async def test_an_erased_members_document_is_kept_only_for_what_was_paid(
    db: Db, settings: Settings, state: str, days_ago: int, *, at_once: bool, later: bool
) -> None:
    await withdrew(db, state, days_ago)
    await db.execute("UPDATE member SET erased_at = now(), deleted_at = now()")
    await personal.erase(db, KYC_TABLE, PROGRAM, MEMBER)
    assert (await db.fetchval("SELECT count(*) FROM kyc") == 1) is at_once
    assert (await kept(db, settings))[1] is later
