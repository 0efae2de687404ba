"""A rotated field key: everything comes under the new one, whenever it is cut short."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import AsyncIterator

import asyncpg
import pytest

from core import keyring
from core.errors import BadField
from core.kyc import Document
from core.networks import Rules
from core.payout_methods import Upi
from db import (
    claim_evidence,
    claims,
    kyc,
    members,
    networks,
    notices,
    notifications,
    payout_methods,
    pg,
    resealing,
    webhooks,
    withdrawals,
)
from db.members import NewMember
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM

ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(range(32, 64)))
OLD, NEW = RING.active_field, ROTATED.active_field
COUNT = 7
NOTE = notifications.New(
    program_id=PROGRAM,
    recipient_kind="member",
    recipient_id="mem_1",
    channel="email",
    address="asha@example.com",
    template="sign_in_code",
    language="en",
    variables={"code": "482913", "minutes": 5},
    dedupe_key="k",
)

NOTICE = notices.Notice(
    program_id=PROGRAM,
    member_id="mem_1",
    template="cashback_credited",
    variables={"amount": "₹50.00"},
    dedupe_key="k",
)
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DOCUMENT = Document(kind="pan", number="ABCPE1234F", name="Asha")
DETAILS = Upi(vpa="asha@okbank", name="Asha")
WITHDRAWAL = """
INSERT INTO withdrawal (id, program_id, member_id, amount_minor, currency, state, version, method,
                        destination, language, requested_at, updated_at)
VALUES ('wdr_1', $1, 'mem_1', 1, 'INR', 'requested', 1, 'upi', $2, 'en', now(), now())
"""

CLAIM = """
INSERT INTO claim (id, program_id, member_id, state, version, order_id, order_minor, order_currency,
                   ordered_at, proposal, reasons, facts, currency, language, opened_by, opened_at,
                   updated_at)
VALUES ('clm_1', $1, 'mem_1', 'opened', 1, 'OD-1', 1, 'INR', now(), 'reject', '{}', '{}',
        'INR', 'en', 'mem_1', now(), now())
"""


NETWORK = networks.New(
    provider="generic",
    name="Shops",
    config={},
    rules=Rules(),
    credentials={"secret": "0123456789abcdef"},
)


class Killed(Exception):
    """The process ended here."""


def ignore(_: int) -> None:
    """Who does not care for progress."""


@pytest.fixture
async def owner(db: pg.Db, database: DatabaseUrls) -> AsyncIterator[pg.Db]:
    """The owner's connection; something is sealed in every column that can be."""
    people = [(f"mem_{n}", NewMember(name=f"Name {n}")) for n in range(COUNT)]
    await members.add_many(db, RING, PROGRAM, people)
    endpoint = webhooks.NewEndpoint(url="https://a.example", events=["award.created"])
    await webhooks.add(db, RING, PROGRAM, "whk_1", endpoint, "whsec_one")
    await webhooks.rotate(db, RING, PROGRAM, "whk_1", "whsec_two", 24)
    await notifications.add(db, RING, NOTE)
    await notices.tell(db, RING, NOTICE)
    await kyc.put(db, RING, PROGRAM, "mem_1", DOCUMENT, NOW)
    await payout_methods.add(db, RING, PROGRAM, "mem_1", "pmt_1", DETAILS, NOW)
    sealed = payout_methods.seal(RING, DETAILS, withdrawals.DESTINATION, "wdr_1")
    await db.execute(WITHDRAWAL, PROGRAM, sealed)
    await networks.add(db, RING, PROGRAM, "net_1", NETWORK, b"")
    content = claim_evidence.Content("Paid by card.", None)
    await db.execute(CLAIM, PROGRAM)
    claim = await claims.get(db, PROGRAM, "clm_1")
    await claim_evidence.add(db, RING, claim, "evd_1", content, by="mem_1", at=NOW)
    connection = await asyncpg.connect(database.migrate)
    yield connection
    await connection.close()


async def keys_of(db: pg.Db) -> set[str]:
    return {use.key for use in await resealing.used(db)}


async def names(db: pg.Db, ring: keyring.KeyRing) -> list[str | None]:
    return [one.name for one in await members.page(db, ring, PROGRAM, after="", limit=100)]


async def test_all_that_is_sealed_comes_under_the_active_key(owner: pg.Db) -> None:
    assert await keys_of(owner) == {OLD}
    assert await resealing.stale(owner, RING) == 0
    total = await resealing.stale(owner, ROTATED)
    assert total >= COUNT + 2
    assert await resealing.run(owner, ROTATED, ignore) == total
    assert await keys_of(owner) == {NEW}
    assert await resealing.run(owner, ROTATED, ignore) == 0
    alone = keyring.retire(ROTATED, "field", OLD)
    assert await names(owner, alone) == [f"Name {n}" for n in range(COUNT)]
    found = await kyc.find(owner, alone, PROGRAM, "mem_1")
    assert found is not None
    assert found.document == DOCUMENT
    (method,) = await payout_methods.of_member(owner, alone, PROGRAM, "mem_1")
    wanted = await withdrawals.get(owner, alone, PROGRAM, "wdr_1")
    assert method.details == wanted.destination == DETAILS
    claim = await claims.get(owner, PROGRAM, "clm_1")
    (said,) = await claim_evidence.of_claim(owner, alone, claim)
    assert said.text == "Paid by card."
    with pytest.raises(BadField):
        await names(owner, RING)


async def test_it_may_be_killed_after_any_portion_and_run_again(
    owner: pg.Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(resealing, "PORTION", 2)

    def die(done: int) -> None:
        told.append(done)
        raise Killed

    left = [await resealing.stale(owner, ROTATED)]
    while left[-1]:
        told: list[int] = []
        with pytest.raises(Killed):
            await resealing.run(owner, ROTATED, die)
        left.append(await resealing.stale(owner, ROTATED))
        assert left[-2] - left[-1] == told[0]
        # Both keys are in the ring, so everything can be read at every moment.
        assert await names(owner, ROTATED) == [f"Name {n}" for n in range(COUNT)]
    assert len(left) > 5


async def test_a_value_that_changes_meanwhile_is_not_overwritten(owner: pg.Db) -> None:
    portion = await owner.fetch(resealing.PROFILES, "", os.urandom(2), 100)
    await members.change(owner, RING, PROGRAM, "mem_1", {"name": "New"})
    stored = [row["stored"] for row in portion]
    await owner.execute(resealing.SET_PROFILES, [row["id"] for row in portion], stored, stored)
    assert (await members.get(owner, RING, PROGRAM, "mem_1")).name == "New"
