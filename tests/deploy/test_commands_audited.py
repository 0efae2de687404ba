"""What the commands change stands in the audit log as well."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import msgspec
import pytest

from core import events, keyring, settings, tasks, tokens
from core.errors import BadKeyRing, ProgramNotFound, Unavailable
from core.settings import Settings
from db import audit_chain, migrate, outbox, pg
from deploy import cli
from deploy.commands import awards
from deploy.local import files
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.databases import Databases
from tests.db.test_flush import POINTS, event

NOBODYS = "prg_01h455vb4pex5vsknk084sn02q"


@pytest.fixture
def chosen(
    tmp_path: Path, database: DatabaseUrls, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> Settings:
    ring = tmp_path / "keyring.json"
    ring.write_bytes(keyring.dump(RING))
    for name, value in (
        *(("DATABASE_URL", database.app), ("MIGRATE_URL", database.migrate)),
        *(("REDIS_URL", redis_url), ("QUEUE_URL", redis_url), ("KEYRING_FILE", str(ring))),
    ):
        monkeypatch.setenv(f"STAMPGATE_{name}", value)
    return settings.load(os.environ)


@pytest.fixture
async def db(database: DatabaseUrls) -> AsyncIterator[pg.Db]:
    connection = await asyncpg.connect(database.migrate)
    yield connection
    await connection.close()


async def run(chosen: Settings, *arguments: str) -> int:
    parsed = cli.parser().parse_args(arguments)
    code: int = await parsed.run(chosen, parsed)
    return code


async def actions(db: pg.Db) -> list[tuple[str, str]]:
    """What the user of this system did, which is all that was done."""
    rows = await db.fetch(
        "SELECT actor, actor_role, action, object_id FROM audit_entry ORDER BY at, id"
    )
    who = (f"command:{getpass.getuser()}", "admin")
    assert {(row["actor"], row["actor_role"]) for row in rows} <= {who}
    return [(row["action"], row["object_id"]) for row in rows]


async def test_programs_and_dead_letters(chosen: Settings, db: pg.Db) -> None:
    assert await run(chosen, "program", "create", "Tea", "--currency", "INR") == 0
    program_id = await db.fetchval("SELECT id FROM program")
    for number in (1, 2):
        row_id = await outbox.add(db, tasks.DeliverWebhook(f"whd_{number}"))
        await outbox.bury(db, row_id, "no use")
    first, second = [str(row["id"]) for row in await db.fetch("SELECT id FROM dead_letter")]
    await run(chosen, "dead-letters", "replay", first)
    await run(chosen, "dead-letters", "replay")
    await run(chosen, "dead-letters", "discard", second)
    assert await actions(db) == [
        ("program.create", program_id),
        ("dead_letter.replay", first),
        ("dead_letter.replay", "all"),
        ("dead_letter.discard", second),
    ]


async def test_a_field_key_that_seals_the_audit_log_is_not_retired(
    chosen: Settings, db: pg.Db
) -> None:
    await run(chosen, "program", "create", "Tea", "--currency", "INR")
    async with db.transaction():
        await audit_chain.seal(db, RING)
    await run(chosen, "keys", "rotate", "field")
    with pytest.raises(BadKeyRing, match="seals the audit log"):
        await run(chosen, "keys", "retire", "field", RING.active_field)
    async with db.transaction():
        rotated = keyring.parse(Path(chosen.keyring_file).read_bytes())
        await audit_chain.seal(db, rotated)
    assert await run(chosen, "keys", "retire", "field", RING.active_field) == 0
    assert await run(chosen, "audit", "verify") == 0


async def program(chosen: Settings, db: pg.Db) -> str:
    await run(chosen, "program", "create", "Tea", "--currency", "INR")
    return str(await db.fetchval("SELECT id FROM program"))


async def test_tokens(chosen: Settings, db: pg.Db, capsys: pytest.CaptureFixture[str]) -> None:
    program_id = await program(chosen, db)
    capsys.readouterr()
    await run(chosen, "token", "create", "--program", program_id, "--scope", "links:read")
    token = capsys.readouterr().out.strip()
    made = tokens.verify(RING, token, int(time.time()))
    assert (await actions(db))[-1] == ("token.create", made.token_id)
    row = await db.fetchrow("SELECT program_id, after FROM audit_entry ORDER BY at DESC LIMIT 1")
    assert row is not None
    assert (row["program_id"], '"links:read"' in row["after"]) == (program_id, True)
    assert token not in row["after"]
    with pytest.raises(ProgramNotFound):
        await run(chosen, "token", "create", "--program", NOBODYS, "--scope", "links:read")
    assert capsys.readouterr().out == ""


async def test_keys(chosen: Settings, db: pg.Db) -> None:
    await run(chosen, "keys", "rotate", "token")
    rotated = keyring.parse(Path(chosen.keyring_file).read_bytes())
    await run(chosen, "keys", "retire", "token", RING.active_token)
    await run(chosen, "keys", "reseal")
    assert await actions(db) == [
        ("key.rotate", rotated.active_token),
        ("key.retire", RING.active_token),
        ("key.reseal", RING.active_field),
    ]


async def test_a_key_ring_is_changed_only_if_that_can_be_written_down(
    chosen: Settings,
) -> None:
    before = Path(chosen.keyring_file).read_bytes()
    away = msgspec.structs.replace(chosen, database_url="postgresql://nobody@/x?host=/nonexistent")
    with pytest.raises(OSError):
        await run(away, "keys", "rotate", "token")
    assert Path(chosen.keyring_file).read_bytes() == before


async def test_what_was_not_done_is_not_written_down(
    chosen: Settings, db: pg.Db, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "write_private", _refuse)
    with pytest.raises(OSError, match="disk is full"):
        await run(chosen, "keys", "rotate", "token")
    assert await actions(db) == []


def _refuse(*_: object) -> None:
    raise OSError("the disk is full")


async def test_rebuilds_and_imports(
    chosen: Settings, db: pg.Db, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program_id = await program(chosen, db)
    await run(chosen, "rebuild", "links")
    monkeypatch.setattr(awards, "WAIT_S", 0.1)
    with pytest.raises(Unavailable):
        await run(chosen, "rebuild", "awards", "--partition", "3")
    table = tmp_path / "members.csv"
    table.write_text("external_id,name\nm1,Asha\nm2,Ben\n")
    url = "http://127.0.0.1:9"
    with pytest.raises(Unavailable):
        await run(chosen, "import", "members", str(table), "--program", program_id, "--url", url)
    assert await actions(db) == [
        ("program.create", program_id),
        ("link.rebuild", "all"),
        ("award.rebuild", "partitions"),
        ("member.import", program_id),
    ]
    after = await db.fetchval("SELECT after FROM audit_entry ORDER BY at DESC LIMIT 1")
    assert after == '{"rows":2}'


async def test_events_that_are_replayed(chosen: Settings, db: pg.Db) -> None:
    """One that can be applied now, and one that still cannot."""
    for position, payload in enumerate((events.encode(event()), b"no event")):
        await db.execute(
            "INSERT INTO quarantine (stream, entry_id, position, payload, error)"
            " VALUES ($1, '1-1', $3, $2, 'x')",
            POINTS,
            payload,
            position,
        )
    assert await run(chosen, "replay") == 1
    assert await actions(db) == [("event.replay", f"{POINTS} 1-1")]
    assert await db.fetchval("SELECT count(*) FROM quarantine") == 1


async def test_migrations(
    chosen: Settings, databases: Databases, db: pg.Db, capsys: pytest.CaptureFixture[str]
) -> None:
    name = "stampgate_fresh"
    await databases.create(name)
    try:
        urls = databases.urls(name)
        fresh = msgspec.structs.replace(chosen, database_url=urls.app, migrate_url=urls.migrate)
        for _ in range(2):
            assert await run(fresh, "migrate") == 0
        connection = await asyncpg.connect(urls.migrate)
        last = migrate.migrations()[-1].name
        assert await actions(connection) == [("schema.migrate", last)]
        await connection.close()
    finally:
        await databases.drop(name)
