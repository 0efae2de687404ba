"""Members hear of their money by one channel after the other until it is out, and once."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from core import contacts as spelling
from core import pushing, tasks
from core.networks import Rules
from core.notices import NoticeRules
from core.pushing import Browser
from core.settings import Settings
from core.templates import Channel
from db import (
    consents,
    contacts,
    dead_letters,
    members,
    networks,
    notices,
    notifications,
    outbox,
    preferences,
)
from db import push_subscriptions as devices
from tests.conftest import RING
from tests.providers.notifications import server
from tests.providers.notifications.pushers import Webpush
from tests.providers.notifications.server import Fault
from tests.providers.notifications.texters import NUMBER, Twilio
from tests.workers.conftest import PROGRAM, Db
from tests.workers.mailservers import Mailserver, mailserver, scripted
from workers import jobs, loop
from workers.broker import Tools
from workers.channels import table

MEMBER = "mem_1"
MAIL = "asha@example.com"
NETWORK = "net_1"
CONVERSION = """
INSERT INTO conversion (id, program_id, network_id, txn_id, event, version, state, status_word,
       commission_minor, corrected_minor, counted, member_id, attribution, reasons, booked_currency,
       booked_commission_minor, booked_cashback_minor, first_seen_at, updated_at)
VALUES ('cnv_1', $1, $2, 't1', '', 1, 'approved', '', 10000, 0, '{}', $3, 'click', '{}', 'INR',
        10000, 5000, now(), now())
"""


@pytest.fixture
async def mails() -> AsyncIterator[Mailserver]:
    async with mailserver() as running:
        yield running


@pytest.fixture
async def push() -> AsyncIterator[Webpush]:
    async with server.running(Webpush) as running:
        yield running


@pytest.fixture
async def twilio() -> AsyncIterator[Twilio]:
    async with server.running(Twilio) as running:
        yield running


@pytest.fixture
def settings(
    settings: Settings, mails: Mailserver, push: Webpush, twilio: Twilio, tmp_path: Path
) -> Settings:
    path = tmp_path / "providers.json"
    sections = {one.slug: one.config() for one in (push, twilio)}
    path.write_bytes(msgspec.json.encode({"notifications": sections}))
    return replace(
        settings,
        providers_file=str(path),
        mail_url=mails.url,
        gateway_url="https://gate.example.test",
    )


@pytest.fixture(autouse=True)
async def member(db: Db) -> None:
    """A member with a mail address that is proved."""
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'INR', 'UTC')",
        PROGRAM,
    )
    await members.add(db, RING, PROGRAM, MEMBER, members.NewMember())
    await contacts.put(db, RING, PROGRAM, MEMBER, spelling.email(MAIL), is_verified=True)


async def has_phone(db: Db) -> None:
    await contacts.put(db, RING, PROGRAM, MEMBER, spelling.phone(NUMBER), is_verified=True)


async def consents_to_whatsapp(db: Db, *, is_given: bool = True) -> None:
    said = consents.Said(is_given=is_given)
    consent_id = "cns_1" if is_given else "cns_2"
    await consents.add(
        db, PROGRAM, MEMBER, consent_id=consent_id, purpose="whatsapp", said=said, recorded_by="x"
    )


async def has_browser(db: Db, push: Webpush, path: str | None = None) -> None:
    """A browser at the local push service; at another path than its own there is nobody."""
    browser = Browser(push.url + (path or push.path), push.browser.keys)
    address = pushing.of_browser(browser, (push.host,))
    await devices.add(
        db, RING, PROGRAM, MEMBER, subscription_id=f"psh_{path}", kind="webpush", address=address
    )


async def tell(db: Db, **changes: Any) -> None:
    notice = notices.Notice(
        program_id=PROGRAM,
        member_id=MEMBER,
        template="cashback_credited",
        variables={"amount": "₹50.00"},
        dedupe_key="cnv_1_credited",
    )
    async with db.transaction():
        await notices.tell(db, RING, replace(notice, **changes))


async def perform_all(db: Db, tools: Tools, times: int = 5) -> None:
    """Perform what waits, and what comes of it, whenever it is due."""
    for _ in range(times):
        for row in await db.fetch("SELECT id, attempts FROM outbox ORDER BY id"):
            await jobs.perform(tools, row["id"], row["attempts"])


async def stands(db: Db) -> tuple[str, list[str]]:
    """The state of the one notice, and the channels that were tried."""
    [row] = await db.fetch("SELECT state, tried FROM notice")
    return row["state"], row["tried"]


async def messages(db: Db) -> list[tuple[str, str]]:
    rows = await db.fetch("SELECT channel, state FROM notification ORDER BY created_at, id")
    return [(row["channel"], row["state"]) for row in rows]


async def test_credited_cashback_is_told_by_mail_when_the_browser_is_gone(
    db: Db, tools: Tools, push: Webpush, mails: Mailserver
) -> None:
    await has_browser(db, push)
    push.is_gone = True
    new = networks.New(provider="generic", name="Shops", config={}, rules=Rules(), credentials=None)
    await networks.add(db, RING, PROGRAM, NETWORK, new, b"")
    await db.execute(CONVERSION, PROGRAM, NETWORK, MEMBER)
    for _ in range(2):
        await outbox.add(db, tasks.TellCashback(["cnv_1"]))
        await perform_all(db, tools)
    assert push.asked == [push.path]
    [mail] = mails.mails
    assert (mail["to"], mail["subject"]) == (MAIL, "₹50.00 cashback credited!")
    assert await stands(db) == ("told", ["push", "email"])
    assert await messages(db) == [("push", "refused"), ("email", "sent")]
    assert await devices.addresses(db, RING, PROGRAM, MEMBER) == []
    assert await dead_letters.counts(db) == {}


async def test_what_one_of_two_browsers_shows_is_told(
    db: Db, tools: Tools, push: Webpush, mails: Mailserver
) -> None:
    await has_browser(db, push, "/push/gone")
    await has_browser(db, push)
    await tell(db)
    await tell(db)
    await perform_all(db, tools)
    assert [one["title"] for one in push.messages] == ["₹50.00 cashback credited!"]
    assert mails.mails == []
    assert await stands(db) == ("told", ["push"])


async def test_of_two_failures_at_one_moment_one_goes_on(
    db: Db, tools: Tools, push: Webpush, mails: Mailserver
) -> None:
    for name in ("a", "b", "c"):
        await has_browser(db, push, f"/push/{name}")
    await tell(db)
    rows = await db.fetch("SELECT id, attempts FROM outbox")
    assert len(rows) == 3
    await asyncio.gather(*(jobs.perform(tools, row["id"], row["attempts"]) for row in rows))
    await perform_all(db, tools)
    assert len(mails.mails) == 1
    assert await stands(db) == ("told", ["push", "email"])


@pytest.mark.parametrize(
    ("rules", "tried"),
    [
        (NoticeRules(), ["push"]),
        (NoticeRules(channels=("sms", "push")), ["sms"]),
        (NoticeRules(channels=("sms",), channels_of={"cashback_credited": ("email",)}), ["email"]),
        (NoticeRules(channels_of={"withdrawal_paid": ("email",)}), ["push"]),
    ],
)
async def test_the_program_says_in_which_order(
    db: Db, push: Webpush, rules: NoticeRules, tried: list[str]
) -> None:
    await has_browser(db, push)
    await has_phone(db)
    await order(db, rules)
    await tell(db)
    assert await stands(db) == ("open", tried)


async def order(db: Db, rules: NoticeRules) -> None:
    settings = msgspec.json.encode({"notices": rules}).decode()
    await db.execute("UPDATE program SET settings = $2 WHERE id = $1", PROGRAM, settings)


async def test_by_no_channel_nobody_is_told(db: Db) -> None:
    await order(db, NoticeRules(channels_of={"cashback_credited": ()}))
    await tell(db)
    assert await db.fetchval("SELECT count(*) FROM notice") == 0


async def say(db: Db, *channels: Channel) -> None:
    for channel in channels:
        await preferences.say(db, PROGRAM, MEMBER, "rewards", channel)


async def test_a_channel_that_does_not_reach_the_member_is_passed_over(
    db: Db, push: Webpush
) -> None:
    """Each step takes the present first channel away, or brings an earlier one."""
    await has_browser(db, push)
    await has_phone(db)
    seen: list[list[str]] = []

    async def first(**changes: Any) -> None:
        await tell(db, dedupe_key=str(len(seen)), **changes)
        row = await db.fetchrow("SELECT tried FROM notice WHERE dedupe_key = $1", str(len(seen)))
        assert row is not None
        seen.append(row["tried"])

    await say(db, "push")
    await first()
    await consents_to_whatsapp(db)
    await first()
    await consents_to_whatsapp(db, is_given=False)
    await contacts.mark_unreachable(db, RING, PROGRAM, MEMBER, spelling.email(MAIL))
    await first()
    await say(db, "sms")
    await first()
    # What concerns security asks nobody, but for the consent.
    await devices.forget(db, RING, PROGRAM, push.address)
    await first(template="withdrawal_requested")
    await db.execute("UPDATE member_contact SET verified_at = NULL")
    await first(template="withdrawal_requested")
    assert seen == [["email"], ["whatsapp"], ["sms"], [], ["email"], []]
    rows = await db.fetch("SELECT state FROM notice ORDER BY dedupe_key")
    assert [row["state"] for row in rows] == [
        *("open", "open", "open", "unreachable", "open", "unreachable")
    ]


async def test_a_provider_that_stays_away_is_not_waited_for_longer_than_its_attempts(
    db: Db, tools: Tools, twilio: Twilio, mails: Mailserver
) -> None:
    await has_phone(db)
    await consents_to_whatsapp(db)
    twilio.faults[twilio.path] = [Fault(503)] * 3
    await tell(db)
    await perform_all(db, tools, 2)
    assert (await stands(db), mails.mails) == (("open", ["whatsapp"]), [])
    await perform_all(db, tools)
    assert len(mails.mails) == 1
    assert await messages(db) == [("whatsapp", "failed"), ("email", "sent")]
    # Its replay would tell the member again.
    assert await dead_letters.counts(db) == {}


async def test_when_no_channel_is_left_it_is_written_down(
    db: Db, tools: Tools, twilio: Twilio, mails: Mailserver
) -> None:
    await has_phone(db)
    await order(db, NoticeRules(channels=("sms", "email")))
    mails.refusals["RCPT"] = "550 5.1.1 unknown"
    # After five failures in a row a provider would be left alone.
    twilio.faults[twilio.path] = [Fault(503)] * 4
    tools = tools._replace(settings=replace(tools.settings, notification_schedule_s="0,5"))
    await tell(db)
    await perform_all(db, tools)
    assert await stands(db) == ("unreachable", ["sms", "email"])
    assert await dead_letters.counts(db) == {}
    text_id = await db.fetchval("SELECT id FROM notification WHERE channel = 'sms'")
    # Somebody has it sent again, first in vain, and once more when the provider is back.
    await notifications.resend(db, PROGRAM, text_id)
    await perform_all(db, tools)
    [letter] = await dead_letters.page(db, limit=10)
    await dead_letters.replay(db, letter.id)
    await perform_all(db, tools)
    assert len(twilio.forms) == 1
    assert await stands(db) == ("told", ["sms", "email"])


async def test_what_may_have_arrived_is_not_told_by_another_channel(db: Db, tools: Tools) -> None:
    await has_phone(db)
    async with scripted(TEXT=None) as script:
        settings = replace(tools.settings, mail_url=f"smtp://127.0.0.1:{script.port}?tls=off")
        await tell(db)
        await perform_all(db, tools._replace(channels=table.chosen(settings)))
    assert await messages(db) == [("email", "unknown")]
    assert await stands(db) == ("open", ["email"])
    assert await dead_letters.counts(db) == {"send_notification": 1}


@pytest.mark.parametrize("kept", [("webpush",), ()])
async def test_a_channel_that_nobody_is_set_up_for_is_passed_over(
    db: Db, tools: Tools, mails: Mailserver, tmp_path: Path, kept: Sequence[str]
) -> None:
    await has_phone(db)
    await consents_to_whatsapp(db)
    await order(db, NoticeRules(channels=("whatsapp", "sms", "email")))
    path = Path(tools.settings.providers_file)
    sections = msgspec.json.decode(path.read_bytes())["notifications"]
    rest = {slug: section for slug, section in sections.items() if slug in kept}
    path.write_bytes(msgspec.json.encode({"notifications": rest}))
    await tell(db)
    await perform_all(db, tools._replace(channels=table.chosen(tools.settings)))
    assert len(mails.mails) == 1
    assert await stands(db) == ("told", ["whatsapp", "sms", "email"])
    assert not Path(tools.settings.outbox_dir).exists()


async def test_in_quiet_hours_a_notice_waits(
    db: Db, tools: Tools, push: Webpush, mails: Mailserver, monkeypatch: pytest.MonkeyPatch
) -> None:
    night = dt.datetime(2026, 11, 24, 23, 0, tzinfo=dt.UTC)
    monkeypatch.setattr(loop, "now_ms", lambda: int(night.timestamp() * 1000))
    await has_browser(db, push)
    quiet = "INSERT INTO quiet_hours VALUES ($1, $2, 1320, 420)"
    await db.execute(quiet, MEMBER, PROGRAM)
    await tell(db)
    await perform_all(db, tools)
    assert (push.asked, mails.mails, await stands(db)) == ([], [], ("open", ["push"]))
    await db.execute("DELETE FROM quiet_hours")
    await perform_all(db, tools)
    assert (len(push.messages), await stands(db)) == (1, ("told", ["push"]))
