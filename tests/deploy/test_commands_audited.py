"""What the commands change stands in the audit log as well."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator
from pathlib import Path

import asyncpg
import pytest

from core import keyring, settings, tasks
from core.errors import BadKeyRing
from core.settings import Settings
from db import audit_chain, outbox, pg
from deploy import cli
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING


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


async def actions(db: pg.Db) -> list[tuple[str, str, str]]:
    rows = await db.fetch("SELECT actor, action, object_id FROM audit_entry ORDER BY at, id")
    return [tuple(row) for row in rows]


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
        ("command", "program.create", program_id),
        ("command", "dead_letter.replay", first),
        ("command", "dead_letter.replay", "all"),
        ("command", "dead_letter.discard", second),
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
