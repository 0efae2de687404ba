"""Exports, erasures and consents over HTTP, by operators and by members themselves."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path

import msgspec
import pytest

from core import storage
from gateway.app import App
from tests.gateway import people, postbox
from tests.gateway.conftest import RING, Client, Db, bearer, token
from workers import jobs

UNKNOWN = "mem_01h455vb4pex5vsknk084sn02q"


async def perform_all(app: App, db: Db) -> None:
    """What the relay and the workers do with the tasks there are."""
    tools = postbox.tools(app)
    for row in await db.fetch("SELECT id, attempts FROM outbox WHERE task LIKE '%member'"):
        await jobs.perform(tools, row["id"], row["attempts"])


@pytest.fixture
async def member_id(client: Client, app: App) -> str:
    return await people.member(client, app)


@pytest.fixture
async def me(client: Client, app: App, member_id: str) -> Client:
    """The member, signed in."""
    granted = await people.log_in(client, await people.program_of(app, member_id))
    return Client(client.session, client.url, bearer(granted.body["access_token"]))


async def test_an_operator_exports_a_member_and_fetches_the_file(
    client: Client, app: App, db: Db, member_id: str
) -> None:
    started = await client.post(f"/v1/members/{member_id}/export", None)
    assert (started.status, started.body["state"]) == (202, "queued")
    again = await client.post(f"/v1/members/{member_id}/export", None)
    assert again.body["id"] == started.body["id"]
    path = f"/v1/exports/{started.body['id']}"
    assert (await client.get(path)).body["download_url"] is None
    await perform_all(app, db)
    done = await client.get(path)
    assert (done.body["state"], done.body["steps_done"]) == ("done", done.body["steps"])
    assert done.headers["Cache-Control"] == "no-store"
    nobody = Client(client.session, client.url, {})
    fetched = await nobody.get(done.body["download_url"])
    assert fetched.status == 200
    assert fetched.headers["Content-Disposition"].startswith("attachment")
    assert "no-store" in fetched.headers["Cache-Control"]
    assert fetched.headers["Content-Type"] == "application/octet-stream"
    known = msgspec.json.decode(fetched.body)["data"]
    assert known["member"][0]["profile"]["name"] == "Asha"
    assert known["member_contact"][0]["sealed"] == "asha@example.com"
    listed = (await client.get(f"/v1/exports?member_id={member_id}")).body["data"]
    assert [one["id"] for one in listed] == [started.body["id"]]


async def test_a_file_is_for_whoever_has_a_good_ticket(
    client: Client, app: App, member_id: str
) -> None:
    folder = Path(app.settings.storage_url.removeprefix("file:"))
    (folder / "exports").mkdir(parents=True)
    (folder / "exports/a.json").write_text("{}")
    now_s = int(time.time())
    good = storage.ticket(RING, "exports/a.json", now_s + 60)
    for ticket, status in (
        (good, 200),
        (storage.ticket(RING, "exports/a.json", now_s - 1), 404),
        (storage.ticket(RING, "exports/b.json", now_s + 60), 404),
        (good[:-6] + "AAAAAA", 404),
        ("x", 404),
    ):
        assert (await client.get(f"/v1/downloads/{ticket}")).status == status


async def test_a_member_exports_and_erases_what_is_the_members_own(
    client: Client, me: Client, app: App, db: Db, member_id: str
) -> None:
    started = await me.post("/v1/me/privacy/export", None)
    assert (started.status, started.body["member_id"]) == (202, member_id)
    await perform_all(app, db)
    done = (await me.get(f"/v1/me/privacy/exports/{started.body['id']}")).body
    fetched = await me.get(done["download_url"])
    assert msgspec.json.decode(fetched.body)["member_id"] == member_id
    erased = await me.post("/v1/me/privacy/erase", None)
    assert erased.status == 202
    await perform_all(app, db)
    async with asyncio.timeout(1):
        while (await me.get("/v1/me")).status == 200:  # noqa: ASYNC110 - in the gateway's process
            await asyncio.sleep(0.02)
    assert (await client.get(f"/v1/members/{member_id}")).status == 404
    assert (await client.get(done["download_url"])).status == 404
    path = f"/v1/erasures/{erased.body['id']}"
    assert (await client.get(path)).body["state"] == "done"
    log_in = await people.log_in(client, await people.program_of(app, member_id))
    assert log_in.status == 401
    refused = await client.post(f"/v1/members/{member_id}/export", None)
    assert (refused.status, refused.code) == (404, "member_not_found")


async def test_a_member_reaches_no_export_of_another(client: Client, me: Client) -> None:
    made = await client.post("/v1/members", {"name": "Ben"})
    started = await client.post(f"/v1/members/{made.body['id']}/export", None)
    answer = await me.get(f"/v1/me/privacy/exports/{started.body['id']}")
    assert (answer.status, answer.code) == (404, "export_not_found")
    for path in ("/v1/exports", f"/v1/exports/{started.body['id']}", "/v1/erasures"):
        assert (await me.get(path)).status == 403


async def test_a_deleted_member_is_erased_as_well(
    client: Client, app: App, db: Db, member_id: str
) -> None:
    assert (await client.delete(f"/v1/members/{member_id}")).status == 204
    started = await client.post(f"/v1/members/{member_id}/erase", None)
    again = await client.post(f"/v1/members/{member_id}/erase", None)
    assert (started.status, again.body["id"]) == (202, started.body["id"])
    await perform_all(app, db)
    listed = (await client.get(f"/v1/erasures?member_id={member_id}")).body["data"]
    assert [one["state"] for one in listed] == ["done"]
    assert await db.fetchval("SELECT profile FROM member WHERE id = $1", member_id) is None
    assert await db.fetchval("SELECT count(*) FROM member_contact") == 0


async def test_another_program_reaches_nothing(
    client: Client, other: Client, member_id: str
) -> None:
    export = (await client.post(f"/v1/members/{member_id}/export", None)).body["id"]
    erasure = (await client.post(f"/v1/members/{member_id}/erase", None)).body["id"]
    for method, path, body in (
        ("POST", f"/v1/members/{member_id}/export", None),
        ("POST", f"/v1/members/{member_id}/erase", None),
        ("POST", f"/v1/members/{UNKNOWN}/erase", None),
        ("GET", f"/v1/exports/{export}", None),
        ("GET", f"/v1/erasures/{erasure}", None),
        ("GET", f"/v1/members/{member_id}/consents", None),
        ("GET", f"/v1/members/{member_id}/consents/mail", None),
        ("PUT", f"/v1/members/{member_id}/consents/mail", {"is_given": True}),
    ):
        assert (await other.call(method, path, body)).status == 404, path
    assert (await other.get("/v1/exports")).body["data"] == []
    assert (await other.get("/v1/erasures")).body["data"] == []


async def test_scopes_divide_who_reads_and_who_writes(client: Client, member_id: str) -> None:
    program = "prg_01h455vb4pex5vsknk084sn02q"
    reader = Client(client.session, client.url, bearer(token(program, ["privacy:read"])))
    assert (await reader.get("/v1/exports")).status == 200
    for path in ("export", "erase"):
        refused = await reader.post(f"/v1/members/{member_id}/{path}", None)
        assert (refused.status, refused.code) == (403, "insufficient_scope")
    assert (await client.post("/v1/me/privacy/erase", None)).status == 403


async def test_the_last_answer_to_a_purpose_counts_and_all_are_on_record(
    client: Client, me: Client, member_id: str
) -> None:
    said = {"is_given": True, "wording": "newsletter v2"}
    first, again = [await me.put("/v1/me/privacy/consents/newsletter", said) for _ in range(2)]
    assert (first.status, again.body) == (200, first.body)
    assert first.body["recorded_by"] == member_id
    path = f"/v1/members/{member_id}/consents"
    await client.put(f"{path}/newsletter", {"is_given": False})
    await client.put(f"{path}/profiling", {"is_given": True})
    for listed in (await me.get("/v1/me/privacy/consents"), await client.get(path)):
        latest = {one["purpose"]: one["is_given"] for one in listed.body["data"]}
        assert latest == {"newsletter": False, "profiling": True}
    history = (await client.get(f"{path}/newsletter?limit=1")).body
    assert [one["is_given"] for one in history["data"]] == [False]
    rest = (await client.get(f"{path}/newsletter?cursor={history['next_cursor']}")).body["data"]
    assert [one["wording"] for one in rest] == ["newsletter v2"]


@pytest.mark.parametrize(
    ("purpose", "body"),
    [
        ("Newsletter", {"is_given": True}),
        ("a b", {"is_given": True}),
        ("x" * 65, {"is_given": True}),
        ("newsletter", {}),
        ("newsletter", {"is_given": "yes"}),
        ("newsletter", {"is_given": True, "member_id": "mem_x"}),
    ],
    ids=str,
)
async def test_a_bad_answer_is_refused_and_changes_nothing(
    client: Client, db: Db, member_id: str, purpose: str, body: object
) -> None:
    answer = await client.put(f"/v1/members/{member_id}/consents/{purpose}", body)
    assert (answer.status, answer.code) == (422, "invalid_request")
    assert await db.fetchval("SELECT count(*) FROM consent") == 0


async def test_what_is_done_for_a_member_is_in_the_audit_log(
    client: Client, db: Db, member_id: str
) -> None:
    await client.post(f"/v1/members/{member_id}/export", None)
    await client.put(f"/v1/members/{member_id}/consents/mail", {"is_given": True})
    await client.post(f"/v1/members/{member_id}/erase", None)
    rows = await db.fetch("SELECT action, after FROM audit_entry WHERE object_id = $1", member_id)
    found = {row["action"]: msgspec.json.decode(row["after"] or "null") for row in rows}
    assert {"member.export", "consent.record", "member.erase"} <= found.keys()
    assert found["consent.record"] == {"purpose": "mail", "is_given": True}
