"""Migrations: numbered plain SQL, applied once, in order, under an advisory lock.

`NNNN_pre_words.sql` runs before the new code is deployed, `NNNN_post_words.sql` after it. A file
whose first line is `-- no transaction` holds one statement that cannot run inside of one. An
applied file that has changed since stops the run. `grants.sql` follows every run: roles may be made
later than tables.
"""

from __future__ import annotations

import asyncio
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
LOCK_WAIT_S: Final = 600.0
LOCK_POLL_S: Final = 0.1

Phase = Literal["pre", "post"]

BOOK: Final = """
CREATE TABLE IF NOT EXISTS schema_migration (
    name text PRIMARY KEY,
    checksum text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
)
"""
TRY_LOCK: Final = "SELECT pg_try_advisory_lock($1)"
APPLIED: Final = "SELECT name, checksum FROM schema_migration"
RECORD: Final = "INSERT INTO schema_migration (name, checksum) VALUES ($1, $2)"

# The first days; the schedule keeps them coming and drops what is past its retention.
CLICK_PARTITIONS: Final = "SELECT keep_click_partitions(current_date - 1, 15, 36500)"


class MigrationChanged(errors.StampgateError, code="migration_changed"):
    """A migration that was applied has been edited since; restore it and add a new one."""


class MigrationSkipped(errors.StampgateError, code="migration_skipped"):
    """A migration of the pre phase is missing that one of the post phase may build on."""


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
    """Apply what is missing, of one phase or of both, and return the names; MigrationChanged,
    MigrationSkipped, TimeoutError."""
    db = await asyncpg.connect(dsn, timeout=10)
    try:
        await db.execute("SET lock_timeout = '4s'; SET client_min_messages = warning")
        await _lock(db)
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
            elif phase == "post":
                raise MigrationSkipped(f"{migration.name} comes first: run the pre phase")
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


async def _lock(db: Db) -> None:
    """Keep other runs out until the connection ends; TimeoutError when one takes too long.

    Asked for again and again, because a statement that waits holds a snapshot, and CREATE INDEX
    CONCURRENTLY in the other run would wait for that.
    """
    async with asyncio.timeout(LOCK_WAIT_S):
        while not await db.fetchval(TRY_LOCK, LOCK):  # noqa: ASYNC110 - another process has it
            await asyncio.sleep(LOCK_POLL_S)


async def _apply(db: Db, migration: Migration) -> None:
    if migration.sql.startswith("-- no transaction"):
        await db.execute(migration.sql)
        await db.execute(RECORD, migration.name, migration.checksum)
        return
    async with db.transaction():
        await db.execute(migration.sql)
        await db.execute(RECORD, migration.name, migration.checksum)
