"""Templates and notifications through HTTP."""

from __future__ import annotations

from typing import Any

import pytest

from core.texts import builtin
from db import notifications
from gateway.app import App
from tests.conftest import RING
from tests.gateway.conftest import Client, Db

DE = "/v1/templates/sign_in_code/email/de"
OWN = {"subject": "Hallo von {program}", "text": "{code}", "html": "<b>{code}</b>"}


async def add(app: App, dedupe_key: str = "1", **changes: Any) -> str:
    """A notification of the program that was made first."""
    async with app.connection() as db:
        program_id = await db.fetchval("SELECT min(id) FROM program")
    new = notifications.New(
        **{
            "program_id": program_id,
            "recipient_kind": "member",
            "recipient_id": "mem_1",
            "channel": "email",
            "address": "asha@example.com",
            "template": "password_changed",
            "language": "en",
            "variables": {},
            "dedupe_key": dedupe_key,
            **changes,
        }
    )
    async with app.transaction() as db:
        added = await notifications.add(db, RING, new)
    assert added is not None
    return added


async def test_built_in_texts_are_shown_until_a_program_has_its_own(client: Client) -> None:
    shown = (await client.get(DE)).body
    assert shown["is_own"] is False
    assert shown["subject"] == builtin.TEXTS["sign_in_code", "email", "de"].subject
    assert shown["variables"] == ["code", "minutes", "program"]
    assert shown["required"] == ["code"]

    put = await client.put(DE, OWN)
    assert (put.status, put.body["is_own"]) == (200, True)
    assert (await client.get(DE)).body["html"] == OWN["html"]

    assert (await client.delete(DE)).status == 204
    assert (await client.get(DE)).body["is_own"] is False
    assert (await client.delete(DE)).code == "template_not_found"


async def test_a_program_may_add_a_language(client: Client) -> None:
    path = "/v1/templates/sign_in_code/email/pt-BR"
    assert (await client.get(path)).status == 404
    assert (await client.put(path, OWN)).status == 200
    listed = (await client.get("/v1/templates")).body["data"]
    assert len(listed) == len(builtin.TEXTS) + 1
    [own] = [one for one in listed if one["is_own"]]
    assert (own["name"], own["language"]) == ("sign_in_code", "pt-BR")


async def test_another_program_does_not_see_it(client: Client, other: Client) -> None:
    await client.put(DE, OWN)
    assert (await other.get(DE)).body["is_own"] is False
    assert (await other.delete(DE)).status == 404
    assert (await client.get(DE)).body["is_own"] is True


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"subject": "a", "text": "no variable"}, "/text"),
        ({"subject": "a", "text": "{code} {unknown}"}, "/text"),
        ({"subject": "{code}", "text": "{code}"}, "/subject"),
        ({"subject": "a\r\nBcc: eve@example.com", "text": "{code}"}, "/subject"),
        ({"subject": "a", "text": "{code}", "html": "<b>"}, "/html"),
    ],
)
async def test_a_text_that_cannot_serve_changes_nothing(
    client: Client, body: dict[str, str], pointer: str
) -> None:
    answer = await client.put(DE, body)
    assert (answer.status, answer.code) == (422, "invalid_template")
    assert answer.body["errors"][0]["pointer"] == pointer
    assert (await client.get(DE)).body["is_own"] is False


@pytest.mark.parametrize("body", [{"text": 1}, {"subject": "a"}, {"text": "{code}", "x": 1}])
async def test_another_shape_is_refused(client: Client, body: object) -> None:
    assert (await client.put(DE, body)).code == "invalid_request"


@pytest.mark.parametrize(
    "path",
    ["nothing/email/de", "sign_in_code/fax/de", "export_ready/sms/de", "sign_in_code/email/DE!"],
)
async def test_what_is_no_template_is_not_found(client: Client, path: str) -> None:
    assert (await client.get(f"/v1/templates/{path}")).code == "template_not_found"
    assert (await client.put(f"/v1/templates/{path}", OWN)).code == "template_not_found"


async def test_a_test_is_sent_once_for_a_key_and_is_marked(
    client: Client, other: Client, db: Db
) -> None:
    path = f"{DE}/test-send"
    first = await client.post(path, {"to": "me@example.com"}, Idempotency_Key="k")
    assert first.status == 202
    again = await client.post(path, {"to": "me@example.com"}, Idempotency_Key="k")
    assert again.body == first.body
    assert await db.fetchval("SELECT count(*) FROM outbox WHERE task = 'send_notification'") == 1
    notification_id = first.body["notification_id"]
    shown = (await client.get(f"/v1/notifications/{notification_id}")).body
    assert (shown["recipient_kind"], shown["state"]) == ("test", "queued")
    assert (await other.get(f"/v1/notifications/{notification_id}")).status == 404


@pytest.mark.parametrize(
    ("channel", "to"),
    [
        ("email", "me@example.com\r\nRCPT TO:<eve@example.com>"),
        ("email", "nobody"),
        ("sms", "me@example.com"),
        ("sms", "0171 2345"),
        ("sms", "+49171234567\n"),
    ],
)
async def test_a_test_goes_to_an_address_of_its_channel_only(
    client: Client, db: Db, channel: str, to: str
) -> None:
    answer = await client.post(f"/v1/templates/sign_in_code/{channel}/de/test-send", {"to": to})
    assert (answer.status, answer.body["errors"][0]["pointer"]) == (422, "/to")
    assert await db.fetchval("SELECT count(*) FROM notification") == 0


async def test_notifications_are_listed_without_what_they_say(
    app: App, client: Client, other: Client
) -> None:
    code = {"template": "sign_in_code", "variables": {"code": "482913", "minutes": 5}}
    first = await add(app, "1", **code)
    second = await add(app, "2")
    listed = (await client.get("/v1/notifications")).body
    assert [one["id"] for one in listed["data"]] == [second, first]
    assert "482913" not in str(listed)
    assert "asha" not in str(listed)
    assert (await other.get("/v1/notifications")).body["data"] == []
    found = (await client.get("/v1/notifications?template=sign_in_code&state=queued")).body
    assert [one["id"] for one in found["data"]] == [first]
    page = (await client.get("/v1/notifications?limit=1")).body
    rest = (await client.get(f"/v1/notifications?limit=1&cursor={page['next_cursor']}")).body
    assert [one["id"] for one in (*page["data"], *rest["data"])] == [second, first]


async def test_what_ended_without_arriving_is_sent_again_when_told(
    app: App, client: Client, other: Client, db: Db
) -> None:
    notification_id = await add(app)
    path = f"/v1/notifications/{notification_id}/resend"
    assert (await client.post(path, None)).code == "not_resendable"
    await db.execute("DELETE FROM outbox")
    await db.execute("UPDATE notification SET state = 'unknown', attempts = 3")
    assert (await other.post(path, None)).code == "notification_not_found"
    answer = await client.post(path, None)
    assert (answer.status, answer.body["state"], answer.body["attempts"]) == (202, "queued", 0)
    assert (await client.post(path, None)).code == "not_resendable"
    assert await db.fetchval("SELECT count(*) FROM outbox") == 1


async def test_a_code_that_was_forgotten_is_not_sent_again(
    app: App, client: Client, db: Db
) -> None:
    notification_id = await add(app)
    await db.execute("UPDATE notification SET state = 'failed', variables = NULL")
    answer = await client.post(f"/v1/notifications/{notification_id}/resend", None)
    assert (answer.status, answer.code) == (409, "not_resendable")
