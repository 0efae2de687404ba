"""What each role of PostgreSQL may do: what its processes need, and nothing more."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from db import flush, migrate
from deploy.local.postgres import DatabaseUrls
from tests import statements

ROLES = ("app", "flush")
LEDGER = ("posting", "ledger_transaction")
CHANGES = ("UPDATE {} SET partition = partition", "DELETE FROM {}", "TRUNCATE {}")
GRANTED = """
SELECT table_name, privilege_type FROM information_schema.role_table_grants
 WHERE grantee = $1 AND privilege_type <> 'SELECT' ORDER BY 1, 2
"""
# By COPY, which is no statement that could be planned.
COPIED = {("flush", "posting", "INSERT"), ("flush", "ledger_transaction", "INSERT")}


@pytest.fixture(autouse=True)
def roles(database: DatabaseUrls) -> None:
    """Skip when a given server has but one role."""
    if database.app == database.migrate:
        pytest.skip("the given server has one role for everything")


@asynccontextmanager
async def connected(url: str) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    db = await asyncpg.connect(url)
    try:
        yield db
    finally:
        await db.close()


@pytest.mark.parametrize("role", [*ROLES, "migrate"])
@pytest.mark.parametrize("table", LEDGER)
@pytest.mark.parametrize("change", CHANGES)
async def test_nobody_changes_the_ledger(
    database: DatabaseUrls, role: str, table: str, change: str
) -> None:
    async with connected(getattr(database, role)) as db:
        with pytest.raises(asyncpg.InsufficientPrivilegeError) as refusal:
            await db.execute(change.format(table))
    if role == "migrate":
        assert "is append-only" in str(refusal.value)


@pytest.mark.parametrize(
    ("role", "statement"),
    [
        ("app", "INSERT INTO posting DEFAULT VALUES"),
        ("app", "INSERT INTO ledger_transaction DEFAULT VALUES"),
        ("app", "INSERT INTO click DEFAULT VALUES"),
        ("app", "UPDATE click SET class = 0"),
        ("app", "DELETE FROM click"),
        ("app", "UPDATE account SET balance = 0"),
        ("app", "UPDATE stream_checkpoint SET last_id = '0-0'"),
        ("app", "DELETE FROM quarantine"),
        ("app", "CREATE TABLE mine (id int)"),
        ("flush", "UPDATE program SET name = ''"),
        ("flush", "INSERT INTO member DEFAULT VALUES"),
        ("flush", "DELETE FROM link"),
        ("flush", "UPDATE webhook_endpoint SET secret = ''"),
        ("flush", "UPDATE click SET class = 0"),
        ("flush", "DELETE FROM outbox"),
        ("flush", "SELECT keep_click_partitions(current_date, 0, 0)"),
    ],
)
async def test_a_role_keeps_out_of_what_is_not_its_own(
    database: DatabaseUrls, role: str, statement: str
) -> None:
    async with connected(getattr(database, role)) as db:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute(statement)


async def test_each_role_may_do_what_its_processes_do(database: DatabaseUrls) -> None:
    assert await first_refusals(database) == {}


@pytest.mark.parametrize("role", ROLES)
async def test_each_grant_is_needed_by_a_statement(database: DatabaseUrls, role: str) -> None:
    name = f"stampgate_{role}"
    needless = []
    async with connected(database.migrate) as owner, connected(getattr(database, role)) as db:
        if role == "flush":
            await db.execute(flush.STAGE)
        for table, privilege in await owner.fetch(GRANTED, name):
            if (role, table, privilege) in COPIED:
                continue
            await owner.execute(f"REVOKE {privilege} ON {table} FROM {name}")
            if not await refusals(db, role, mentioning=table):
                needless.append((table, privilege))
            await owner.execute(f"GRANT {privilege} ON {table} TO {name}")
    assert needless == []


async def first_refusals(database: DatabaseUrls) -> dict[tuple[str, str, str], str]:
    """What a role's processes run and may not, by role and place."""
    found = {}
    for role in ROLES:
        async with connected(getattr(database, role)) as db:
            if role == "flush":
                await db.execute(flush.STAGE)
            for place, said in (await refusals(db, role)).items():
                found[role, *place] = said
    return found


async def refusals(
    db: asyncpg.Connection[asyncpg.Record], role: str, *, mentioning: str = ""
) -> dict[statements.Place, str]:
    """The role's statements that PostgreSQL refuses, and why."""
    said = {
        place: await statements.refused(db, sql)
        for place, sql in statements.found().items()
        if mentioning in sql and statements.run_by(role, place)
    }
    return {place: why for place, why in said.items() if why}


async def test_roles_that_come_later_get_their_grants_from_the_next_run(
    database: DatabaseUrls,
) -> None:
    async with connected(database.migrate) as owner:
        await owner.execute("REVOKE ALL ON program FROM stampgate_app")
    await migrate.migrate(database.migrate)
    async with connected(database.app) as db:
        assert await db.fetchval("SELECT count(*) FROM program") == 0
