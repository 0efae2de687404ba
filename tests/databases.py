"""Databases for tests. Copying the template for each test would cost more than most of the tests:
one that left only rows behind is emptied instead, and is then as the template was.
"""

from __future__ import annotations

import asyncio
import io
import threading
from collections.abc import Coroutine
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import asyncpg

from db import pg
from deploy.local.postgres import DatabaseUrls
from deploy.local.servers import Servers

Connection: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

# Deleted rows are still read; after so many tests, or so many bytes, a new copy is cheaper.
USES_MAX: Final = 200
GROWTH_BYTES_MAX: Final = 24 << 20

# All that a test may have changed but rows: each catalog row's own version, and nothing of what is
# on its way out with a connection. The statistics of tables change in place, without a version.
SHAPE: Final = r"""
WITH ours AS (SELECT oid FROM pg_namespace WHERE nspname !~ '^(pg_|information_schema)'),
relations AS (SELECT oid, xmin FROM pg_class WHERE relnamespace IN (SELECT oid FROM ours))
SELECT bit_xor(hashtextextended(version, 0)) FROM (
    SELECT 'n' || oid || '.' || xmin FROM pg_namespace WHERE oid IN (SELECT oid FROM ours)
    UNION ALL SELECT 'r' || oid || '.' || xmin FROM relations
    UNION ALL SELECT 'a' || attrelid || '.' || attnum || '.' || xmin FROM pg_attribute
               WHERE attrelid IN (SELECT oid FROM relations)
    UNION ALL SELECT 'f' || oid || '.' || xmin FROM pg_proc
               WHERE pronamespace IN (SELECT oid FROM ours)
    UNION ALL SELECT 'c' || oid || '.' || xmin FROM pg_constraint
               WHERE conrelid IN (SELECT oid FROM relations)
    UNION ALL SELECT 't' || oid || '.' || xmin FROM pg_trigger
               WHERE tgrelid IN (SELECT oid FROM relations)
    UNION ALL SELECT 's' || setdatabase || '.' || setrole || '.' || xmin FROM pg_db_role_setting
               WHERE setdatabase = (SELECT oid FROM pg_database WHERE datname = current_database())
    UNION ALL SELECT 'd' || datconnlimit || datallowconn FROM pg_database
               WHERE datname = current_database()
) AS catalog (version)
"""
SIZE: Final = "SELECT pg_database_size(current_database())"
LEAVE: Final = """
SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity
 WHERE datname = $1 AND pid <> pg_backend_pid()
"""
TABLES: Final = """
SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
"""
SEQUENCES: Final = """
SELECT format('SELECT setval(%L, %s, %L)', format('public.%I', sequencename),
              coalesce(last_value, start_value), last_value IS NOT NULL)
  FROM pg_sequences WHERE schemaname = 'public'
"""
# Triggers that refuse it do not run.
EMPTY: Final = """
DO $$
DECLARE
    one regclass;
BEGIN
    FOR one IN SELECT oid FROM pg_class WHERE relnamespace = 'public'::regnamespace
                  AND relkind = 'r' AND pg_relation_size(oid) > 0 LOOP
        EXECUTE format('DELETE FROM %s', one);
    END LOOP;
END
$$
"""


class State(NamedTuple):
    """What a copy of the template has been from the start, and the connection that empties it."""

    db: Connection
    shape: int
    size: int
    rows: dict[str, bytes]
    sequences: list[str]


class Databases:
    """The databases of the test server: how to reach one, and who may make one."""

    def __init__(self, servers: Servers | None, given: str | None) -> None:
        """`given` is the address of a server that is not ours."""
        self._servers = servers
        self._given = given
        self._states: dict[str, State] = {}
        self._uses: dict[str, int] = {}
        # Of what empties: it outlives the loops of the tests, and so do its connections, which
        # know all tables by then.
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Hang up."""
        for database in list(self._states):
            self._run(self._forget(database))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def urls(self, database: str) -> DatabaseUrls:
        """One database for our three roles, or for the one that was given."""
        if self._servers is not None:
            return self._servers.postgres.urls(database)
        url = urlunsplit(urlsplit(self._given or "")._replace(path=f"/{database}"))
        return DatabaseUrls(app=url, migrate=url, flush=url)

    async def create(self, database: str, template: str = "template1") -> None:
        """Make it anew as a copy of `template`."""
        owner = "OWNER stampgate_owner" if self._servers is not None else ""
        await self._execute(
            f"DROP DATABASE IF EXISTS {database} WITH (FORCE)",
            f"CREATE DATABASE {database} TEMPLATE {template} {owner}",
        )

    async def drop(self, database: str) -> None:
        """Remove it, whoever is still connected."""
        await self._execute(f"DROP DATABASE {database} WITH (FORCE)")

    def renew(self, database: str, template: str) -> None:
        """Make it what a new copy of `template` would be. Emptying needs a superuser, as whom a
        server that was given is not used."""
        self._run(self._renew(database, template))

    def _run(self, work: Coroutine[Any, Any, None]) -> None:
        asyncio.run_coroutine_threadsafe(work, self._loop).result()

    async def _renew(self, database: str, template: str) -> None:
        uses = self._uses[database] = self._uses.get(database, 0) + 1
        if uses % USES_MAX and database in self._states:
            try:
                if await self._emptied(database):
                    return
            except pg.CONNECTION_ERRORS:
                # The test has ended all connections, or the server.
                pass
        await self._forget(database)
        await self.create(database, template)
        if self._servers is not None:
            self._states[database] = await self._state(database)

    async def _forget(self, database: str) -> None:
        state = self._states.pop(database, None)
        if state is not None:
            state.db.terminate()

    async def _emptied(self, database: str) -> bool:
        state = self._states[database]
        # Most have hung up, and need another moment: waiting for each would take longer.
        while await state.db.fetchval(LEAVE, database):  # noqa: ASYNC110 - it has no event
            await asyncio.sleep(0.002)
        if await state.db.fetchval(SHAPE) != state.shape:
            return False
        if await state.db.fetchval(SIZE) > state.size + GROWTH_BYTES_MAX:
            return False
        await state.db.execute(EMPTY)
        for table, rows in state.rows.items():
            await state.db.copy_to_table(table, source=io.BytesIO(rows), format="binary")
        await state.db.execute(";".join(state.sequences))
        return True

    async def _state(self, database: str) -> State:
        db = await self._connect(database)
        rows = {}
        for (table,) in await db.fetch(TABLES):
            if await db.fetchval(f'SELECT EXISTS (SELECT FROM "{table}")'):
                rows[table] = io.BytesIO()
                await db.copy_from_table(table, output=rows[table], format="binary")
        await db.execute("SET session_replication_role = replica")
        return State(
            db=db,
            shape=await db.fetchval(SHAPE),
            size=await db.fetchval(SIZE),
            rows={table: copied.getvalue() for table, copied in rows.items()},
            sequences=[row[0] for row in await db.fetch(SEQUENCES)],
        )

    async def _execute(self, *statements: str) -> None:
        db = await self._connect("postgres")
        try:
            for statement in statements:
                await db.execute(statement)
        finally:
            await db.close()

    async def _connect(self, database: str) -> Connection:
        """As superuser on a server of ours."""
        if self._servers is not None:
            return await asyncpg.connect(self._servers.postgres.url("postgres", database))
        return await asyncpg.connect(self._given)
