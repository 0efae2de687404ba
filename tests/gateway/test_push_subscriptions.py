"""Devices and browsers of members: added, listed, taken away, and told when a password changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import msgspec
import pytest

from core.settings import Settings
from db import push_subscriptions
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Client, Db, encode
from tests.providers.notifications.pushers import AUTH, base64url, ec_key, pem, public, rsa_key

PATH = "/v1/me/push-subscriptions"
DEVICE = "ab" * 32
TOKEN = "bk3RNwTe3H0:CI2k_HHwgIpoDKCIZvvDMExUdFQ3P1"
BROWSER = {
    "endpoint": "https://updates.push.services.mozilla.com/wpush/v2/gAAAAABk",
    "expirationTime": None,
    "keys": {"p256dh": base64url(public(ec_key(7))), "auth": base64url(AUTH)},
}
NO_KEYS = {"p256dh": "AAAA", "auth": "AAAA"}
APNS = {"kind": "apns", "token": DEVICE}
FCM = {"kind": "fcm", "token": TOKEN}
WEBPUSH = {"kind": "webpush", "subscription": BROWSER}


@pytest.fixture
def settings(settings: Settings, tmp_path: Path) -> Settings:
    sections = {
        "apns": {"team_id": "T", "key_id": "K", "topic": "app", "private_key": pem(ec_key(3))},
        "fcm": {
            "project_id": "tea",
            "client_email": "push@tea.test",
            "private_key": pem(rsa_key(0)),
            "private_key_id": "kid-0",
        },
        "webpush": {"private_key": pem(ec_key(1)), "subject": "mailto:ops@tea.test"},
    }
    path = tmp_path / "providers.json"
    path.write_bytes(encode({"notifications": sections}))
    return msgspec.structs.replace(settings, providers_file=str(path))


async def signed_in(client: Client, app: App, email: str) -> Client:
    await people.member(client, app, email=email)
    grant = (await people.log_in(client, people.program(client), email=email)).body
    return people.holding(client, grant)


@pytest.fixture
async def me(client: Client, app: App) -> Client:
    return await signed_in(client, app, "asha@example.com")


async def rows(db: Db) -> list[Any]:
    return [dict(row) for row in await db.fetch("SELECT * FROM push_subscription ORDER BY id")]


async def test_devices_and_browsers_are_added_listed_and_taken_away(me: Client, db: Db) -> None:
    ids = []
    for body in (APNS, FCM, WEBPUSH):
        added = await me.post(PATH, body)
        assert (added.status, added.body["kind"]) == (201, body["kind"])
        ids.append(added.body["id"])
    shown = (await me.get(PATH)).body
    assert [one["id"] for one in shown["data"]] == ids[::-1]
    assert shown["public_key"] == base64url(public(ec_key(1)))
    stored = str(await rows(db))
    assert DEVICE not in stored
    assert TOKEN not in stored
    assert "mozilla" not in stored
    for one in ids:
        assert (await me.delete(f"{PATH}/{one}")).status == 204
        assert (await me.delete(f"{PATH}/{one}")).code == "push_subscription_not_found"
    assert await rows(db) == []


async def test_one_that_is_known_stays_as_it_is(me: Client, db: Db) -> None:
    first = await me.post(PATH, APNS)
    again = await me.post(PATH, {**APNS, "token": DEVICE.upper()})
    assert again.body == first.body
    assert len(await rows(db)) == 1


async def test_a_device_is_its_last_members(me: Client, client: Client, app: App) -> None:
    await me.post(PATH, APNS)
    other = await signed_in(client, app, "ben@example.com")
    assert (await other.get(PATH)).body["data"] == []
    await other.post(PATH, APNS)
    assert (await me.get(PATH)).body["data"] == []
    [theirs] = (await other.get(PATH)).body["data"]
    assert (await me.delete(f"{PATH}/{theirs['id']}")).status == 404
    assert len((await other.get(PATH)).body["data"]) == 1


async def test_of_many_the_oldest_are_forgotten(me: Client, db: Db) -> None:
    for number in range(push_subscriptions.OF_MEMBER_MAX + 2):
        await me.post(PATH, {"kind": "apns", "token": f"{number:064x}"})
    left = await rows(db)
    assert len(left) == push_subscriptions.OF_MEMBER_MAX
    assert (await me.post(PATH, {"kind": "apns", "token": f"{0:064x}"})).body["id"] > left[-1]["id"]


@pytest.mark.parametrize(
    "body",
    [
        {"kind": "apns"},
        {"kind": "apns", "token": "xyz"},
        {"kind": "apns", "token": "../../3/device/x"},
        {"kind": "apns", "subscription": BROWSER},
        {"kind": "fcm", "token": "a b"},
        {"kind": "webpush", "token": TOKEN},
        {"kind": "webpush", "subscription": {**BROWSER, "endpoint": "https://evil.test/x"}},
        {"kind": "webpush", "subscription": {**BROWSER, "endpoint": "http://169.254.169.254/"}},
        {
            "kind": "webpush",
            "subscription": {**BROWSER, "keys": NO_KEYS},
        },
        {"kind": "webpush", "subscription": {"endpoint": BROWSER["endpoint"]}},
        {"kind": "pigeon", "token": TOKEN},
        {**APNS, "more": 1},
        {},
    ],
)
async def test_where_no_push_goes_is_refused(me: Client, db: Db, body: dict[str, Any]) -> None:
    refused = await me.post(PATH, body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await rows(db) == []


async def test_a_kind_that_is_not_set_up_is_not_there(me: Client, app: App, db: Db) -> None:
    app.notifiers.clear()
    for body in (APNS, FCM, WEBPUSH):
        assert (await me.post(PATH, body)).code == "provider_not_found"
    assert (await me.get(PATH)).body == {"data": [], "public_key": None}
    assert await rows(db) == []


async def test_only_members_have_devices(client: Client) -> None:
    assert (await client.get(PATH)).status == 403
    assert (await client.post(PATH, APNS)).status == 403


async def test_a_new_password_is_told_to_all_devices(me: Client, app: App, db: Db) -> None:
    await me.post(PATH, APNS)
    await me.post(PATH, WEBPUSH)
    anyone = Client(me.session, me.url, {"Stampgate-Program": people.program(me)})
    body = {"email": "asha@example.com"}
    assert (await anyone.post("/v1/auth/password/reset", body)).status == 202
    reset = {**body, "code": await postbox.code(app), "new_password": "quite another fine day"}
    assert (await anyone.post("/v1/auth/password/reset/confirm", reset)).status == 204
    found = await db.fetch(
        "SELECT channel FROM notification WHERE template = 'password_changed' ORDER BY channel"
    )
    assert [row["channel"] for row in found] == ["email", "push", "push"]
    told = sorted(one.address for one in await postbox.letters(app) if one.channel == "push")
    assert told[0] == f"apns:{DEVICE}"
    assert told[1].startswith('webpush:{"endpoint":"https://updates.push')
