"""Every SQL statement and every Lua script of ours, as the real servers see them."""

from __future__ import annotations

import re

import asyncpg
import pytest
from redis.asyncio import Redis

from db import clicks, flush, keys, redis
from deploy.local.postgres import DatabaseUrls
from tests import sources, statements

LUA = sources.ROOT / "db" / "lua"
SCRIPTS = (*redis.SCRIPTS, clicks.PREMINT)
COMMENT = re.compile(r"^-- ?(.*)$", re.MULTILINE)


async def test_every_statement_fits_the_schema(database: DatabaseUrls) -> None:
    db = await asyncpg.connect(database.migrate)
    await db.execute(flush.STAGE)
    refused, found = {}, statements.found()
    for place, sql in found.items():
        try:
            await db.prepare(sql)
        except asyncpg.PostgresError as error:
            refused[place] = str(error)
    await db.close()
    assert len(found) > 80
    assert refused == {}


async def test_the_database_has_the_partitions_that_keys_count_on(database: DatabaseUrls) -> None:
    db = await asyncpg.connect(database.app)
    row = await db.fetchrow("SELECT award_partitions, click_partitions FROM installation")
    heads = await db.fetchval("SELECT count(*) FROM award_partition")
    streams = {row["stream"] for row in await db.fetch("SELECT stream FROM stream_checkpoint")}
    await db.close()
    assert tuple(row or ()) == (keys.AWARD_PARTITIONS, keys.CLICK_PARTITIONS)
    assert heads == keys.AWARD_PARTITIONS
    assert streams == {
        *(keys.award_stream(number) for number in range(keys.AWARD_PARTITIONS)),
        *(keys.click_stream(number) for number in range(keys.CLICK_PARTITIONS)),
    }


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
async def test_every_script_compiles(redis: Redis, script: redis.Script) -> None:
    assert await redis.script_load(script.source) == script.sha


def test_every_lua_file_is_part_of_a_script() -> None:
    parts = "\n".join(script.source for script in SCRIPTS)
    assert [path.name for path in LUA.glob("*.lua") if path.read_text() not in parts] == []


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
@pytest.mark.parametrize("array", ["KEYS", "ARGV"])
def test_every_script_says_what_it_is_given(script: redis.Script, array: str) -> None:
    said = "\n".join(COMMENT.findall(script.source))
    section = re.search(
        rf"^{array}  (.*?)^(?:[A-Z]{{4,}} |Returns)", said, re.MULTILINE | re.DOTALL
    )
    assert section is not None
    explained = set(re.findall(r"(?:^|\s{2,})(\d+) ", section[1]))
    used = set(re.findall(rf"\b{array}\[(\d+)\]", COMMENT.sub("", script.source)))
    assert used
    assert used <= explained
