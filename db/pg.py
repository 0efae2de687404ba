"""The PostgreSQL pool. A `Db` is a connection, never a pool: the caller owns the transaction."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

import asyncpg

from core.settings import Settings

if TYPE_CHECKING:
    Db: TypeAlias = (
        "asyncpg.Connection[asyncpg.Record] | asyncpg.pool.PoolConnectionProxy[asyncpg.Record]"
    )
    Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"
else:
    Db = asyncpg.Connection
    Pool = asyncpg.Pool

# What a lost or refused connection raises; the API answers 503.
CONNECTION_ERRORS = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    # A connection that breaks between its commands, as while the pool resets it.
    asyncpg.InternalClientError,
    asyncpg.CannotConnectNowError,
    asyncpg.TooManyConnectionsError,
    asyncpg.OperatorInterventionError,
)

# What PostgreSQL answers when it cannot do the work now; nothing of the transaction remains.
NOT_NOW = (
    *CONNECTION_ERRORS,
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.ReadOnlySQLTransactionError,
)


def open_pool(settings: Settings) -> Pool:
    """A pool as the app role that connects when it is first used (await it, or `acquire`)."""
    return asyncpg.create_pool(
        settings.database_url,
        min_size=0,
        max_size=settings.pg_pool_size,
        # Zero suits PgBouncer in transaction mode: prepared statements are session state.
        statement_cache_size=settings.pg_statement_cache,
        command_timeout=30,
        timeout=5,
    )
