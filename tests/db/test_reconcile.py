"""Comparing Redis with PostgreSQL finds what differs, and nothing else."""

from __future__ import annotations

from core import events
from db import keys, reconcile, redis
from tests.db.accounts import MEMBER, PROGRAM, WHERE, Bank, ask, closing
from tests.db.test_rebuild import Flusher, flusher, lived, program

__all__ = ["flusher", "program"]


async def test_balances_agree_before_and_after_the_flush(
    banked: Bank, connection: redis.Connection, flusher: Flusher
) -> None:
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    assert await reconcile.compare(flusher.db, connection, WHERE) == []
    await lived(banked)
    await flusher.drain()
    assert await reconcile.compare(flusher.db, connection, WHERE) == []
    hold = await banked.decide(ask("hold", 5, expires_in_s=60))
    await banked.decide(ask("hold", 7, expires_in_s=60))
    await banked.decide(closing("capture", hold, 2))
    assert await reconcile.compare(flusher.db, connection, WHERE) == []


async def test_a_balance_that_differs_is_found(
    banked: Bank, connection: redis.Connection, flusher: Flusher
) -> None:
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    await banked.decide(ask("award", 50))
    await flusher.drain()
    balances = keys.award_balances(WHERE, 1)
    await connection.call("HINCRBY", balances, events.account_field(PROGRAM, MEMBER, "points"), 1)
    found = await reconcile.compare(flusher.db, connection, WHERE)
    assert found is not None
    assert [(one.expected, one.found) for one in found] == [(50, 51)]


async def test_what_cannot_be_told_is_not_called_a_mismatch(
    banked: Bank, connection: redis.Connection, flusher: Flusher
) -> None:
    await flusher.db.execute("UPDATE award_partition SET generation = 1")
    await banked.decide(ask("award", 50))
    await flusher.drain()
    # The flusher moved on and trimmed between the two looks.
    await banked.decide(ask("award", 1))
    await connection.call("XTRIM", keys.award_stream(WHERE), "MAXLEN", 0)
    assert await reconcile.compare(flusher.db, connection, WHERE) is None
    await connection.call("HSET", keys.award_head(WHERE), "open", 0)
    assert await reconcile.compare(flusher.db, connection, WHERE) is None
