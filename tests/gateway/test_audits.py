"""`/v1/audit`: reading, exporting and checking who changed what."""

from __future__ import annotations

import csv
import datetime as dt
import io
import os
import time
from typing import Any

import msgspec
import pytest

from core import chain, errors, settings, tokens
from db import audit, audit_chain
from deploy import cli
from gateway.app import App
from tests.gateway.conftest import RING, Client, Db, bearer, token


async def seal(app: App) -> None:
    async with app.transaction() as db:
        sealed = await audit_chain.seal(db, RING)
    await audit_chain.keep_heads(app.redis, sealed.after)


async def merchants(client: Client, count: int) -> list[str]:
    made = [await client.post("/v1/merchants", {"name": f"S{n}"}) for n in range(count)]
    return [one.body["id"] for one in made]


async def test_entries_are_listed_newest_first_and_searched(client: Client, other: Client) -> None:
    first, second = await merchants(client, 2)
    await client.patch(f"/v1/merchants/{first}", {"name": "=cmd"})
    page = (await client.get("/v1/audit?limit=2")).body
    assert [entry["action"] for entry in page["data"]] == ["merchant.change", "merchant.create"]
    assert page["data"][0]["before"] == {"name": "S0"}
    assert page["data"][0]["position"] is None
    rest = (await client.get(f"/v1/audit?limit=50&cursor={page['next_cursor']}")).body["data"]
    assert [entry["object_id"] for entry in rest][:1] == [first]
    about = (await client.get(f"/v1/audit?object_id={first}")).body["data"]
    assert len(about) == 2
    assert len((await client.get("/v1/audit?action=merchant.create")).body["data"]) == 2
    assert (await client.get("/v1/audit?actor=nobody")).body["data"] == []
    assert (await client.get("/v1/audit?to=2020-01-01T00:00:00Z")).body["data"] == []
    found = (await other.get("/v1/audit")).body["data"]
    assert second not in {entry["object_id"] for entry in found}
    assert (await client.get("/v1/audit?cursor=x")).code == "invalid_request"


async def test_platform_staff_see_all_programs(
    client: Client, other: Client, staff: Client
) -> None:
    await merchants(client, 1)
    everything = (await staff.get("/v1/admin/audit")).body["data"]
    assert len({entry["program_id"] for entry in everything}) == 2
    program_id = everything[0]["program_id"]
    one = (await staff.get(f"/v1/admin/audit?program_id={program_id}")).body["data"]
    assert {entry["program_id"] for entry in one} == {program_id}
    assert (await staff.get("/v1/admin/audit?program_id=installation")).body["data"] == []
    for path in ("/v1/admin/audit", "/v1/admin/audit/verify"):
        assert (await client.get(path)).status == 403


async def test_it_takes_the_scope(gateway: tuple[App, str], client: Client) -> None:
    program_id = (await client.get("/v1/audit")).body["data"][0]["program_id"]
    weak = Client(client.session, client.url, bearer(token(program_id, ["members:read"])))
    for path in ("", "/head", "/verify", "/export.csv", "/export.ndjson"):
        assert (await weak.get(f"/v1/audit{path}")).code == "insufficient_scope"


async def test_a_kept_head_is_checked_and_what_was_done_shows(
    client: Client, staff: Client, app: App, db: Db
) -> None:
    await merchants(client, 3)
    await seal(app)
    head = (await client.get("/v1/audit/head")).body
    assert head["position"] == 4
    report = (await client.get(f"/v1/audit/verify?kept={head['head']}")).body
    assert (report["is_whole"], report["checked"], report["digest"]) == (True, 4, head["digest"])
    assert (await staff.get("/v1/admin/audit/verify")).body["is_whole"]
    assert (await client.get("/v1/audit/verify?after=9")).status == 422
    assert (await client.get("/v1/audit/verify?kept=4:zz")).status == 422
    wrong = (await client.get(f"/v1/audit/verify?kept=3:{head['digest']}")).body
    assert [one["kind"] for one in wrong["problems"]] == ["head"]
    month = await db.fetchval("SELECT min(tableoid)::regclass::text FROM audit_entry")
    await db.execute(f"ALTER TABLE {month} DISABLE TRIGGER USER")
    await db.execute("DELETE FROM audit_entry WHERE position = 4")
    await db.execute("DELETE FROM audit_chain")
    # PostgreSQL alone knows of nothing; Redis does.
    report = (await client.get("/v1/audit/verify")).body
    assert not report["is_whole"]
    assert "The chain no longer has a head that was kept." in str(report["problems"])


async def test_an_export_has_every_entry_once_oldest_first(
    client: Client, app: App, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.audits.ENTRIES_A_TURN", 3)
    made = await merchants(client, 7)
    await client.patch(f"/v1/merchants/{made[0]}", {"external_id": "=cmd"})
    await seal(app)
    lines = await client.get("/v1/audit/export.ndjson")
    assert lines.headers["Content-Type"] == "application/x-ndjson"
    entries = [msgspec.json.decode(line) for line in lines.body.splitlines()]
    assert [entry["object_id"] for entry in entries[1:8]] == made
    assert sorted(entry["position"] for entry in entries) == list(range(1, 10))
    table = await client.get("/v1/audit/export.csv")
    assert table.headers["Content-Type"].startswith("text/csv")
    rows = list(csv.DictReader(io.StringIO(table.body.decode())))
    assert [row["id"] for row in rows] == [entry["id"] for entry in entries]
    assert rows[-1]["after"] == '{"external_id":"=cmd"}'
    nothing = await client.get("/v1/audit/export.ndjson?to=2020-01-01T00:00:00Z")
    assert (nothing.status, nothing.body) == (200, b"")


async def test_what_a_caller_wrote_is_no_formula_in_a_spreadsheet(client: Client) -> None:
    program_id = (await client.get("/v1/audit")).body["data"][0]["program_id"]
    for first in ("=", "+", "-", "@"):
        subject = f"{first}HYPERLINK(A1)"
        text = tokens.issue(
            RING,
            program_id=program_id,
            subject=subject,
            scopes=["members:write"],
            now_s=int(time.time()),
            ttl_s=60,
            token_id="tok_test",
        )
        assert (await client.post("/v1/members", {}, **bearer(text))).status == 201
        table = (await client.get("/v1/audit/export.csv")).body.decode()
        rows = list(csv.DictReader(io.StringIO(table)))
        assert rows[-1]["actor"] == f"'{subject}"


async def test_who_has_an_export_can_follow_the_digests_without_the_key(
    client: Client, app: App
) -> None:
    await merchants(client, 3)
    await seal(app)
    lines = (await client.get("/v1/audit/export.ndjson")).body.splitlines()
    entries = sorted((msgspec.json.decode(line) for line in lines), key=lambda one: one["position"])
    head = chain.start(entries[0]["program_id"])
    for entry in entries:
        link = chain.follow(head, content(entry), proof(entry), is_proven=True)
        head = head._replace(position=link.position, digest=link.digest)
    kept = (await client.get("/v1/audit/head")).body
    assert (head.position, head.digest.hex()) == (kept["position"], kept["digest"])


def content(entry: dict[str, Any]) -> chain.Content:
    at = msgspec.convert(entry["at"], type=dt.datetime)
    said = {
        name: entry[name] and msgspec.json.encode(entry[name], order="sorted").decode()
        for name in ("before", "after")
    }
    at_us = (at - audit.EPOCH) // audit_chain.US
    values: dict[str, Any] = {**entry, **said, "at_us": at_us}
    return chain.Content(*(values[name] for name in chain.Content._fields))


def proof(entry: dict[str, Any]) -> chain.Proof:
    return chain.Proof(entry["proven_with"], bytes.fromhex(entry["proof"]))


@pytest.fixture
def command(app: App, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("database_url", "redis_url", "queue_url", "keyring_file"):
        monkeypatch.setenv(f"STAMPGATE_{name.upper()}", getattr(app.settings, name))


async def run(*arguments: str) -> int:
    chosen = cli.parser().parse_args(arguments)
    code: int = await chosen.run(settings.load(cli.environment(os.environ)), chosen)
    return code


async def test_the_command_checks_all_chains(
    client: Client, app: App, db: Db, command: None, capsys: pytest.CaptureFixture[str]
) -> None:
    await merchants(client, 3)
    await seal(app)
    assert await run("audit", "verify") == 0
    assert "all chains are whole" in capsys.readouterr().out
    assert await run("audit", "head") == 0
    program_id, head = capsys.readouterr().out.split()
    assert await run("audit", "verify", "--program", program_id, "--kept", head) == 0
    assert await run("audit", "verify", "--installation") == 0
    with pytest.raises(errors.InvalidRequest):
        await run("audit", "verify", "--kept", head)
    month = await db.fetchval("SELECT min(tableoid)::regclass::text FROM audit_entry")
    await db.execute(f"ALTER TABLE {month} DISABLE TRIGGER USER")
    await db.execute("UPDATE audit_entry SET actor = 'nobody' WHERE position = 2")
    capsys.readouterr()
    assert await run("audit", "verify") == 1
    assert "changed at 2 aud_" in capsys.readouterr().out
    await db.execute("DELETE FROM audit_entry")
    await db.execute("DELETE FROM audit_chain")
    assert await run("audit", "verify") == 1
    assert f"{program_id}: head at 4" in capsys.readouterr().out
