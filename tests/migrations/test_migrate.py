from __future__ import annotations

import asyncio
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import asyncpg
import pytest

from db import migrate
from tests import sources

WORDS = (
    ("0002_pre_shelf.sql", "CREATE TABLE shelf (id int);"),
    ("0003_post_shelf.sql", "ALTER TABLE shelf ADD COLUMN width int;"),
)
# PostgreSQL waits here for every snapshot that is older, also for that of a waiting migration.
INDEX = "-- no transaction\nCREATE INDEX CONCURRENTLY member_by_name ON member (name);\n"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A copy of our migrations, to add to."""
    return Path(shutil.copytree(migrate.FOLDER, tmp_path / "migrations"))


def add(folder: Path, *written: tuple[str, str]) -> None:
    for name, sql in written:
        (folder / name).write_text(sql)


async def ask(url: str, query: str) -> Any:
    db = await asyncpg.connect(url)
    try:
        return await db.fetchval(query)
    finally:
        await db.close()


def names() -> list[str]:
    return [one.name for one in migrate.migrations()]


def test_every_file_is_numbered_and_no_number_is_used_twice() -> None:
    numbers = [int(name.split("_")[0]) for name in names()]
    assert numbers == sorted(set(numbers))


def test_a_file_of_another_form_is_refused(folder: Path) -> None:
    add(folder, ("0002_shelf.sql", "SELECT 1"))
    with pytest.raises(ValueError, match="NNNN_pre_words"):
        migrate.migrations(folder)


async def test_a_second_run_applies_nothing(empty: str) -> None:
    told: list[str] = []
    assert await migrate.migrate(empty, progress=told.append) == names()
    assert told == names()
    assert await migrate.migrate(empty) == []


async def test_pending_names_what_is_missing(empty: str) -> None:
    db = await asyncpg.connect(empty)
    assert await migrate.pending(db) == names()
    await migrate.migrate(empty)
    assert await migrate.pending(db) == []
    await db.close()


async def test_edited_history_is_refused_and_changes_nothing(empty: str, folder: Path) -> None:
    await migrate.migrate(empty)
    first = min(folder.iterdir())
    first.write_text(first.read_text() + "\n-- a second thought\n")
    add(folder, *WORDS)
    with pytest.raises(migrate.MigrationChanged, match=first.stem):
        await migrate.migrate(empty, folder=folder)
    assert not await ask(empty, "SELECT to_regclass('shelf') IS NOT NULL")


async def test_phases_run_before_and_after_the_deployment(empty: str, folder: Path) -> None:
    await migrate.migrate(empty)
    add(folder, *WORDS)
    assert await migrate.migrate(empty, folder=folder, phase="pre") == ["0002_pre_shelf"]
    assert await migrate.migrate(empty, folder=folder, phase="post") == ["0003_post_shelf"]
    assert await migrate.migrate(empty, folder=folder) == []


async def test_the_post_phase_does_not_run_before_the_pre_phase(empty: str, folder: Path) -> None:
    await migrate.migrate(empty)
    add(folder, *WORDS)
    with pytest.raises(migrate.MigrationSkipped, match="0002_pre_shelf"):
        await migrate.migrate(empty, folder=folder, phase="post")


async def test_a_migration_that_fails_leaves_nothing_behind(empty: str, folder: Path) -> None:
    await migrate.migrate(empty)
    add(folder, ("0002_pre_shelf.sql", "CREATE TABLE shelf (id int); SELECT 1 / 0;"))
    with pytest.raises(asyncpg.DivisionByZeroError):
        await migrate.migrate(empty, folder=folder)
    assert not await ask(empty, "SELECT to_regclass('shelf') IS NOT NULL")
    add(folder, *WORDS)
    assert await migrate.migrate(empty, folder=folder) == ["0002_pre_shelf", "0003_post_shelf"]


async def test_a_run_that_waits_is_not_in_the_way_of_an_index(empty: str, folder: Path) -> None:
    await migrate.migrate(empty)
    add(folder, ("0002_pre_index.sql", INDEX))
    runs = [migrate.migrate(empty, folder=folder) for _ in range(3)]
    assert sorted(await asyncio.gather(*runs)) == [[], [], ["0002_pre_index"]]
    assert await ask(
        empty, "SELECT indisvalid FROM pg_index WHERE indexrelid = 'member_by_name'::regclass"
    )


async def test_two_processes_at_once_apply_everything_once(empty: str) -> None:
    env = {
        "PATH": os.defpath,
        "STAMPGATE_DATABASE_URL": empty,
        "STAMPGATE_REDIS_URL": "redis://127.0.0.1:1",
        "STAMPGATE_QUEUE_URL": "redis://127.0.0.1:1",
    }
    running = [
        await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "deploy.cli", "migrate"),
            env=env,
            cwd=sources.ROOT,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        for _ in range(2)
    ]
    said = [(await process.communicate())[0].decode() for process in running]
    assert [process.returncode for process in running] == [0, 0], said
    assert sorted(text.splitlines()[-1] for text in said) == [
        f"{len(names())} migrations applied",
        "the schema is up to date",
    ]
