"""What is known of API keys in use: in memory, while they change, and as counts by day."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Any

import msgspec
import pytest

from core import apikeys
from core.settings import Settings
from db import api_keys
from gateway import credentials
from gateway.app import App
from tests.gateway.conftest import Answer, Client, Db, running
from tests.gateway.test_api_keys import ask, holder, made


async def test_use_is_counted_by_day_and_written_together(client: Client, db: Db, app: App) -> None:
    key = await made(client)
    caller = holder(client, key["key"])
    for _ in range(3):
        assert (await ask(caller)).status == 200
    assert (await caller.get("/v1/links")).status == 403
    assert await db.fetchval("SELECT count(*) FROM api_key_usage") == 0
    await app.credentials.flush()
    await ask(caller)
    await app.credentials.flush()
    await app.credentials.flush()
    today = dt.datetime.now(dt.UTC).date()
    usage = await client.get(f"/v1/api-keys/{key['id']}/usage")
    assert usage.body["data"] == [{"day": today.isoformat(), "requests": 4}]
    shown = await client.get(f"/v1/api-keys/{key['id']}")
    assert shown.body["last_used_at"] is not None
    for query, status in (
        ("?from=2020-01-01&to=2020-12-31", 200),
        ("?from=2020-01-01&to=2021-12-31", 422),
        ("?from=2020-01-02&to=2020-01-01", 422),
        ("?to=0001-01-01", 422),
        ("?from=x", 422),
    ):
        answer = await client.get(f"/v1/api-keys/{key['id']}/usage{query}")
        assert (query, answer.status) == (query, status)
        assert answer.status == 422 or answer.body["data"] == []


async def test_a_process_that_stops_writes_what_it_counted(
    client: Client, db: Db, app: App
) -> None:
    key = await made(client)
    await ask(holder(client, key["key"]))
    await app.credentials.close()
    assert await db.fetchval("SELECT requests FROM api_key_usage") == 1


async def test_use_that_cannot_be_written_is_kept(
    client: Client, db: Db, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await made(client)
    caller = holder(client, key["key"])
    await ask(caller)
    with monkeypatch.context() as patch:
        patch.setattr(
            api_keys,
            "COUNT_USE",
            "SELECT pg_terminate_backend(pg_backend_pid()), $1::text[], $2::bigint[], $3::bigint[]",
        )
        await app.credentials.flush()
    await ask(caller)
    await app.credentials.flush()
    assert await db.fetchval("SELECT requests FROM api_key_usage") == 2


async def test_a_known_key_is_good_without_postgres_and_an_unknown_one_has_to_wait(
    client: Client, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    scopes = ["awards:write"]
    known, unknown = await made(client, scopes=scopes), await made(client, scopes=scopes)
    member = (await client.post("/v1/members", {})).body["id"]
    body = {"member": member, "kind": "points", "amount": 1}
    assert (await award(holder(client, known["key"]), body, "a")).status == 201
    await app.pool.close()
    assert (await award(holder(client, known["key"]), body, "b")).status == 201
    refused = await award(holder(client, unknown["key"]), body, "c")
    assert (refused.status, refused.code) == (503, "unavailable")
    await app.credentials.flush()
    # Not even when it has not been read for long.
    monkeypatch.setattr(credentials, "FRESH_S", -1.0)
    refused = await award(holder(client, known["key"]), body, "d")
    monkeypatch.undo()
    assert refused.status == 503
    assert (await award(holder(client, known["key"]), body, "e")).status == 201


async def award(client: Client, body: object, key: str) -> Answer:
    return await client.post("/v1/awards", body, Idempotency_Key=key)


async def test_a_key_that_changes_while_it_is_read_is_read_again(
    client: Client, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    key = await made(client)
    find = api_keys.find

    async def revoked_meanwhile(db: Any, prefix: str) -> api_keys.Known | None:
        found = await find(db, prefix)
        if found is not None and found.revoked_at is None:
            assert (await client.delete(f"/v1/api-keys/{key['id']}")).status == 204
        return found

    monkeypatch.setattr(api_keys, "find", revoked_meanwhile)
    assert (await ask(holder(client, key["key"]))).code == "api_key_invalid"


@pytest.fixture
def looked_up(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The prefixes that PostgreSQL is asked for, as they come."""
    prefixes: list[str] = []
    find = api_keys.find

    async def counted(db: Any, prefix: str) -> api_keys.Known | None:
        prefixes.append(prefix)
        return await find(db, prefix)

    monkeypatch.setattr(api_keys, "find", counted)
    return prefixes


async def test_keys_that_are_made_up_are_not_looked_up_again_and_again(
    client: Client, app: App, monkeypatch: pytest.MonkeyPatch, looked_up: list[str]
) -> None:
    text = apikeys.new(bytes(40))
    answers = await asyncio.gather(*(ask(holder(client, text)) for _ in range(20)))
    assert {answer.status for answer in answers} == {401}
    assert len(looked_up) == 1
    monkeypatch.setattr(credentials, "READINGS_MAX", 0)
    refused = await ask(holder(client, apikeys.new(b"\x01" * 40)))
    assert (refused.status, refused.code) == (503, "over_capacity")


async def test_keys_that_are_made_up_push_no_key_out_and_are_looked_up_so_often(
    client: Client, settings: Settings, monkeypatch: pytest.MonkeyPatch, looked_up: list[str]
) -> None:
    monkeypatch.setattr(credentials, "KEYS_MAX", 2)
    key = await made(client)
    async with running(msgspec.structs.replace(settings, rate_anonymous_per_minute=5)) as (_, url):
        there = Client(client.session, url, client.headers)
        # Who comes often at once is one question.
        answers = await asyncio.gather(*(ask(holder(there, key["key"])) for _ in range(20)))
        assert {answer.status for answer in answers} == {200}
        made_up = [holder(there, apikeys.new(bytes([number]) * 40)) for number in range(1, 9)]
        answers = [await ask(caller) for caller in made_up]
        assert [answer.status for answer in answers] == [401] * 4 + [429] * 4
        assert len(looked_up) == 5
        assert (await ask(holder(there, key["key"]))).status == 200
        assert len(looked_up) == 5


async def test_memory_of_keys_is_bounded(
    client: Client, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(credentials, "KEYS_MAX", 2)
    keys = [await made(client) for _ in range(4)]
    for key in (*keys, *keys):
        assert (await ask(holder(client, key["key"]))).status == 200
    assert len(app.credentials._entries) == 2


async def test_an_award_with_a_key_is_the_keys_own(client: Client, app: App, db: Db) -> None:
    """The scope of an idempotency key is the API key, also after it was rotated."""
    key = await made(client, scopes=["awards:write"])
    member = (await client.post("/v1/members", {})).body["id"]
    body = {"member": member, "kind": "points", "amount": 1}
    first = await award(holder(client, key["key"]), body, "a")
    rotated = (await client.post(f"/v1/api-keys/{key['id']}/rotate", {})).body
    again = await award(holder(client, rotated["key"]), body, "a")
    others = await award(client, body, "a")
    assert (first.status, again.body["id"]) == (201, first.body["id"])
    assert again.headers["Idempotent-Replayed"] == "true"
    assert others.body["id"] != first.body["id"]
