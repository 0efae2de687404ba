"""The sealer: places, heads that Redis keeps, and what it says when one is gone."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from prometheus_client import REGISTRY
from redis.asyncio import Redis

from core import keyring
from core.settings import Settings
from db import audit, audit_chain, keys, pg, redis
from tests.conftest import RING
from tests.workers.conftest import Db
from workers import loop
from workers.seal import COMPARE_MS, GAUGES_MS, Sealer

NOON_MS = 1_768_478_400_000


@pytest.fixture
async def sealer(settings: Settings, pool: pg.Pool, redis_connection: redis.Connection) -> Sealer:
    return Sealer(settings, pool, redis_connection)


async def write(db: Db, ring: keyring.KeyRing = RING, count: int = 3) -> None:
    for number in range(count):
        await audit.add(
            db,
            ring,
            audit.Entry(
                program_id="prg_test",
                actor="opr_1",
                actor_role="owner",
                action="link.change",
                object_id=f"lnk_{number}",
                at_ms=loop.now_ms(),
            ),
        )


async def broken(sealer: Sealer, turn: int) -> float | None:
    await sealer.step(NOON_MS + turn * COMPARE_MS)
    return REGISTRY.get_sample_value("stampgate_audit_broken_chains")


async def test_entries_are_sealed_and_redis_keeps_the_head(
    db: Db, redis: Redis, sealer: Sealer, pool: pg.Pool
) -> None:
    await write(db)
    assert await sealer.step(NOON_MS) == 3
    assert await sealer.step(NOON_MS + GAUGES_MS) == 0
    head = (await audit_chain.heads(db, ["prg_test"]))["prg_test"].head
    kept = await redis.hgetall(keys.audit_heads())
    assert kept == {b"prg_test": f"3:{head.digest.hex()}".encode()}
    assert REGISTRY.get_sample_value("stampgate_audit_unsealed_entries") == 0


async def test_an_entry_proven_with_a_new_key_is_known(
    db: Db, settings: Settings, sealer: Sealer
) -> None:
    await write(db)
    await sealer.step(NOON_MS)
    rotated = keyring.rotate(RING, "field", NOON_MS, bytes(keyring.KEY_BYTES))
    Path(settings.keyring_file).write_bytes(keyring.dump(rotated))
    await write(db, rotated)
    await sealer.step(NOON_MS)
    assert await db.fetchval("SELECT bool_and(is_proven) FROM audit_entry")
    assert not await audit_chain.uses(db, RING.active_field)


async def test_a_chain_cut_short_is_told_until_somebody_has_looked(
    db: Db, redis: Redis, sealer: Sealer, caplog: pytest.LogCaptureFixture
) -> None:
    await write(db)
    await sealer.step(NOON_MS)
    head = (await audit_chain.heads(db, ["prg_test"]))["prg_test"].head
    await write(db, count=2)
    assert await broken(sealer, 1) == 0
    kept = await redis.hget(keys.audit_heads(), "prg_test")
    month = await db.fetchval("SELECT min(tableoid)::regclass::text FROM audit_entry")
    await db.execute(f"ALTER TABLE {month} DISABLE TRIGGER USER")
    await db.execute("DELETE FROM audit_entry WHERE position > 3")
    await db.execute(f"ALTER TABLE {month} ENABLE TRIGGER USER")
    await audit_chain._store(db, RING, [head])
    with caplog.at_level(logging.ERROR):
        assert await broken(sealer, 2) == 1
    assert "prg_test was cut short" in caplog.text
    # What is written after does not wipe out the evidence.
    await write(db, count=5)
    assert await broken(sealer, 3) == 1
    assert await redis.hget(keys.audit_heads(), "prg_test") == kept
    await redis.hdel(keys.audit_heads(), "prg_test")
    await write(db, count=1)
    assert await broken(sealer, 4) == 0
    assert await redis.hget(keys.audit_heads(), "prg_test") != kept


async def test_a_head_that_redis_kept_long_ago_is_still_one(
    db: Db, redis: Redis, sealer: Sealer
) -> None:
    await write(db)
    await sealer.step(NOON_MS)
    old = await redis.hget(keys.audit_heads(), "prg_test")
    await write(db)
    await sealer.step(NOON_MS)
    assert old is not None
    await redis.hset(keys.audit_heads(), "prg_test", old)
    assert await broken(sealer, 1) == 0
    await write(db)
    assert await broken(sealer, 2) == 0
    assert str(await redis.hget(keys.audit_heads(), "prg_test")).startswith("b'9:")
