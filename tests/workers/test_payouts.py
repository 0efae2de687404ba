"""Payouts by providers: whatever is lost, each withdrawal is paid once, under its own id."""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

from core import contacts as contacts_
from core import fields, tasks, wallet
from core.payout_methods import Bank, Upi
from core.settings import Settings
from core.texts import en
from core.wallet import Account
from core.withdrawals import News
from db import contacts, members, money, outbox, withdrawals
from db.withdrawals import Act, New
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.providers.payouts import server
from tests.providers.payouts.__main__ import KINDS
from tests.providers.payouts.server import Fault, Server
from tests.workers.conftest import PROGRAM, Db, Start, soon_ms, until
from tests.workers.test_jobs import (
    LATER_MS,
    holding,
    is_nobody_waiting,
    is_someone_waiting,
    kill,
)
from web import providers
from workers import jobs, loop, payouts
from workers.broker import Tools

RAZORPAYX = pytest.mark.parametrize("bank", ["razorpayx"], indirect=True)
#: What goes wrong with a request to pay, before its effect or after it.
TROUBLE = {
    "drop_before": Fault(200, b"", is_cut=True),
    "drop_after": Fault(200, b"", is_cut=True, is_taken=True),
    "500": Fault(),
    "500_after": Fault(is_taken=True),
    "garbage_after": Fault(200, b'{"id": "pout_1", "sta', is_taken=True),
    "429": Fault(429, headers={"Retry-After": "7"}),
    **{str(status): Fault(status) for status in (401, 403, 503)},
}
MEMBER, ID = "mem_1", "wdr_01h455vb4pex5vsknk084sn02q"
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
LOCK = "SELECT FROM withdrawal FOR UPDATE"
UPI = Upi(vpa="asha@okbank", name="Asha Verma")
BANK = Bank(account_number="50100012345678", ifsc="HDFC0001234", name="Asha Verma")


@pytest.fixture(params=KINDS)
async def bank(request: pytest.FixtureRequest) -> AsyncIterator[Server]:
    """Each provider in turn, or the one that the test names; it pays at once."""
    async with server.running(KINDS[request.param]) as running:
        running.begins = "paid"
        yield running


@pytest.fixture
def settings(settings: Settings, bank: Server, tmp_path: Path) -> Settings:
    path = tmp_path / "providers.json"
    path.write_bytes(msgspec.json.encode({"payouts": {bank.slug: bank.config()}}))
    return replace(settings, providers_file=str(path))


@pytest.fixture
def paying(tools: Tools, settings: Settings) -> Tools:
    return tools._replace(payouts=providers.payouts(settings))


async def approved(db: Db, slug: str, details: Upi | Bank = UPI) -> None:
    """A withdrawal that a provider is to pay."""
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    mail = contacts_.email("asha@example.com")
    await contacts.put(db, RING, PROGRAM, MEMBER, mail, is_verified=True)
    legs = {
        Account("receivable", "INR", network_id="net_1"): -20_050,
        Account("available", "INR", MEMBER): 20_050,
    }
    made = money.Transaction(
        *("mtx_1", "cashback", "cnv_1", 1, MEMBER, None, "test", NOW), wallet.postings(legs)
    )
    new = New(
        id=ID,
        program_id=PROGRAM,
        member_id=MEMBER,
        amount_minor=20_050,
        currency="INR",
        details=details,
        language="en",
    )
    async with db.transaction():
        await money.post(db, await money.lock(db, PROGRAM, legs), [made])
        await withdrawals.request(db, RING, new, Act(by=MEMBER, at=NOW))
        before = await withdrawals.lock(db, RING, PROGRAM, ID)
        act = Act(by="opr_1", at=NOW, provider=slug)
        await withdrawals.take(db, RING, before, "approve", act)
        await db.execute("DELETE FROM outbox")
        await outbox.add(db, tasks.PayWithdrawal(ID))


async def attempt(db: Db, tools: Tools) -> None:
    """What the relay and the workers do with the tasks of payouts, due or not."""
    rows = await db.fetch("SELECT id, attempts FROM outbox WHERE task = 'pay_withdrawal'")
    for row in rows:
        await jobs.perform(tools, row["id"], row["attempts"])


async def state(db: Db) -> str:
    return str(await db.fetchval("SELECT state FROM withdrawal"))


async def waiting(db: Db) -> int:
    return int(await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'pay_withdrawal'"))


async def money_is(db: Db) -> tuple[int, int, int]:
    """Available, held, paid out; the ledger is sound."""
    assert await money.check(db) == []
    found = {one.role: one.total_minor for one in await money.totals(db, PROGRAM)}
    return found["available"], found["held"], found.get("paid_out", 0)


def assert_paid_once(bank: Server) -> None:
    """One effect under our id, and every attempt with the same body."""
    assert bank.effects == [ID]
    assert bank.kept[ID].amount_minor == 20_050
    assert len(set(bank.bodies)) == 1


@pytest.mark.parametrize("details", [UPI, BANK], ids=["upi", "bank"])
async def test_an_approved_withdrawal_is_paid(
    db: Db, paying: Tools, bank: Server, details: Upi | Bank
) -> None:
    await approved(db, bank.slug, details)
    await attempt(db, paying)
    row = await db.fetchrow("SELECT * FROM withdrawal")
    assert row is not None
    made = bank.kept[ID]
    assert (row["state"], row["utr"]) == ("paid", made.utr)
    assert row["provider_reference"] == made.theirs
    assert await money_is(db) == (0, 0, 20_050)
    assert_paid_once(bank)
    assert await waiting(db) == 0
    told = [
        one["template"] for one in await db.fetch("SELECT template FROM notification ORDER BY id")
    ]
    assert told[-1] == "withdrawal_paid"


async def test_what_is_under_way_is_looked_up_until_it_has_ended(
    db: Db, paying: Tools, bank: Server
) -> None:
    bank.begins = "under_way"
    await approved(db, bank.slug)
    for looks in range(3):
        await attempt(db, paying)
        assert (await state(db), bank.asked.count("look")) == ("paying", looks)
        assert await waiting(db) == 1
    await bank.settle(ID, "paid")
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("paid", (0, 0, 20_050))
    assert_paid_once(bank)
    assert bank.asked.count("pay") == 1


@pytest.mark.parametrize("outcome", ["failed", "reversed"])
async def test_what_failed_gives_the_money_back_and_says_why(
    db: Db, paying: Tools, bank: Server, outcome: News
) -> None:
    bank.begins = outcome
    await approved(db, bank.slug)
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("failed", (20_050, 0, 0))
    assert await db.fetchval("SELECT reason FROM withdrawal") == "The account is closed"
    assert await waiting(db) == 0
    # The provider's words are for operators.
    row = await db.fetchrow("SELECT id, variables FROM notification ORDER BY id DESC LIMIT 1")
    assert row is not None
    said = fields.unseal(RING, row["variables"], f"notification.variables:{row['id']}")
    assert msgspec.json.decode(said)["reason"] == en.WITHDRAWAL_REASONS["failed"]


@pytest.mark.parametrize("trouble", TROUBLE)
async def test_after_any_trouble_it_is_paid_once(
    db: Db, paying: Tools, bank: Server, trouble: str
) -> None:
    bank.faults = [TROUBLE[trouble]]
    await approved(db, bank.slug)
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("paying", (0, 20_050, 0))
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("paid", (0, 0, 20_050))
    assert_paid_once(bank)
    assert bank.asked.count("look") == 1
    # What was made in spite of the trouble was found, and not asked for again.
    assert bank.asked.count("pay") == (1 if trouble.endswith("_after") else 2)


async def test_a_clear_no_is_final(db: Db, paying: Tools, bank: Server) -> None:
    bank.faults = [bank.no("They will not")]
    await approved(db, bank.slug)
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("failed", (20_050, 0, 0))
    assert bank.kept == {}


@RAZORPAYX
async def test_a_key_that_was_used_for_something_else_is_no_clear_no(
    db: Db, paying: Tools, bank: Server
) -> None:
    bank.faults = [bank.used()]
    await approved(db, bank.slug)
    await attempt(db, paying)
    assert await state(db) == "paying"


async def test_without_the_provider_it_waits(db: Db, tools: Tools, bank: Server) -> None:
    await approved(db, bank.slug)
    await attempt(db, tools)
    assert (await state(db), await waiting(db)) == ("approved", 1)


@RAZORPAYX
async def test_a_provider_that_is_away_is_told_later(
    db: Db, settings: Settings, tools: Tools, bank: Server
) -> None:
    away = {"payouts": {bank.slug: {**bank.config(), "base": "http://127.0.0.1:9"}}}
    Path(settings.providers_file).write_bytes(msgspec.json.encode(away))
    await approved(db, bank.slug)
    await attempt(db, tools._replace(payouts=providers.payouts(settings)))
    assert (await state(db), bank.asked) == ("paying", [])
    assert await db.fetchval("SELECT due_at > now() FROM outbox WHERE task = 'pay_withdrawal'")


async def test_a_payout_of_another_amount_is_left_to_an_operator(
    db: Db, paying: Tools, bank: Server
) -> None:
    bank.begins = "under_way"
    await approved(db, bank.slug)
    await attempt(db, paying)
    bank.kept[ID].amount_minor = 20_049
    await bank.settle(ID, "paid")
    await attempt(db, paying)
    assert (await state(db), await money_is(db)) == ("unclear", (0, 20_050, 0))
    assert await waiting(db) == 0
    await payouts.sweep(paying.settings, db, loop.now_ms() + 3 * 3_600_000)
    assert await waiting(db) == 0


@RAZORPAYX
async def test_a_rejected_one_is_not_paid_by_a_task_that_comes_late(
    db: Db, paying: Tools, bank: Server
) -> None:
    await approved(db, bank.slug)
    async with db.transaction():
        before = await withdrawals.lock(db, RING, PROGRAM, ID)
        await withdrawals.take(db, RING, before, "reject", Act(by="opr_1", at=NOW, reason="no"))
    await attempt(db, paying)
    assert (await state(db), bank.asked, await waiting(db)) == ("rejected", [], 0)


@RAZORPAYX
async def test_while_its_member_is_banned_nobody_is_told_to_pay(
    db: Db, paying: Tools, settings: Settings, bank: Server
) -> None:
    await approved(db, bank.slug)
    await members.ban(db, RING, PROGRAM, MEMBER, NOW)
    await attempt(db, paying)
    assert (await state(db), await waiting(db), bank.asked) == ("approved", 0, [])
    await members.ban(db, RING, PROGRAM, MEMBER, None)
    await payouts.sweep(settings, db, loop.now_ms())
    await attempt(db, paying)
    assert await state(db) == "paid"
    assert_paid_once(bank)


@RAZORPAYX
async def test_a_payout_that_nobody_looks_after_is_looked_up_by_the_schedule(
    db: Db, settings: Settings, paying: Tools, bank: Server
) -> None:
    bank.faults = [TROUBLE["drop_after"]]
    await approved(db, bank.slug)
    await attempt(db, paying)
    await db.execute("DELETE FROM outbox")
    await payouts.sweep(settings, db, loop.now_ms())
    assert await waiting(db) == 0
    for _ in range(2):
        await payouts.sweep(settings, db, loop.now_ms() + 3 * 3_600_000)
        assert await waiting(db) == 1
    await attempt(db, paying)
    assert await state(db) == "paid"
    assert_paid_once(bank)


async def recover(db: Db, start: Start, step: loop.Step) -> None:
    """A new worker, and a relay that finds the row lost."""
    await until(lambda: is_nobody_waiting(db))
    await start("jobs")
    assert await step(soon_ms() + LATER_MS) >= 1

    async def is_paid() -> bool:
        return await state(db) == "paid"

    await until(is_paid)


async def asked_for(bank: Server) -> bool:
    return bool(bank.asked)


async def is_made(bank: Server) -> bool:
    return bool(bank.kept)


async def test_killed_before_it_is_written_down_it_is_paid_once(
    db: Db, database: DatabaseUrls, bank: Server, start: Start, step: loop.Step
) -> None:
    await approved(db, bank.slug)
    async with holding(database.migrate, LOCK):
        process = await start("jobs")
        await step(soon_ms())
        await until(lambda: is_someone_waiting(db))
        await kill(process)
    assert bank.asked == []
    await recover(db, start, step)
    assert_paid_once(bank)


async def test_killed_before_the_payout_is_made_it_is_paid_once(
    db: Db, bank: Server, start: Start, step: loop.Step
) -> None:
    await approved(db, bank.slug)
    bank.door.clear()
    process = await start("jobs")
    await step(soon_ms())
    await until(lambda: asked_for(bank))
    assert await state(db) == "paying"
    await kill(process)
    # What was on its way arrives, late or not at all; the provider knows the key either way.
    bank.door.set()
    await recover(db, start, step)
    assert_paid_once(bank)
    assert await money_is(db) == (0, 0, 20_050)


async def test_killed_before_the_answer_it_is_looked_up_and_paid_once(
    db: Db, bank: Server, start: Start, step: loop.Step
) -> None:
    await approved(db, bank.slug)
    bank.gate.clear()
    process = await start("jobs")
    await step(soon_ms())
    await until(lambda: is_made(bank))
    await kill(process)
    bank.gate.set()
    assert (await state(db), await money_is(db)) == ("paying", (0, 20_050, 0))
    await recover(db, start, step)
    assert_paid_once(bank)
    assert bank.asked.count("pay") == 1


async def test_killed_before_the_outcome_is_written_down_it_is_looked_up_and_paid_once(
    db: Db, database: DatabaseUrls, bank: Server, start: Start, step: loop.Step
) -> None:
    await approved(db, bank.slug)
    bank.gate.clear()
    process = await start("jobs")
    await step(soon_ms())
    await until(lambda: is_made(bank))
    async with holding(database.migrate, LOCK):
        bank.gate.set()
        await until(lambda: is_someone_waiting(db))
        await kill(process)
    await recover(db, start, step)
    assert_paid_once(bank)
    assert bank.asked.count("pay") == 1
    assert await money_is(db) == (0, 0, 20_050)
