"""The fixtures that every other test stands on."""

from __future__ import annotations

import asyncpg
import pytest
from redis.asyncio import Redis

from deploy.local.postgres import DatabaseUrls


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_a_migrated_database_without_rows(
    database: DatabaseUrls, turn: int
) -> None:
    db = await asyncpg.connect(database.migrate)
    try:
        assert await db.fetchval("SELECT count(*) FROM schema_migration") > 0
        await db.execute("CREATE TABLE left_over (id int)")
    finally:
        await db.close()


@pytest.mark.parametrize("turn", [1, 2])
async def test_each_test_gets_an_empty_redis(redis: Redis, turn: int) -> None:
    assert await redis.dbsize() == 0
    await redis.set("left", "over")


async def test_the_app_role_owns_nothing(database: DatabaseUrls) -> None:
    db = await asyncpg.connect(database.app)
    try:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await db.execute("CREATE TABLE mine (id int)")
    finally:
        await db.close()
