"""What members say they want to hear, and links that end messages without a sign-in."""

from __future__ import annotations

from typing import Any

import pytest

from core import preferences
from core.fields import NONCE_BYTES
from core.preferences import Unsubscribe
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import RING, Client, Db

PATH = "/v1/me/notification-preferences"
NIGHT = {"begins": "22:00", "ends": "07:00"}
UNWANTED = {"topic": "rewards", "channel": "email"}


@pytest.fixture
async def me(client: Client, app: App) -> Client:
    """A member who has signed in."""
    await people.member(client, app)
    grant = (await people.log_in(client, people.program(client))).body
    return people.holding(client, grant)


async def said(db: Db) -> list[tuple[str, str, bool, str]]:
    rows = await db.fetch("SELECT * FROM notification_preference ORDER BY topic, channel")
    return [(row["topic"], row["channel"], row["is_wanted"], row["said_by"]) for row in rows]


async def audited(db: Db) -> list[str]:
    rows = await db.fetch("SELECT action FROM audit_entry ORDER BY at, id")
    return [row["action"] for row in rows if row["action"].startswith("notification_pref")]


async def test_at_first_all_is_wanted_at_any_time(me: Client) -> None:
    shown = (await me.get(PATH)).body
    assert shown == {
        "unwanted": [],
        "quiet_hours": None,
        "time_zone": "UTC",
        "topics": ["account", "rewards", "news"],
        "channels": ["email", "sms", "whatsapp", "push"],
    }


async def test_what_is_said_counts_and_is_said_anew(me: Client, db: Db) -> None:
    put = await me.put(PATH, {"unwanted": [UNWANTED], "quiet_hours": NIGHT})
    assert put.status == 200
    [shown] = put.body["unwanted"]
    assert (shown["topic"], shown["channel"], shown["said_by"]) == ("rewards", "email", "member")
    assert (await me.get(PATH)).body == put.body
    assert put.body["quiet_hours"] == NIGHT
    again = await me.put(PATH, {"unwanted": [], "quiet_hours": None})
    assert (again.body["unwanted"], again.body["quiet_hours"]) == ([], None)
    assert await said(db) == [("rewards", "email", True, "member")]
    assert await audited(db) == ["notification_preferences.put"] * 2


async def test_a_member_may_take_back_what_a_provider_was_told(me: Client, db: Db) -> None:
    await db.execute(
        "INSERT INTO notification_preference"
        " SELECT id, program_id, 'all', 'sms', false, 'provider' FROM member"
    )
    [shown] = (await me.get(PATH)).body["unwanted"]
    assert (shown["topic"], shown["said_by"]) == ("all", "provider")
    await me.put(PATH, {"unwanted": [], "quiet_hours": None})
    assert (await me.get(PATH)).body["unwanted"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"unwanted": [{"topic": "security", "channel": "email"}], "quiet_hours": None},
        {"unwanted": [{"topic": "all", "channel": "email"}], "quiet_hours": None},
        {"unwanted": [{"topic": "rewards", "channel": "pigeon"}], "quiet_hours": None},
        {"unwanted": [UNWANTED] * 65, "quiet_hours": None},
        {"unwanted": [UNWANTED], "quiet_hours": {"begins": "22:00", "ends": "22:00"}},
        {"unwanted": [UNWANTED], "quiet_hours": {"begins": "24:00", "ends": "07:00"}},
        {"unwanted": [UNWANTED], "quiet_hours": {"begins": "9:00", "ends": "07:00"}},
        {"unwanted": [UNWANTED], "quiet_hours": {"begins": "22:00\n", "ends": "07:00"}},
        {"unwanted": [UNWANTED], "quiet_hours": {"begins": "22:00"}},
        {"unwanted": [UNWANTED]},
        {"quiet_hours": None},
        {"unwanted": [], "quiet_hours": None, "more": 1},
    ],
)
async def test_what_makes_no_sense_is_refused_and_changes_nothing(
    me: Client, db: Db, body: dict[str, Any]
) -> None:
    refused = await me.put(PATH, body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await said(db) == []
    assert await db.fetchval("SELECT count(*) FROM quiet_hours") == 0


async def test_only_members_have_preferences(client: Client) -> None:
    assert (await client.get(PATH)).status == 403


async def link(db: Db, topic: Any = "account") -> str:
    row = await db.fetchrow("SELECT program_id, id FROM member")
    assert row is not None
    wish = Unsubscribe(row["program_id"], row["id"], topic, "email")
    return f"/u/{preferences.token(RING, wish, bytes(NONCE_BYTES))}"


async def test_a_look_at_the_link_changes_nothing(me: Client, db: Db) -> None:
    page = await me.call("GET", await link(db), Authorization=None)
    assert page.status == 200
    assert page.headers["Content-Type"].startswith("text/html")
    assert b'<form method="post">' in page.body
    assert await said(db) == []


async def test_one_click_ends_it_without_a_sign_in(me: Client, db: Db) -> None:
    """What a mail reader sends (RFC 8058 §3.2), any number of times."""
    for _ in range(3):
        answer = await me.call(
            "POST",
            await link(db),
            b"List-Unsubscribe=One-Click",
            Authorization=None,
            Content_Type="application/x-www-form-urlencoded",
        )
        assert answer.status == 200
        assert await said(db) == [("account", "email", False, "link")]
    assert set(await audited(db)) == {"notification_preferences.unsubscribe"}


@pytest.mark.parametrize(
    ("wanted", "language"),
    [("de-AT,de;q=0.9", "de"), ("hi", "hi"), ("ja", "en"), ("", "en"), ("es-PE", "es")],
)
async def test_the_page_speaks_the_readers_language(
    me: Client, db: Db, wanted: str, language: str
) -> None:
    page = await me.call("GET", await link(db), Accept_Language=wanted)
    assert page.headers["Content-Language"] == language
    assert f'<html lang="{language}">'.encode() in page.body


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_link_that_nobody_made_is_none(me: Client, db: Db, method: str) -> None:
    good = await link(db)
    for path in (good[:-1], f"{good}A", "/u/x", await link(db, "security")):
        answer = await me.call(method, path, None if method == "GET" else b"")
        assert (answer.status, answer.code) == (404, "not_found")
    assert await said(db) == []


async def test_the_link_of_a_member_that_is_gone_does_nothing(me: Client, db: Db) -> None:
    path = await link(db)
    await db.execute("UPDATE member SET deleted_at = now()")
    assert (await me.call("POST", path, b"", Authorization=None)).status == 200
    assert await said(db) == []
