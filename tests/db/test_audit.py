"""Entries of the audit log: written with the change, and never changed."""

from __future__ import annotations

import time

import asyncpg
import pytest

from core import chain
from db import audit, pg
from deploy.local.postgres import DatabaseUrls
from tests.conftest import RING
from tests.db.conftest import PROGRAM


def entry(**changes: object) -> audit.Entry:
    values: dict[str, object] = {
        "program_id": PROGRAM,
        "actor": "opr_1",
        "actor_role": "owner",
        "action": "link.change",
        "object_id": "lnk_1",
        "before": {"state": "active", "cap": 1.5},
        "after": {"state": "paused", "cap": None},
        "address": "192.0.2.0",
        "request_id": "req-1",
        "at_ms": time.time_ns() // 1_000_000,
    }
    return audit.Entry(**{**values, **changes})  # type: ignore[arg-type]  # a test's shorthand


async def test_an_entry_is_written_with_its_proof(db: pg.Db) -> None:
    entry_id = await audit.add(db, RING, entry())
    row = await db.fetchrow("SELECT * FROM audit_entry")
    assert row is not None
    assert row["id"] == entry_id
    assert row["before"] == '{"cap":1.5,"state":"active"}'
    at_us = (row["at"] - audit.EPOCH) // audit._US
    names = chain.Content._fields[2:]
    content = chain.Content(entry_id, at_us, *(row[name] for name in names))
    proof = chain.Proof(row["key"], row["proof"])
    assert chain.fits(RING, content, proof)
    assert not chain.fits(RING, content._replace(actor="opr_2"), proof)


async def test_an_entry_goes_with_its_transaction(db: pg.Db) -> None:
    transaction = db.transaction()
    await transaction.start()
    await audit.add(db, RING, entry())
    await transaction.rollback()
    assert await db.fetchval("SELECT count(*) FROM audit_entry") == 0


@pytest.mark.parametrize("role", ["app", "flush", "migrate"])
@pytest.mark.parametrize("table", ["audit_entry", "audit_entry_default", "month"])
@pytest.mark.parametrize("change", ["UPDATE {} SET actor = 'me'", "DELETE FROM {}", "TRUNCATE {}"])
async def test_nobody_changes_an_entry(
    database: DatabaseUrls, db: pg.Db, role: str, table: str, change: str
) -> None:
    await audit.add(db, RING, entry())
    await audit.add(db, RING, entry(at_ms=0))
    if table == "month":
        table = time.strftime("audit_entry_%Y%m", time.gmtime())
    connection = await asyncpg.connect(getattr(database, role))
    with pytest.raises(asyncpg.InsufficientPrivilegeError):
        await connection.execute(change.format(table))
    await connection.close()
    assert await db.fetchval("SELECT count(*) FROM audit_entry") == 2
