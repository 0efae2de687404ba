"""Exports and erasures of a member, with points in the books, and a kill between any two steps."""

from __future__ import annotations

import datetime as dt
import itertools
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import contacts as contacts_
from core.kyc import Document
from core.payout_methods import Upi
from core.preferences import QuietHours, Unwanted
from core.settings import Settings
from db import (
    claim_evidence,
    consents,
    contacts,
    credentials,
    erasures,
    exports,
    keys,
    kyc,
    ledger,
    members,
    notices,
    notifications,
    outbox,
    payout_methods,
    personal,
    pg,
    preferences,
    reconcile,
    redis,
    referral_codes,
    sealing,
)
from tests.conftest import RING
from tests.db.accounts import MEMBER, PROGRAM, Bank, ask
from tests.workers import rows
from tests.workers.test_flush import award, bank, drained, flushing, opened
from workers import jobs, loop, privacy
from workers.broker import Tools

__all__ = ["bank"]

NAMED = ("Asha Verma", "asha@example.com", "Pune", "m-4711", "Lynx/2.9", "https://from.example")
OTHER = "mem_2"
NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)


class Killed(BaseException):
    """The process ended here."""


def an_hour_far_off() -> QuietHours:
    """Quiet hours that it is not now, whenever the tests run: they would hold the mails back."""
    hour = dt.datetime.now(dt.UTC).hour
    return QuietHours(f"{(hour + 6) % 24:02}:00", f"{(hour + 7) % 24:02}:00")


@pytest.fixture
async def member(db: pg.Db) -> str:
    """A member of whom everything is known that can be, beside another one."""
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    for member_id, mail in ((MEMBER, NAMED[1]), (OTHER, "ben@example.com")):
        new = members.NewMember(
            name=NAMED[0] if member_id == MEMBER else "Ben",
            external_id=NAMED[3] if member_id == MEMBER else None,
            attributes={"city": NAMED[2]} if member_id == MEMBER else {},
        )
        await members.add(db, RING, PROGRAM, member_id, new)
        await contacts.put(db, RING, PROGRAM, member_id, contacts_.email(mail), is_verified=True)
        await credentials.put(db, member_id, PROGRAM, "$argon2id$")
        await consents.add(
            db,
            PROGRAM,
            member_id,
            consent_id=f"cns_{member_id}",
            purpose="newsletter",
            said=consents.Said(is_given=True),
            recorded_by=member_id,
        )
        await notifications.add(db, RING, note(member_id, mail))
        await notices.tell(db, RING, notice(member_id))
        device = sealing.seal(RING, mail, "push_subscription.address", f"psh_{member_id}")
        await db.execute(rows.DEVICE, member_id, PROGRAM, device)
        await preferences.put(db, PROGRAM, member_id, [Unwanted("news", "sms")], an_hour_far_off())
        await click(db, member_id)
        await db.execute(rows.SESSION, f"ses_{member_id}", PROGRAM, member_id)
        sealed = sealing.seal(RING, mail, "registration.contact", member_id)
        alias = sealing.seal(RING, f"alias of {mail}", "registration.name", member_id)
        await db.execute(rows.REGISTRATION, member_id, PROGRAM, sealed, alias)
        subject = sealing.seal(RING, f"at Google {mail}", "identity.subject", f"idn_{member_id}")
        await db.execute(rows.IDENTITY, member_id, PROGRAM, subject)
        await db.execute(rows.CODE, member_id, PROGRAM)
        await db.execute(rows.TOTP, member_id, PROGRAM, sealed)
        await db.execute(rows.RECOVERY, member_id)
        await db.execute(rows.CHALLENGE, member_id, PROGRAM)
        name = "Ben" if member_id == OTHER else NAMED[0]
        document = Document(kind="pan", number="ABCPE1234F", name=name)
        await kyc.put(db, RING, PROGRAM, member_id, document, NOW)
        details = Upi(vpa="asha@okbank", name=name)
        await payout_methods.add(db, RING, PROGRAM, member_id, f"pmt_{member_id}", details, NOW)
        said = msgspec.json.encode(claim_evidence.Content(mail, None)).decode()
        content = sealing.seal(RING, said, claim_evidence.CONTENT, f"evd_{member_id}")
        await db.execute(rows.CLAIM, member_id, PROGRAM)
        await db.execute(rows.EVIDENCE, member_id, PROGRAM, content)
        await referral_codes.make(db, PROGRAM, member_id, f"rfc_{member_id}", NOW)
    await db.execute(rows.REFERRAL, PROGRAM, MEMBER, OTHER)
    await db.execute("DELETE FROM outbox")
    return MEMBER


def note(member_id: str, mail: str) -> notifications.New:
    return notifications.New(
        program_id=PROGRAM,
        recipient_kind="member",
        recipient_id=member_id,
        channel="email",
        address=mail,
        template="sign_in_code",
        language="en",
        variables={"code": "482913", "minutes": 5},
        dedupe_key=member_id,
    )


def notice(member_id: str) -> notices.Notice:
    return notices.Notice(
        program_id=PROGRAM,
        member_id=member_id,
        template="cashback_credited",
        variables={"amount": "₹50.00"},
        dedupe_key=f"notice of {member_id}",
    )


async def click(db: pg.Db, member_id: str) -> None:
    await db.execute(
        "INSERT INTO click (day, click_id, program_id, link_id, clicked_at, class, reasons, device,"
        " system, browser, user_agent, referrer, privacy_signal, member_id, parameters)"
        " VALUES (current_date, gen_random_uuid()::text, $1, 'lnk_1', now(), 0, '{}', 'desktop',"
        " 'Linux', 'Lynx', $2, $3, false, $4, '{\"sub1\": \"x\"}')",
        PROGRAM,
        *(NAMED[4:] if member_id == MEMBER else ("Other", None)),
        member_id,
    )


async def want_export(db: pg.Db, number: int = 1) -> str:
    made = await exports.add(db, PROGRAM, MEMBER, export_id=f"exp_{number}", requested_by="test")
    return made.id


async def want_erasure(db: pg.Db) -> erasures.Erasure:
    return await erasures.add(db, PROGRAM, MEMBER, erasure_id="ers_1", requested_by="test")


async def perform_all(db: pg.Db, tools: Tools) -> None:
    """What the relay and the workers do with all rows, due or not."""
    for row in await db.fetch("SELECT id, attempts FROM outbox ORDER BY id"):
        await jobs.perform(tools, row["id"], row["attempts"])


def document(settings: Settings, number: int = 1) -> Path:
    folder = Path(settings.storage_url.removeprefix("file:"))
    return folder / exports.storage_key(PROGRAM, f"exp_{number}")


async def named(db: pg.Db) -> set[str]:
    """What of the member stands in the clear somewhere."""
    tables = await db.fetch("SELECT tablename FROM pg_tables WHERE schemaname = 'public'")
    texts = [
        await db.fetchval(f"SELECT string_agg(t::text, ' ') FROM {row['tablename']} AS t")
        for row in tables
    ]
    return {word for word in NAMED for text in texts if text and word in text}


async def left_of(db: pg.Db, member_id: str) -> dict[str, int]:
    """How many rows each table would export that has an eraser, but for the member's own."""
    found = {}
    for table in personal.ERASED:
        if table.name != "member":
            found[table.name] = len([row async for row in _rows(db, table, member_id)])
    return found


async def _rows(db: pg.Db, table: personal.Table, member_id: str) -> Any:
    async with db.transaction():
        async for row in personal.rows(db, RING, table, PROGRAM, member_id):
            yield row


async def test_an_export_has_all_that_is_known_and_nothing_of_others(
    settings: Settings, db: pg.Db, tools: Tools, member: str
) -> None:
    await want_export(db)
    await perform_all(db, tools)
    text = document(settings).read_text()
    said = msgspec.json.decode(text)
    assert said["member_id"] == member
    assert set(said["data"]) == {table.name for table in personal.EXPORTED}
    assert all(word in text for word in NAMED)
    assert not any(word in text for word in (OTHER, "Ben", "ben@example.com", "482913", "argon2id"))
    assert said["data"]["member"][0]["profile"] == {
        "name": NAMED[0],
        "attributes": {"city": "Pune"},
    }
    assert said["data"]["registration"][0]["name"] == f"alias of {NAMED[1]}"
    assert said["data"]["identity"][0]["subject"] == f"at Google {NAMED[1]}"
    assert said["data"]["click"][0]["parameters"] == {"sub1": "x"}
    assert said["data"]["kyc"][0]["document"]["number"] == "ABCPE1234F"
    assert said["data"]["payout_method"][0]["details"]["vpa"] == "asha@okbank"
    assert said["data"]["claim_evidence"][0]["content"]["text"] == NAMED[1]
    [referral] = said["data"]["referral"]
    assert (referral["side"], referral["reward_minor"]) == ("referee", 5)
    stored = await exports.get(db, PROGRAM, "exp_1")
    assert (stored.state, stored.size_bytes) == ("done", len(text.encode()))
    assert stored.steps_done == stored.steps == len(personal.EXPORTED)
    assert await db.fetchval("SELECT task FROM outbox") == "send_notification"


async def test_a_second_wish_is_the_first_while_that_is_under_way(
    db: pg.Db, tools: Tools, member: str
) -> None:
    assert [await want_export(db, n) for n in (1, 2)] == ["exp_1", "exp_1"]
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1
    await perform_all(db, tools)
    assert await want_export(db, 3) == "exp_3"


async def test_an_export_is_deleted_when_its_time_is_over(
    settings: Settings, db: pg.Db, tools: Tools, member: str
) -> None:
    await want_export(db)
    await perform_all(db, tools)
    await privacy.sweep(settings, db, loop.now_ms())
    assert document(settings).exists()
    await db.execute("UPDATE member_export SET expires_at = now() - interval '1 second'")
    await privacy.sweep(settings, db, loop.now_ms())
    assert not document(settings).exists()
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "expired"


async def test_an_erasure_leaves_the_ledger_and_nobody_in_it(
    settings: Settings,
    bank: Bank,
    db: pg.Db,
    tools: Tools,
    redis_connection: redis.Connection,
    member: str,
) -> None:
    async with flushing(settings):
        await opened(bank)
        await award(bank, 5)
        held = await bank.decide(ask("hold", 2))
        await drained(db, redis_connection)
        before = await db.fetch("SELECT * FROM ledger_transaction ORDER BY sequence")
        balances = await db.fetch("SELECT * FROM account ORDER BY id")
        await want_export(db)
        await perform_all(db, tools)
        assert await named(db) == set(NAMED[3:])
        await want_erasure(db)
        await perform_all(db, tools)
        await drained(db, redis_connection)
        assert held.amount == 2
    assert await db.fetch("SELECT * FROM ledger_transaction ORDER BY sequence") == before
    assert await db.fetch("SELECT * FROM account ORDER BY id") == balances
    assert await ledger.check(db) == []
    assert await db.fetchval("SELECT sum(balance) FROM account") == 0
    for number in range(keys.AWARD_PARTITIONS):
        assert await reconcile.compare(db, redis_connection, number) == []
    assert await bank.state.balances(PROGRAM, MEMBER) is None
    assert set((await left_of(db, MEMBER)).values()) == {0}
    assert 0 not in (await left_of(db, OTHER)).values()
    assert await named(db) == set()
    assert not document(settings).exists()
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "canceled"
    row = await db.fetchrow("SELECT * FROM member WHERE id = $1", MEMBER)
    assert row is not None
    assert (row["profile"], row["external_id"]) == (None, None)
    assert None not in (row["erased_at"], row["deleted_at"])
    assert await db.fetchval("SELECT count(*) FROM click") == 2
    done = await erasures.get(db, PROGRAM, "ers_1")
    assert (done.state, done.steps_done) == ("done", done.steps)
    assert MEMBER in {row["id"] for row in await db.fetch("SELECT id FROM revocation")}


def steps(
    monkeypatch: pytest.MonkeyPatch, tools: Tools, die_at: Callable[[int], bool]
) -> itertools.count[int]:
    """Let the process end before the steps that `die_at` names."""
    number = itertools.count()

    def mortal(step: Callable[..., Awaitable[Any]]) -> Callable[..., Awaitable[Any]]:
        async def taken(*arguments: Any, **named: Any) -> Any:
            if die_at(next(number)):
                raise Killed
            return await step(*arguments, **named)

        return taken

    for module, name in (
        *((personal, "erase"), (erasures, "advance"), (erasures, "finish"), (outbox, "done")),
        *((exports, "start"), (exports, "of_member"), (exports, "cancel"), (exports, "finish")),
        *((tools.storage, "put"), (tools.storage, "delete")),
    ):
        monkeypatch.setattr(module, name, mortal(getattr(module, name)))
    return number


@pytest.mark.parametrize("kind", ["export", "erasure"])
async def test_a_kill_between_any_two_steps_costs_time_only(
    settings: Settings,
    db: pg.Db,
    tools: Tools,
    member: str,
    redis_connection: redis.Connection,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    for number in range(keys.AWARD_PARTITIONS):
        head = (1, 0, redis_connection.run_id, 1)
        await redis_connection.run(redis.POINTS_HEAD, (keys.award_head(number),), head)
    await want_export(db)
    if kind == "erasure":
        await perform_all(db, tools)
        await want_erasure(db)
    deaths = iter(range(100))
    die_at = [next(deaths)]
    with monkeypatch.context() as patched:
        count = steps(patched, tools, lambda number: number == die_at[0])
        for _ in range(100):
            try:
                await perform_all(db, tools)
                await perform_all(db, tools)
                break
            except Killed:
                # The next process takes the steps anew, and gets one further.
                die_at[0] = next(count) + next(deaths)
        else:
            pytest.fail("it never ended")
    assert next(deaths) > 3
    assert await db.fetchval("SELECT count(*) FROM outbox") == 0
    if kind == "export":
        assert (await exports.get(db, PROGRAM, "exp_1")).state == "done"
        assert NAMED[0] in document(settings).read_text()
    else:
        assert (await erasures.get(db, PROGRAM, "ers_1")).state == "done"
        assert not document(settings).exists()
        assert await named(db) == set()


async def test_an_export_that_an_erasure_overtakes_leaves_no_file(
    settings: Settings, db: pg.Db, tools: Tools, member: str
) -> None:
    await want_export(db)
    wanted = await exports.start(db, "exp_1")
    assert wanted is not None
    await db.execute(personal.ERASE_MEMBER, PROGRAM, MEMBER)
    await perform_all(db, tools)
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "canceled"
    assert not document(settings).exists()


async def test_clicks_that_come_late_are_forgotten_too(
    settings: Settings, db: pg.Db, tools: Tools, member: str
) -> None:
    await want_erasure(db)
    await db.execute("UPDATE erasure SET state = 'done', finished_at = now()")
    await privacy.sweep(settings, db, loop.now_ms())
    assert (await left_of(db, MEMBER))["click"] == 0
    assert (await left_of(db, OTHER))["click"] == 1


async def test_a_storage_that_is_away_is_waited_for(
    settings: Settings, db: pg.Db, tools: Tools, member: str
) -> None:
    await want_export(db)
    folder = Path(settings.storage_url.removeprefix("file:"))
    folder.write_text("a file stands where the folder should be")
    await perform_all(db, tools)
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "running"
    folder.unlink()
    await perform_all(db, tools)
    assert (await exports.get(db, PROGRAM, "exp_1")).state == "done"
