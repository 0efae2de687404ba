"""What a member does not want, or not now, is not sent; security is, whatever was said."""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any

import msgspec
import pytest

from core import contacts as spelling
from core import preferences
from core.http import Send
from core.preferences import Unsubscribe
from core.providers.protocols import About, Begin, Outcome, Refused
from core.templates import Channel, Message, Value
from db import contacts, dead_letters, notifications, push_subscriptions
from db.notifications import New
from tests.conftest import RING
from tests.workers.conftest import PROGRAM, Db
from tests.workers.mailservers import read
from workers import jobs, loop
from workers import notifications as actor
from workers.broker import Tools
from workers.channels.chain import Chain, Link

MEMBER = "mem_1"
MAIL = "asha@example.com"
NOW = dt.datetime(2026, 11, 24, 23, 0, tzinfo=dt.UTC)


@pytest.fixture(autouse=True)
async def member(db: Db) -> None:
    await db.execute(
        "INSERT INTO program (id, name, currency, time_zone) VALUES ($1, 'Tea', 'EUR', 'UTC')",
        PROGRAM,
    )
    await db.execute("INSERT INTO member (id, program_id) VALUES ($1, $2)", MEMBER, PROGRAM)
    await contacts.put(db, RING, PROGRAM, MEMBER, spelling.email(MAIL), is_verified=True)


@pytest.fixture
def night(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is 23:00 in UTC."""
    monkeypatch.setattr(loop, "now_ms", lambda: int(NOW.timestamp() * 1000))


async def add(db: Db, template: str = "export_ready", **changes: Any) -> str:
    link: dict[str, Value] = {"url": "https://x.test/", "hours": 24}
    variables = link if template == "export_ready" else {}
    new = New(
        program_id=PROGRAM,
        recipient_kind="member",
        recipient_id=MEMBER,
        channel="email",
        address=MAIL,
        template=template,
        language="en",
        variables=variables,
        dedupe_key=template,
    )
    added = await notifications.add(db, RING, msgspec.structs.replace(new, **changes))
    assert added is not None
    return added


async def perform_all(db: Db, tools: Tools) -> None:
    for row in await db.fetch("SELECT id, attempts FROM outbox ORDER BY id"):
        await jobs.perform(tools, row["id"], row["attempts"])


async def stored(db: Db, notification_id: str) -> dict[str, Any]:
    row = await db.fetchrow("SELECT * FROM notification WHERE id = $1", notification_id)
    assert row is not None
    return dict(row)


async def say(db: Db, topic: str, channel: str = "email", *, is_wanted: bool = False) -> None:
    await db.execute(
        "INSERT INTO notification_preference VALUES ($1, $2, $3, $4, $5, 'member')",
        *(MEMBER, PROGRAM, topic, channel, is_wanted),
    )


def sent(tools: Tools) -> list[Path]:
    folder = Path(tools.settings.outbox_dir)
    return sorted(folder.iterdir()) if folder.exists() else []


@pytest.mark.parametrize("topic", ["account", "all"])
async def test_what_is_not_wanted_is_not_sent(db: Db, tools: Tools, topic: str) -> None:
    await say(db, topic)
    added = await add(db)
    await perform_all(db, tools)
    row = await stored(db, added)
    assert (row["state"], row["last_error"]) == ("refused", actor.UNWANTED)
    assert row["variables"] is None
    assert sent(tools) == []
    assert await dead_letters.counts(db) == {}


@pytest.mark.parametrize(
    ("topic", "channel", "is_wanted"),
    [("rewards", "email", False), ("account", "sms", False), ("account", "email", True)],
)
async def test_what_was_said_of_something_else_does_not_count(
    db: Db, tools: Tools, topic: str, channel: str, *, is_wanted: bool
) -> None:
    await say(db, topic, channel, is_wanted=is_wanted)
    added = await add(db)
    await perform_all(db, tools)
    assert (await stored(db, added))["state"] == "sent"


async def be_quiet(db: Db, begins: int = 22 * 60, ends: int = 7 * 60) -> None:
    await db.execute(
        "INSERT INTO quiet_hours (member_id, program_id, begins_minute, ends_minute)"
        " VALUES ($1, $2, $3, $4)",
        *(MEMBER, PROGRAM, begins, ends),
    )


@pytest.mark.usefixtures("night")
async def test_in_quiet_hours_it_waits_for_their_end_and_loses_no_attempt(
    db: Db, tools: Tools
) -> None:
    await be_quiet(db)
    added = await add(db)
    await perform_all(db, tools)
    row = await stored(db, added)
    assert (row["state"], row["attempts"]) == ("queued", 0)
    assert row["next_attempt_at"] == NOW + dt.timedelta(hours=8)
    assert await db.fetchval("SELECT due_at FROM outbox") == row["next_attempt_at"]
    assert sent(tools) == []


@pytest.mark.usefixtures("night")
async def test_what_is_of_no_use_after_quiet_hours_is_given_up(db: Db, tools: Tools) -> None:
    await be_quiet(db)
    added = await add(db, expires_at_ms=int((NOW + dt.timedelta(hours=1)).timestamp() * 1000))
    await perform_all(db, tools)
    assert (await stored(db, added))["state"] == "failed"


@pytest.mark.usefixtures("night")
async def test_outside_of_quiet_hours_it_is_sent(db: Db, tools: Tools) -> None:
    await be_quiet(db, begins=0, ends=6 * 60)
    added = await add(db)
    await perform_all(db, tools)
    assert (await stored(db, added))["state"] == "sent"


@pytest.mark.usefixtures("night")
async def test_security_is_told_whatever_was_said(db: Db, tools: Tools) -> None:
    await be_quiet(db)
    await say(db, "all")
    await say(db, "security")
    await contacts.mark_unreachable(db, RING, PROGRAM, MEMBER, spelling.email(MAIL))
    added = await add(db, "password_changed")
    await perform_all(db, tools)
    assert (await stored(db, added))["state"] == "sent"
    [file] = sent(tools)
    assert "List-Unsubscribe" not in read(file.read_bytes())


async def test_where_nothing_arrives_only_security_is_tried(db: Db, tools: Tools) -> None:
    await contacts.mark_unreachable(db, RING, PROGRAM, MEMBER, spelling.email(MAIL))
    added = await add(db)
    await perform_all(db, tools)
    row = await stored(db, added)
    assert (row["state"], row["last_error"]) == ("refused", actor.UNREACHABLE)


async def test_a_mail_has_a_link_that_ends_such_mails(db: Db, tools: Tools) -> None:
    public = msgspec.structs.replace(tools.settings, gateway_url="https://gate.example.test/")
    await add(db)
    await perform_all(db, tools._replace(settings=public))
    [file] = sent(tools)
    mail = read(file.read_bytes())
    assert mail["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    link = mail["List-Unsubscribe"]
    assert link.startswith("<https://gate.example.test/u/")
    token = link.removeprefix("<https://gate.example.test/u/").removesuffix(">")
    assert preferences.read_token(RING, token) == Unsubscribe(PROGRAM, MEMBER, "account", "email")


async def test_without_a_public_address_there_is_no_link(db: Db, tools: Tools) -> None:
    await add(db)
    await perform_all(db, tools)
    [file] = sent(tools)
    assert "List-Unsubscribe" not in read(file.read_bytes())


class Refusing:
    """A provider that refuses everything, for a reason."""

    slug = "refusing"
    channels: tuple[Channel, ...] = ("email", "push")

    def __init__(self, about: About) -> None:
        self.about = about

    def takes(self, message: Message) -> bool:
        return True

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        await begin()
        return Refused("no", self.about)


@pytest.mark.parametrize(("about", "left"), [("address", 1), ("message", 2)])
async def test_a_device_that_is_gone_is_forgotten(
    db: Db, tools: Tools, about: About, left: int
) -> None:
    for number in (1, 2):
        await push_subscriptions.add(
            db,
            RING,
            PROGRAM,
            MEMBER,
            subscription_id=f"psh_{number}",
            kind="apns",
            address=f"apns:{number:064x}",
        )
    channels = {**tools.channels, "push": Chain([Link(Refusing(about))])}
    added = await add(db, "password_changed", channel="push", address=f"apns:{1:064x}")
    await perform_all(db, tools._replace(channels=channels))
    assert (await stored(db, added))["state"] == "refused"
    assert len(await push_subscriptions.addresses(db, RING, PROGRAM, MEMBER)) == left


async def test_a_push_without_a_provider_lands_in_the_folder(db: Db, tools: Tools) -> None:
    added = await add(db, "password_changed", channel="push", address=f"apns:{1:064x}")
    await perform_all(db, tools)
    assert (await stored(db, added))["state"] == "sent"
    [file] = sent(tools)
    assert "was changed" in file.read_text()


@pytest.mark.parametrize(
    ("about", "is_unreachable", "is_unwanted"),
    [("message", False, False), ("address", True, False), ("opt_out", False, True)],
)
async def test_a_refusal_says_something_about_the_address(
    db: Db, tools: Tools, about: About, *, is_unreachable: bool, is_unwanted: bool
) -> None:
    channels = {**tools.channels, "email": Chain([Link(Refusing(about))])}
    await add(db, "password_changed")
    await perform_all(db, tools._replace(channels=channels))
    [contact] = await contacts.of_member(db, RING, PROGRAM, MEMBER)
    assert (contact.unreachable_at is not None) == is_unreachable
    rows = await db.fetch("SELECT topic, said_by FROM notification_preference WHERE NOT is_wanted")
    assert [tuple(row) for row in rows] == ([("all", "provider")] if is_unwanted else [])
