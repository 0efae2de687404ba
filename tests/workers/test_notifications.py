"""Messages on their way: sent once, again only when they certainly were not, and forgotten."""

from __future__ import annotations

import stat
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import mail
from core.http import Send
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent, Unknown
from core.smtp import Server
from core.templates import Channel, Message
from db import dead_letters, notifications, retention
from db.notifications import New, Outgoing
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db
from tests.workers.mailservers import Mailserver, mailserver, read, scripted
from workers import jobs, loop
from workers import notifications as actor
from workers.broker import Tools
from workers.channels.chain import Chain, Ended, Link
from workers.channels.smtp import Smtp

SENDER = mail.mailbox("no-reply@example.com", "Stampgate")
NOW_MS = 1_700_000_000_000
DELAYS_S = (0, 5, 60)


@pytest.fixture(autouse=True)
async def program(db: Db) -> None:
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tee & Co', 'EUR', 'UTC')",
        PROGRAM,
    )


@pytest.fixture
async def server() -> AsyncIterator[Mailserver]:
    async with mailserver() as running:
        yield running


@pytest.fixture
def mailing(tools: Tools, server: Mailserver) -> Tools:
    return through(tools, server.port)


def through(tools: Tools, port: int) -> Tools:
    """Tools with a mail server."""
    smtp = Smtp(Server("127.0.0.1", port, "off", "", ""), SENDER, 0.5)
    return tools._replace(channels={**tools.channels, "email": Chain([Link(smtp)])})


def new(dedupe_key: str = "1", **changes: Any) -> New:
    complete = New(
        program_id=PROGRAM,
        recipient_kind="member",
        recipient_id="mem_1",
        channel="email",
        address="asha@example.com",
        template="password_changed",
        language="de-AT",
        variables={},
        dedupe_key=dedupe_key,
    )
    return msgspec.structs.replace(complete, **changes)


def code(dedupe_key: str = "1", **changes: Any) -> New:
    variables = {"code": "482913", "minutes": 5}
    return new(dedupe_key, template="sign_in_code", variables=variables, **changes)


async def add(db: Db, wanted: New) -> str:
    added = await notifications.add(db, RING, wanted)
    assert added is not None
    return added


async def perform_all(db: Db, tools: Tools) -> None:
    for row in await db.fetch("SELECT id, attempts FROM outbox ORDER BY id"):
        await jobs.perform(tools, row["id"], row["attempts"])


async def stored(db: Db) -> dict[str, Any]:
    row = await db.fetchrow("SELECT * FROM notification")
    assert row is not None
    return dict(row)


async def waiting(db: Db) -> int:
    return int(await db.fetchval("SELECT count(*) FROM outbox"))


async def test_a_message_arrives_in_the_recipients_language_under_the_programs_name(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    await add(db, code())
    await perform_all(db, mailing)
    [received] = server.mails
    assert received["subject"] == "Ihr Anmeldecode für Tee & Co"
    assert received["from"] == "Tee & Co <no-reply@example.com>"
    assert "482913" in received.get_content()
    row = await stored(db)
    assert (row["state"], row["attempts"], row["provider"]) == ("sent", 1, "smtp")
    assert row["provider_reference"] == "2.0.0 queued as 7"
    assert row["variables"] is None
    assert await waiting(db) == 0


async def test_without_a_mail_server_messages_land_in_a_folder(db: Db, tools: Tools) -> None:
    folder = Path(tools.settings.outbox_dir)
    mailed = await add(db, code("1"))
    texted = await add(db, code("2", channel="sms", address="+4917612345678"))
    await perform_all(db, tools)
    received = read((folder / f"{mailed}.eml").read_bytes())
    assert "482913" in received.get_content()
    said = (folder / f"{texted}.txt").read_text()
    assert said.startswith("To: +4917612345678\n")
    assert "482913" in said
    assert stat.S_IMODE((folder / f"{mailed}.eml").stat().st_mode) == 0o600
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert len(list(folder.iterdir())) == 2


async def test_a_folder_that_cannot_be_written_is_tried_again(db: Db, tools: Tools) -> None:
    Path(tools.settings.outbox_dir).write_text("a file")
    await add(db, code())
    await perform_all(db, tools)
    assert (await stored(db))["state"] == "queued"
    Path(tools.settings.outbox_dir).unlink()
    await perform_all(db, tools)
    assert (await stored(db))["state"] == "sent"


async def test_a_programs_own_text_is_used(db: Db, mailing: Tools, server: Mailserver) -> None:
    await db.execute(
        "INSERT INTO template (program_id, name, channel, language, subject, text, html)"
        " VALUES ($1, 'sign_in_code', 'email', 'de', 'Hallo', '{code}!', '<b>{program}</b>')",
        PROGRAM,
    )
    await add(db, code())
    await perform_all(db, mailing)
    [received] = server.mails
    assert received["subject"] == "Hallo"
    html = received.get_body(("html",))
    assert html is not None
    assert "<b>Tee &amp; Co</b>" in html.get_content()


async def test_an_own_text_that_lacks_a_variable_is_not_sent(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    """Saved by an earlier version, which knew more variables."""
    await db.execute(
        "INSERT INTO template (program_id, name, channel, language, subject, text)"
        " VALUES ($1, 'sign_in_code', 'email', 'de', 'Hallo', '{code} {name}')",
        PROGRAM,
    )
    await add(db, code())
    await perform_all(db, mailing)
    assert server.received == []
    row = await stored(db)
    assert row["state"] == "refused"
    assert "name" in row["last_error"]


async def test_platform_staff_are_written_to_by_the_platform(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    await add(db, new(program_id=None, recipient_kind="operator", language="en"))
    await perform_all(db, mailing)
    [received] = server.mails
    assert received["from"] == "Stampgate <no-reply@example.com>"
    assert received["subject"] == "Your password for Stampgate was changed"


async def test_one_dedupe_key_is_one_message(db: Db, mailing: Tools, server: Mailserver) -> None:
    for _ in range(5):
        await notifications.add(db, RING, new())
    await perform_all(db, mailing)
    assert len(server.received) == 1


async def test_one_message_with_many_tasks_is_sent_once(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    await add(db, new())
    await db.execute("INSERT INTO outbox (task, payload) SELECT task, payload FROM outbox")
    await perform_all(db, mailing)
    assert len(server.received) == 1
    assert await waiting(db) == 0


async def test_a_greylisting_server_gets_it_later(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    server.refusals["RCPT"] = "451 4.7.1 later"
    await add(db, code())
    await perform_all(db, mailing)
    row = await stored(db)
    assert (row["state"], row["attempts"]) == ("queued", 1)
    assert row["variables"] is not None
    assert row["next_attempt_at"] == await db.fetchval("SELECT due_at FROM outbox")
    server.refusals.clear()
    await perform_all(db, mailing)
    assert (await stored(db))["state"] == "sent"
    assert len(server.received) == 1


async def test_a_refused_address_ends_it_without_a_dead_letter(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    server.refusals["RCPT"] = "550 5.1.1 asha@example.com is unknown"
    await add(db, code())
    await perform_all(db, mailing)
    row = await stored(db)
    assert (row["state"], row["variables"]) == ("refused", None)
    assert row["last_error"] == "the mail server answered 550 5.1.1"
    assert await waiting(db) == 0
    assert await dead_letters.counts(db) == {}


@pytest.mark.parametrize("address", ["a@b.de\r\nRCPT TO:<eve@example.com>", "nobody"])
async def test_an_address_that_is_none_is_refused(
    db: Db, mailing: Tools, server: Mailserver, address: str
) -> None:
    await add(db, new(address=address))
    await perform_all(db, mailing)
    assert (await stored(db))["state"] == "refused"
    assert server.received == []


async def test_what_may_have_arrived_is_not_sent_again_until_somebody_says_so(
    db: Db, tools: Tools
) -> None:
    async with scripted(TEXT=None) as script:
        mailing = through(tools, script.port)
        await add(db, new())
        await perform_all(db, mailing)
        row = await stored(db)
        assert (row["state"], script.texts) == ("unknown", 1)
        assert await waiting(db) == 0
        [letter] = await dead_letters.page(db, limit=10)
        assert letter.error == "the mail server hung up"
        script.answers["TEXT"] = "250 OK"
        await dead_letters.replay(db, letter.id)
        await perform_all(db, mailing)
        assert ((await stored(db))["state"], script.texts) == ("sent", 2)


async def test_a_code_that_may_have_arrived_is_forgotten(db: Db, tools: Tools) -> None:
    async with scripted(TEXT="") as script:
        await add(db, code())
        await perform_all(db, through(tools, script.port))
    row = await stored(db)
    assert (row["state"], row["variables"]) == ("unknown", None)
    assert await dead_letters.counts(db) == {}
    assert await waiting(db) == 0


async def test_an_exhausted_schedule_is_a_dead_letter_whose_replay_begins_anew(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    server.refusals["MAIL"] = "421 4.3.2 down"
    await add(db, new())
    for _ in DELAYS_S:
        await perform_all(db, mailing)
    row = await stored(db)
    assert (row["state"], row["attempts"]) == ("failed", 3)
    assert await dead_letters.counts(db) == {"send_notification": 1}
    [letter] = await dead_letters.page(db, limit=10)
    await dead_letters.replay(db, letter.id)
    await perform_all(db, mailing)
    row = await stored(db)
    assert (row["state"], row["attempts"]) == ("queued", 1)
    server.refusals.clear()
    await perform_all(db, mailing)
    assert (await stored(db))["state"] == "sent"


async def test_a_code_that_nobody_can_use_any_more_is_not_sent(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    await add(db, code(expires_at_ms=loop.now_ms() - 1))
    await perform_all(db, mailing)
    row = await stored(db)
    assert (row["state"], row["variables"]) == ("failed", None)
    assert row["last_error"] == actor.TOO_LATE
    assert server.received == []
    assert await waiting(db) == 0


async def test_what_was_under_way_when_its_worker_died_is_unknown(
    db: Db, mailing: Tools, server: Mailserver
) -> None:
    await add(db, new())
    await db.execute("UPDATE notification SET state = 'sending'")
    await perform_all(db, mailing)
    row = await stored(db)
    assert (row["state"], server.received) == ("unknown", [])
    assert row["last_error"] == actor.NOBODY_KNOWS.reason


class Overtaken:
    """A channel that somebody else overtakes before it may begin."""

    slug = "overtaken"
    channels: tuple[Channel, ...] = ("email",)

    def __init__(self, db: Db) -> None:
        self.db = db
        self.sent = 0

    def takes(self, message: Message) -> bool:
        return True

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        await self.db.execute("UPDATE notification SET state = 'sending', attempts = 4")
        await begin()
        self.sent += 1
        return Sent()


async def test_who_was_overtaken_sends_nothing(db: Db, tools: Tools) -> None:
    channel = Overtaken(db)
    await add(db, new())
    await perform_all(db, tools._replace(channels={"email": Chain([Link(channel)])}))
    row = await stored(db)
    assert (row["state"], row["attempts"], channel.sent) == ("sending", 4, 0)
    assert await waiting(db) == 1


async def test_old_notifications_are_forgotten_but_those_that_wait(db: Db, mailing: Tools) -> None:
    await add(db, new("1"))
    await perform_all(db, mailing)
    await add(db, new("2"))
    await retention.delete_notifications(db, loop.now_ms() - 60_000)
    assert await db.fetchval("SELECT count(*) FROM notification") == 2
    await retention.delete_notifications(db, loop.now_ms() + 60_000)
    assert (await stored(db))["state"] == "queued"


def outgoing(**changes: Any) -> Outgoing:
    return Outgoing(
        id="ntf_1",
        program_id=PROGRAM,
        program="Tea",
        recipient_kind="member",
        recipient_id="mem_1",
        channel="email",
        address="a@b.de",
        template="sign_in_code",
        language="en",
        variables={},
        state="queued",
        attempts=0,
        created_at_ms=NOW_MS,
        expires_at_ms=None,
    )._replace(**changes)


@pytest.mark.parametrize(
    ("outcome", "state", "is_forgotten"),
    [
        (Sent("x"), "sent", True),
        (Refused("no"), "refused", True),
        (Unknown("?"), "unknown", True),
        (Deferred("later"), "queued", False),
    ],
)
def test_what_follows_from_an_outcome(outcome: Outcome, state: str, is_forgotten: bool) -> None:  # noqa: FBT001
    result = actor.judge(outgoing(), Ended("smtp", outcome), DELAYS_S, NOW_MS, 0)
    assert (result.state, result.is_forgotten, result.attempts) == (state, is_forgotten, 1)


def test_the_wait_is_what_the_schedule_says_or_the_provider_asks_for() -> None:
    result = actor.judge(outgoing(), Ended("smtp", Deferred("later")), DELAYS_S, NOW_MS, 0.5)
    assert result.next_attempt_at_ms == NOW_MS + 5_500
    result = actor.judge(outgoing(), Ended("smtp", Deferred("later", 90)), DELAYS_S, NOW_MS, 0.5)
    assert result.next_attempt_at_ms == NOW_MS + 90_000


def test_an_attempt_that_would_come_too_late_is_not_waited_for() -> None:
    wanted = outgoing(expires_at_ms=NOW_MS + 5_000)
    result = actor.judge(wanted, Ended("smtp", Deferred("later")), DELAYS_S, NOW_MS, 0)
    assert (result.state, result.next_attempt_at_ms) == ("failed", None)


def test_waiting_for_its_turn_is_no_attempt() -> None:
    waited = Ended("smtp", Deferred("its share is used up", 7), is_counted=False)
    result = actor.judge(outgoing(), waited, DELAYS_S, NOW_MS, 0)
    assert (result.state, result.attempts) == ("queued", 0)
    assert result.next_attempt_at_ms == NOW_MS + 7_000
