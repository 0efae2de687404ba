"""Sessions over HTTP: tokens that are good once, theft, and ends that reach every process."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from redis.asyncio import Redis

from core import sessions
from core.settings import Settings
from db import keys, outbox
from gateway import revocations
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import Client, Db, running
from workers import jobs

ACCESS_S = 900


@pytest.fixture
async def member_id(client: Client, app: App) -> str:
    return await people.member(client, app)


@pytest.fixture
async def program_id(app: App, member_id: str) -> str:
    return await people.program_of(app, member_id)


@pytest.fixture
async def grant(client: Client, program_id: str) -> dict[str, Any]:
    answer = await people.log_in(client, program_id)
    assert answer.status == 200
    body: dict[str, Any] = answer.body
    return body


@pytest.fixture
async def second(settings: Settings, app: App) -> AsyncIterator[tuple[App, str]]:
    """Another process on the same servers."""
    async with running(settings) as running_one:
        yield running_one


async def until_refused(caller: Client, path: str = "/v1/me") -> None:
    """Wait until the caller is refused."""
    async with asyncio.timeout(20):
        while (answer := await caller.get(path)).status == 200:  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.02)
    assert (answer.status, answer.code) == (401, "token_revoked")


async def test_a_grant_lets_its_member_in(
    client: Client, grant: dict[str, Any], member_id: str, program_id: str
) -> None:
    assert grant["token_type"] == "Bearer"
    assert grant["expires_in"] == ACCESS_S
    said = people.claims(grant["access_token"])
    assert (said["sub"], said["program"], said["role"]) == (member_id, program_id, "member")
    assert said["sid"] == grant["session_id"]
    assert said["exp"] - said["iat"] == ACCESS_S
    me = await people.holding(client, grant).get("/v1/me")
    assert me.status == 200
    assert me.body["id"] == member_id


async def test_a_grant_is_not_kept_by_caches(client: Client, program_id: str) -> None:
    answer = await people.log_in(client, program_id)
    assert answer.headers["Cache-Control"] == "no-store"
    again = await people.refresh(client, answer.body["refresh_token"])
    assert again.headers["Cache-Control"] == "no-store"


async def test_a_refresh_token_is_good_once_and_brings_the_next(
    client: Client, grant: dict[str, Any]
) -> None:
    second = await people.refresh(client, grant["refresh_token"])
    assert second.status == 200
    assert second.body["session_id"] == grant["session_id"]
    assert second.body["refresh_token"] != grant["refresh_token"]
    third = await people.refresh(client, second.body["refresh_token"])
    assert third.status == 200
    assert (await people.holding(client, third.body).get("/v1/me")).status == 200


async def test_a_stolen_refresh_token_ends_the_session_of_thief_and_owner(
    client: Client, db: Db, grant: dict[str, Any]
) -> None:
    thief = await people.refresh(client, grant["refresh_token"])
    assert thief.status == 200
    owner = await people.refresh(client, grant["refresh_token"])
    assert (owner.status, owner.code) == (401, "token_revoked")
    for held in (thief.body, grant):
        answer = await people.holding(client, held).get("/v1/me")
        assert (answer.status, answer.code) == (401, "token_revoked")
    again = await people.refresh(client, thief.body["refresh_token"])
    assert (again.status, again.code) == (401, "token_revoked")
    written = await db.fetch("SELECT object_id FROM audit_entry WHERE action = 'session.reuse'")
    assert [row["object_id"] for row in written] == [grant["session_id"]]


async def test_a_token_of_long_ago_is_recognized_too(client: Client, grant: dict[str, Any]) -> None:
    newest = grant
    for _ in range(5):
        newest = (await people.refresh(client, newest["refresh_token"])).body
    old = await people.refresh(client, grant["refresh_token"])
    assert old.code == "token_revoked"
    assert (await people.refresh(client, newest["refresh_token"])).code == "token_revoked"


async def test_of_refreshes_at_once_one_wins_and_the_session_ends(
    client: Client, grant: dict[str, Any]
) -> None:
    answers = await asyncio.gather(
        *(people.refresh(client, grant["refresh_token"]) for _ in range(8))
    )
    assert sorted(answer.status for answer in answers) == [200] + [401] * 7
    [winner] = [answer for answer in answers if answer.status == 200]
    assert (await people.refresh(client, winner.body["refresh_token"])).code == "token_revoked"
    assert (await people.holding(client, winner.body).get("/v1/me")).code == "token_revoked"


async def test_a_forged_token_ends_nothing(client: Client, grant: dict[str, Any]) -> None:
    refresh = sessions.parse(grant["refresh_token"])
    forged = sessions.dump(sessions.begin(refresh.session_id, bytes(48)))
    half = sessions.dump(refresh._replace(family=bytes(sessions.FAMILY_BYTES)))
    for text in (
        forged,
        half,
        "sgr_",
        grant["access_token"],
        grant["refresh_token"] + "x",
        "\u2028",
    ):
        answer = await people.refresh(client, text)
        assert answer.status in {401, 422}
        assert answer.code in {"token_invalid", "invalid_request"}
    assert (await people.refresh(client, grant["refresh_token"])).status == 200


async def test_a_refresh_token_expires(client: Client, grant: dict[str, Any], db: Db) -> None:
    await db.execute("UPDATE session SET expires_at = now() - interval '1 second'")
    answer = await people.refresh(client, grant["refresh_token"])
    assert (answer.status, answer.code) == (401, "token_expired")


async def test_a_refresh_token_is_no_access_token(client: Client, grant: dict[str, Any]) -> None:
    caller = Client(
        client.session, client.url, {"Authorization": f"Bearer {grant['refresh_token']}"}
    )
    assert (await caller.get("/v1/me")).code == "token_invalid"


async def test_refresh_tokens_are_not_stored(grant: dict[str, Any], db: Db) -> None:
    row = await db.fetchrow("SELECT * FROM session")
    assert row is not None
    refresh = sessions.parse(grant["refresh_token"])
    stored = repr(tuple(row))
    for secret in (refresh.family, refresh.secret):
        assert repr(secret)[2:-1] not in stored
    assert grant["refresh_token"][30:] not in stored


async def test_sessions_are_listed_with_where_they_are(
    client: Client, program_id: str, grant: dict[str, Any]
) -> None:
    other = await people.log_in(client, program_id, User_Agent="Phone/1")
    listed = await people.holding(client, grant).get("/v1/sessions")
    first, second = listed.body["data"]
    assert (first["id"], first["is_current"]) == (grant["session_id"], True)
    assert (second["id"], second["is_current"]) == (other.body["session_id"], False)
    assert second["user_agent"] == "Phone/1"
    assert second["address"] == "127.0.0.0"
    assert "hash" not in repr(listed.body)


async def test_one_session_is_ended_and_the_other_goes_on(
    client: Client, program_id: str, grant: dict[str, Any]
) -> None:
    other = (await people.log_in(client, program_id)).body
    caller = people.holding(client, grant)
    assert (await caller.delete(f"/v1/sessions/{other['session_id']}")).status == 204
    assert (await people.holding(client, other).get("/v1/me")).code == "token_revoked"
    assert (await people.refresh(client, other["refresh_token"])).code == "token_revoked"
    assert (await caller.get("/v1/me")).status == 200
    assert [one["id"] for one in (await caller.get("/v1/sessions")).body["data"]] == [
        grant["session_id"]
    ]


async def test_nobody_ends_the_session_of_somebody_else(
    client: Client, app: App, program_id: str, grant: dict[str, Any]
) -> None:
    await people.member(client, app, email="bela@example.com")
    bela = (await people.log_in(client, program_id, email="bela@example.com")).body
    answer = await people.holding(client, bela).delete(f"/v1/sessions/{grant['session_id']}")
    assert (answer.status, answer.code) == (404, "session_not_found")
    assert (await people.holding(client, grant).get("/v1/me")).status == 200


async def test_logging_out_ends_this_session(client: Client, grant: dict[str, Any]) -> None:
    caller = people.holding(client, grant)
    assert (await caller.call("POST", "/v1/auth/logout")).status == 204
    assert (await caller.get("/v1/me")).code == "token_revoked"
    assert (await people.refresh(client, grant["refresh_token"])).code == "token_revoked"


async def test_logging_out_everywhere_is_told_to_every_process(
    client: Client,
    program_id: str,
    grant: dict[str, Any],
    second: tuple[App, str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Nobody finds it in PostgreSQL.
    monkeypatch.setattr(revocations, "ROWS_S", 3_600.0)
    other = (await people.log_in(client, program_id)).body
    elsewhere = Client(client.session, second[1], client.headers)
    held = [people.holding(elsewhere, one) for one in (grant, other)]
    for caller in held:
        assert (await caller.get("/v1/me")).status == 200
    assert (
        await people.holding(client, grant).call("POST", "/v1/auth/logout-everywhere")
    ).status == 204
    for caller in held:
        await until_refused(caller)


async def test_an_announcement_that_redis_lost_is_found_in_postgresql(
    client: Client,
    grant: dict[str, Any],
    second: tuple[App, str],
    redis: Redis,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(revocations, "ROWS_S", 0.5)
    elsewhere = people.holding(Client(client.session, second[1], {}), grant)
    assert (await elsewhere.get("/v1/me")).status == 200
    assert (await people.holding(client, grant).call("POST", "/v1/auth/logout")).status == 204
    await redis.delete(keys.AUTH_CHANGES)
    await until_refused(elsewhere)


async def test_a_new_process_knows_what_ended_before_it_began(
    client: Client, grant: dict[str, Any], settings: Settings, redis: Redis
) -> None:
    assert (await people.holding(client, grant).call("POST", "/v1/auth/logout")).status == 204
    await redis.delete(keys.AUTH_CHANGES)
    async with running(settings) as (_, url):
        late = people.holding(Client(client.session, url, {}), grant)
        assert (await late.get("/v1/me")).code == "token_revoked"


async def test_an_erased_member_is_refused_before_the_tokens_expire(
    client: Client, app: App, second: tuple[App, str], grant: dict[str, Any], member_id: str
) -> None:
    """There is no session any more whose end could be told: the member's own id is void."""
    here, there = people.holding(client, grant), people.holding(client, grant)
    there.url = second[1]
    assert [(await one.get("/v1/sessions")).status for one in (here, there)] == [200, 200]
    assert (await client.post(f"/v1/members/{member_id}/erase", None)).status == 202
    async with app.pool.acquire() as db:
        [ticket] = await outbox.claim(db, app.now_ms() + 1_000, ["erase_member"], 10)
    await jobs.perform(postbox.tools(app), ticket.id, ticket.attempt)
    for one in (here, there):
        await until_refused(one, "/v1/sessions")


async def test_a_process_that_cannot_tell_lets_no_session_in(
    client: Client, grant: dict[str, Any], app: App
) -> None:
    app.revocations._was_read.clear()
    answer = await people.holding(client, grant).get("/v1/me")
    assert (answer.status, answer.code) == (503, "unavailable")
    # An app's token belongs to no session.
    assert (await client.get("/v1/members")).status == 200


@pytest.mark.parametrize("path", ["/v1/me", "/v1/sessions"])
async def test_what_is_ones_own_is_for_people_only(
    client: Client, staff: Client, path: str
) -> None:
    for caller in (client, staff):
        answer = await caller.get(path)
        assert (answer.status, answer.code) == (403, "insufficient_scope")


async def test_a_session_is_not_refreshed_beyond_its_age(
    client: Client, grant: dict[str, Any], app: App, db: Db
) -> None:
    days = app.settings.session_max_s // 86_400
    made = "UPDATE session SET created_at = now() - make_interval(days => $1, hours => $2)"
    await db.execute(made, days, -1)
    fresh = await people.refresh(client, grant["refresh_token"])
    assert fresh.status == 200
    # What is left of its age, and not another week.
    left = await db.fetchval("SELECT expires_at - now() < interval '61 minutes' FROM session")
    assert left is True
    await db.execute(made, days, 0)
    for _ in range(2):
        late = await people.refresh(client, fresh.body["refresh_token"])
        assert (late.status, late.code) == (401, "session_too_old")
    spanish = await client.post(
        "/v1/auth/refresh",
        {"refresh_token": fresh.body["refresh_token"]},
        Authorization=None,
        Accept_Language="es",
    )
    assert spanish.body["detail"].startswith("La sesión")
