"""Tokens of the command line that got into the wrong hands."""

from __future__ import annotations

import io
import sys

import pytest

from core import errors
from core.settings import Settings
from gateway.app import App
from tests.gateway import people
from tests.gateway.conftest import Client, Db, bearer, running
from tests.gateway.test_audits import command, run

__all__ = ["command"]


async def signed(capsys: pytest.CaptureFixture[str], program_id: str) -> str:
    """A token for the members of a program, for ten years."""
    capsys.readouterr()
    wanted = ("--program", program_id, "--scope", "members:read", "--ttl", "3650d")
    assert await run("token", "create", *wanted) == 0
    return capsys.readouterr().out.strip()


async def test_a_stolen_token_is_void_in_all_processes_and_stays_so(
    client: Client,
    app: App,
    db: Db,
    settings: Settings,
    command: None,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    program_id = people.program(client)
    stolen, seen, kept = [await signed(capsys, program_id) for _ in range(3)]
    callers = [Client(client.session, client.url, bearer(one)) for one in (stolen, seen, kept)]
    assert [(await one.get("/v1/members")).status for one in callers] == [200, 200, 200]
    token_id = people.claims(stolen)["jti"]
    assert await run("token", "revoke", token_id) == 0
    monkeypatch.setattr(sys, "stdin", io.StringIO(f"{seen}\n"))
    assert await run("token", "revoke", "-") == 0
    # As it does by itself every few seconds.
    await app.revocations.read_rows()
    answers = [await one.get("/v1/members") for one in callers]
    assert [answer.status for answer in answers] == [401, 401, 200]
    assert answers[0].code == answers[1].code == "token_revoked"
    written = await db.fetch(
        "SELECT program_id, object_id FROM audit_entry WHERE action = 'token.revoke'"
    )
    voided = {token_id, people.claims(seen)["jti"]}
    assert {tuple(row) for row in written} == {(program_id, one) for one in voided}
    # For as long as they would have been good.
    assert await db.fetchval("SELECT min(until) > now() + interval '9 years' FROM revocation")
    # Years later, in a process that was just started.
    await db.execute("UPDATE revocation SET revoked_at = now() - interval '9 years'")
    async with running(settings) as (_, url):
        late = [Client(one.session, url, one.headers) for one in callers]
        assert [(await one.get("/v1/members")).status for one in late] == [401, 401, 200]


async def test_a_token_that_nobody_signed_is_not_revoked(
    client: Client, db: Db, command: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(errors.TokenInvalid, match="knows no token tok_x"):
        await run("token", "revoke", "tok_x")
    monkeypatch.setattr(sys, "stdin", io.StringIO("x\n"))
    with pytest.raises(errors.TokenInvalid):
        await run("token", "revoke", "-")
    assert await db.fetchval("SELECT count(*) FROM revocation") == 0
