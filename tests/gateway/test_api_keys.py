"""API keys: made, shown once, used, changed, rotated, revoked, counted."""

from __future__ import annotations

import datetime as dt
import logging
from typing import Any

import pytest

from core import apikeys
from gateway.app import App
from tests.gateway.conftest import Answer, Client, Db, bearer, token

SCOPES = ["members:read", "members:write"]
ELSEWHERE = "key_01h455vb4pex5vsknk084sn02q"


async def made(client: Client, **fields: Any) -> Any:
    answer = await client.post("/v1/api-keys", {"name": "till", "scopes": SCOPES, **fields})
    assert answer.status == 201
    return answer.body


def holder(client: Client, text: str) -> Client:
    """A caller with an API key."""
    return Client(client.session, client.url, {"X-API-Key": text})


async def rows(db: Db) -> str:
    """All that is stored, as one text."""
    found = await db.fetch("SELECT api_key::text AS row FROM api_key")
    stored = await db.fetch("SELECT encode(answer, 'escape') AS row FROM idempotency")
    return "\n".join(row["row"] for row in (*found, *stored))


async def ask(client: Client) -> Answer:
    return await client.get("/v1/members")


async def test_a_key_is_shown_once_and_stored_as_a_digest(
    client: Client, db: Db, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        key = await made(client)
        assert (await ask(holder(client, key["key"]))).status == 200
    text = key.pop("key")
    assert key["prefix"] == apikeys.parse(text).prefix
    assert key["state"] == "active"
    assert (key["scopes"], key["created_by"]) == (SCOPES, "test")
    shown = [(await client.get("/v1/api-keys")).body["data"][0],
             (await client.get(f"/v1/api-keys/{key['id']}")).body]  # fmt: skip
    assert shown == [key, key]
    secret = text.rpartition("_")[2]
    assert secret not in await rows(db)
    assert secret not in caplog.text


async def test_a_key_opens_what_its_scopes_say_in_its_own_program(
    client: Client, other: Client, db: Db
) -> None:
    key = await made(client)
    foreign = await made(other)
    for headers in ({"X-API-Key": key["key"]}, bearer(key["key"])):
        app = Client(client.session, client.url, headers)
        assert (await app.post("/v1/members", {"external_id": f"{len(headers)}"})).status in {
            201,
            409,
        }
        refused = await app.get("/v1/links")
        assert (refused.status, refused.code) == (403, "insufficient_scope")
        assert (await app.get(f"/v1/api-keys/{key['id']}")).status == 403
    programs = {row["program_id"] for row in await db.fetch("SELECT program_id FROM member")}
    own = await db.fetchval("SELECT program_id FROM api_key WHERE id = $1", key["id"])
    assert programs == {own}
    theirs = await db.fetchval("SELECT program_id FROM api_key WHERE id = $1", foreign["id"])
    named = await holder(client, key["key"]).get("/v1/members", Stampgate_Program=theirs)
    assert (named.status, named.code) == (403, "forbidden")


def forged(text: str) -> str:
    """A key with the same visible part and a good checksum, and another secret."""
    stem = text[:-7] + ("0" if text[-7] != "0" else "1")
    return stem + apikeys._checksum(stem)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda text: text[:-1], "api_key_invalid"),
        (lambda text: text.upper(), "api_key_invalid"),
        (lambda _: apikeys.new(bytes(40)), "api_key_invalid"),
        (forged, "api_key_invalid"),
        (lambda _: "sg_", "api_key_invalid"),
        (lambda _: "x", "api_key_invalid"),
        (lambda _: "", "api_key_invalid"),
    ],
)
async def test_what_is_not_a_key_opens_nothing(client: Client, change: Any, code: str) -> None:
    key = await made(client)
    for _ in range(2):
        refused = await ask(holder(client, change(key["key"])))
        assert (refused.status, refused.code) == (401, code)
        assert (await ask(holder(client, key["key"]))).status == 200


async def test_two_credentials_are_none(client: Client) -> None:
    key = await made(client)
    refused = await client.get("/v1/members", X_API_Key=key["key"])
    assert (refused.status, refused.code) == (401, "unauthorized")


async def test_a_revoked_key_opens_nothing_from_then_on(client: Client) -> None:
    key = await made(client)
    app = holder(client, key["key"])
    assert (await ask(app)).status == 200
    for _ in range(2):
        assert (await client.delete(f"/v1/api-keys/{key['id']}")).status == 204
        refused = await ask(app)
        assert (refused.status, refused.code) == (401, "api_key_invalid")
    shown = await client.get(f"/v1/api-keys/{key['id']}")
    assert shown.body["state"] == "revoked"
    for path in ("", "/rotate"):
        call = client.patch if not path else client.post
        refused = await call(f"/v1/api-keys/{key['id']}{path}", {})
        assert (refused.status, refused.code) == (409, "api_key_revoked")


async def test_an_expired_key_opens_nothing(client: Client, db: Db, app: App) -> None:
    key = await made(client, expires_at="2030-01-01T00:00:00Z")
    assert (await ask(holder(client, key["key"]))).status == 200
    await db.execute("UPDATE api_key SET expires_at = now() - interval '1 second'")
    app.credentials.forget(key["id"])
    refused = await ask(holder(client, key["key"]))
    assert (refused.status, refused.code) == (401, "api_key_expired")
    assert (await client.get(f"/v1/api-keys/{key['id']}")).body["state"] == "expired"


async def test_a_key_expires_also_while_it_is_in_memory(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    soon = dt.datetime.now(dt.UTC) + dt.timedelta(hours=1)
    key = await made(client, expires_at=soon.isoformat())
    assert (await ask(holder(client, key["key"]))).status == 200
    later_ms = int(soon.timestamp() + 1) * 1_000
    monkeypatch.setattr(App, "now_ms", staticmethod(lambda: later_ms))
    assert (await ask(holder(client, key["key"]))).code == "api_key_expired"


async def test_changed_scopes_count_at_once(client: Client) -> None:
    key = await made(client)
    app = holder(client, key["key"])
    assert (await ask(app)).status == 200
    path = f"/v1/api-keys/{key['id']}"
    changed = await client.patch(path, {"scopes": ["links:read"], "name": "shop"})
    assert (changed.body["scopes"], changed.body["name"]) == (["links:read"], "shop")
    assert (await ask(app)).code == "insufficient_scope"
    assert (await app.get("/v1/links")).status == 200
    assert (await client.patch(path, {})).body["name"] == "shop"


async def test_a_rotated_key_overlaps_with_what_it_was(client: Client, db: Db, app: App) -> None:
    key = await made(client)
    path = f"/v1/api-keys/{key['id']}/rotate"
    rotated = (await client.post(path, {"overlap_hours": 1})).body
    assert (rotated["id"], rotated["previous_prefix"]) == (key["id"], key["prefix"])
    assert rotated["prefix"] != key["prefix"]
    for text in (key["key"], rotated["key"]):
        assert (await ask(holder(client, text))).status == 200
    left_s = "SELECT extract(epoch FROM previous_until - now())::float8 FROM api_key"
    assert 3_500 < await db.fetchval(left_s) <= 3_600
    await db.execute("UPDATE api_key SET previous_until = now() - interval '1 second'")
    app.credentials.forget(key["id"])
    assert (await ask(holder(client, key["key"]))).code == "api_key_expired"
    assert (await ask(holder(client, rotated["key"]))).status == 200
    again = (await client.post(path, {"overlap_hours": 0})).body
    assert again["previous_prefix"] is None
    assert (await ask(holder(client, rotated["key"]))).code == "api_key_invalid"
    assert (await ask(holder(client, again["key"]))).status == 200


async def test_a_repeated_request_gets_the_same_key_which_is_kept_sealed(
    client: Client, db: Db
) -> None:
    body = {"name": "till", "scopes": SCOPES}
    first = await client.post("/v1/api-keys", body, Idempotency_Key="k")
    again = await client.post("/v1/api-keys", body, Idempotency_Key="k")
    assert (again.status, again.body) == (201, first.body)
    path = f"/v1/api-keys/{first.body['id']}/rotate"
    rotated = await client.post(path, {}, Idempotency_Key="r")
    assert (await client.post(path, {}, Idempotency_Key="r")).body == rotated.body
    stored = await rows(db)
    for answer in (first, rotated):
        assert answer.body["key"].rpartition("_")[2] not in stored
    assert await db.fetchval("SELECT count(*) FROM api_key") == 1


async def test_nobody_hands_on_what_they_may_not_do(client: Client, staff: Client, db: Db) -> None:
    key = await made(client)
    program_id = await db.fetchval("SELECT id FROM program")
    keeper = Client(
        client.session, client.url, bearer(token(program_id, ["keys:write", "links:read"]))
    )
    path = f"/v1/api-keys/{key['id']}"
    for refused in (
        await keeper.post("/v1/api-keys", {"name": "x", "scopes": ["members:read"]}),
        await keeper.patch(path, {"scopes": ["members:read"]}),
        await keeper.patch(path, {"expires_at": None}),
        await keeper.post(f"{path}/rotate", {}),
    ):
        assert (refused.status, refused.code) == (403, "scope_not_yours")
    assert (
        await keeper.post("/v1/api-keys", {"name": "x", "scopes": ["links:read"]})
    ).status == 201
    for rate in (0, 1001):
        refused = await client.patch(path, {"rate_per_minute": rate})
        assert (refused.status, refused.code) == (403, "forbidden")
        changed = await staff.call(
            "PATCH", path, {"rate_per_minute": rate}, Stampgate_Program=program_id
        )
        assert changed.body["rate_per_minute"] == rate
    # What the platform granted stays when the program changes something else.
    assert (await client.patch(path, {"name": "y"})).body["rate_per_minute"] == 1001
    assert (await client.patch(path, {"rate_per_minute": 60})).body["rate_per_minute"] == 60


@pytest.mark.parametrize(
    "fields",
    [
        {"name": ""},
        {"name": "x" * 256},
        {"scopes": []},
        {"scopes": ["platform:admin"]},
        {"scopes": ["me"]},
        {"scopes": ["nothing:read"]},
        {"rate_per_minute": -1},
        {"rate_per_minute": 1_000_001},
        {"expires_at": "2020-01-01T00:00:00Z"},
        {"expires_at": "2130-01-01T00:00:00Z"},
        {"expires_at": "2030-01-01T00:00:00"},
        {"id": ELSEWHERE},
        {"program_id": "prg_01h455vb4pex5vsknk084sn02q"},
        {"hash": "00"},
    ],
)
async def test_bad_fields_make_no_key(client: Client, db: Db, fields: dict[str, Any]) -> None:
    body = {"name": "till", "scopes": SCOPES, **fields}
    refused = await client.post("/v1/api-keys", body)
    assert (refused.status, refused.code) == (422, "invalid_request")
    assert await db.fetchval("SELECT count(*) FROM api_key") == 0


async def test_another_programs_key_is_not_there(client: Client, other: Client) -> None:
    key = await made(client)
    for key_id in (key["id"], ELSEWHERE, "key_x"):
        path = f"/v1/api-keys/{key_id}"
        for refused in (
            await other.get(path),
            await other.patch(path, {"name": "x"}),
            await other.delete(path),
            await other.post(f"{path}/rotate", {}),
            await other.get(f"{path}/usage"),
        ):
            assert (refused.status, refused.code) == (404, "api_key_not_found")
    assert (await ask(holder(client, key["key"]))).status == 200
    assert (await other.get("/v1/api-keys")).body["data"] == []
