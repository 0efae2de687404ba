"""Migrations: numbered plain SQL, applied once, in order, under an advisory lock.

`NNNN_pre_words.sql` runs before the new code is deployed, `NNNN_post_words.sql` after it. A file
whose first line is `-- no transaction` runs outside of one. An applied file that has changed since
stops the run. `grants.sql` follows every run: roles may be made later than tables.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable
from pathlib import Path
from typing import Final, Literal, NamedTuple

import asyncpg

from core import errors
from db.pg import Db

FOLDER: Final = Path(__file__).parent / "migrations"
GRANTS: Final = Path(__file__).parent / "grants.sql"
NAME: Final = re.compile(r"(\d{4})_(pre|post)_[a-z0-9_]+\.sql")
LOCK: Final = 0x5374616D70  # "Stamp"

Phase = Literal["pre", "post"]

BOOK: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
APPLIED: Final = "SELECT name, checksum FROM schema_migration"
RECORD: Final = "INSERT INTO schema_migration (name, checksum) VALUES ($1, $2)"

# The first days; the schedule keeps them coming and drops what is past its retention.
CLICK_PARTITIONS: Final = "SELECT keep_click_partitions(current_date - 1, 15, 36500)"


class MigrationChanged(errors.StampgateError, code="migration_changed"):
    """A migration that was applied has been edited since; restore it and add a new one."""


class Migration(NamedTuple):
    """One file of the folder."""

    name: str
    phase: str
    sql: str

    @property
    def checksum(self) -> str:
        """What `schema_migration` remembers of the file."""
        return hashlib.sha256(self.sql.encode()).hexdigest()


def migrations(folder: Path = FOLDER) -> list[Migration]:
    """All migrations in order; ValueError for a file name of another form."""
    found = []
    for path in sorted(folder.glob("*.sql")):
        match = NAME.fullmatch(path.name)
        if match is None:
            raise ValueError(f"{path.name}: expected NNNN_pre_words.sql or NNNN_post_words.sql")
        found.append(Migration(path.stem, match[2], path.read_text(encoding="utf-8")))
    return found


async def migrate(
    dsn: str,
    *,
    phase: Phase | None = None,
    folder: Path = FOLDER,
    progress: Callable[[str], None] = lambda _: None,
) -> list[str]:
    """Apply what is missing and return the names; MigrationChanged if history was edited."""
    db = await asyncpg.connect(dsn, timeout=10)
    try:
        await db.execute("SET lock_timeout = '4s'; SET client_min_messages = warning")
        await db.execute("SELECT pg_advisory_lock($1)", LOCK, timeout=60)
        await db.execute(BOOK)
        applied = {row["name"]: row["checksum"] for row in await db.fetch(APPLIED)}
        names = []
        for migration in migrations(folder):
            if migration.name in applied:
                if applied[migration.name] != migration.checksum:
                    raise MigrationChanged(f"{migration.name} was edited after it was applied")
            elif phase in {None, migration.phase}:
                progress(migration.name)
                await _apply(db, migration)
                names.append(migration.name)
        await db.execute(GRANTS.read_text(encoding="utf-8"))
        await db.execute(CLICK_PARTITIONS)
        return names
    finally:
        await db.close()


async def pending(db: Db) -> list[str]:
    """The migrations that are not applied yet."""
    exists = await db.fetchval("SELECT to_regclass('schema_migration') IS NOT NULL")
    applied = {row["name"] for row in await db.fetch(APPLIED)} if exists else set()
    return [migration.name for migration in migrations() if migration.name not in applied]


async def _apply(db: Db, migration: Migration) -> None:
    if migration.sql.startswith("-- no transaction"):
        await db.execute(migration.sql)
        await db.execute(RECORD, migration.name, migration.checksum)
        return
    async with db.transaction():
        await db.execute(migration.sql)
        await db.execute(RECORD, migration.name, migration.checksum)
