from __future__ import annotations

from pathlib import Path

import asyncpg
import pytest

from db import migrate
from deploy import schema
from deploy.local import postgres

DEBIAN_15 = Path("/usr/lib/postgresql/15/bin")
WHEEL_MAJOR = 18


async def test_schema_sql_is_what_the_migrations_make(empty: str) -> None:
    await migrate.migrate(empty)
    db = await asyncpg.connect(empty)
    major = db.get_server_version().major
    await db.close()
    if major != WHEEL_MAJOR:
        pytest.skip(f"PostgreSQL {major} writes a schema in other words")
    assert schema.dump(empty) == schema.SCHEMA.read_text(encoding="utf-8"), "run `make schema`"


def test_no_dated_partition_is_part_of_the_schema() -> None:
    written = schema.SCHEMA.read_text(encoding="utf-8")
    assert "click_2" not in written
    assert "audit_entry_2" not in written


@pytest.mark.skipif(not DEBIAN_15.is_dir(), reason="PostgreSQL 15 is not installed here")
async def test_the_oldest_postgresql_takes_all_migrations(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres, "installed", lambda: DEBIAN_15)
    with schema.server() as running:
        url = running.urls().migrate
        assert await migrate.migrate(url) == [one.name for one in migrate.migrations()]
        db = await asyncpg.connect(url)
        assert db.get_server_version().major == 15
        await db.close()
