"""Answers that are given once."""

from __future__ import annotations

import pytest

from core import errors
from db import idempotency, pg
from db.idempotency import Answer, Scope
from tests.conftest import RING

INSERT_OLD = """
INSERT INTO idempotency (program_id, caller, key, route, body_hash, status, answer, created_at)
VALUES ($1, $2, $3, $4, $5, 201, '{}', now() - interval '2 minutes')
"""
SCOPE = Scope("prg_x", "caller", "key", "create_link", b"hash")


async def remember(db: pg.Db, scope: Scope) -> Answer | None:
    """What a repeated request is told; the first one is remembered."""
    async with db.transaction():
        answer = await idempotency.begin(db, RING, scope)
        if answer is None:
            await idempotency.finish(db, RING, scope, Answer(201, b"{}"))
    return answer


async def test_the_first_answer_is_given_again(db: pg.Db) -> None:
    assert await remember(db, SCOPE) is None
    assert await remember(db, SCOPE) == Answer(201, b"{}")


async def test_scopes_that_differ_do_not_meet(db: pg.Db) -> None:
    for scope in (
        SCOPE,
        SCOPE._replace(program_id="prg_y"),
        SCOPE._replace(caller="other"),
        SCOPE._replace(key="other"),
    ):
        assert await remember(db, scope) is None


async def test_another_body_or_route_is_refused(db: pg.Db) -> None:
    await remember(db, SCOPE)
    for scope in (SCOPE._replace(body_hash=b"other"), SCOPE._replace(route="create_member")):
        with pytest.raises(errors.IdempotencyKeyReused):
            await remember(db, scope)


async def test_work_that_failed_leaves_no_answer(db: pg.Db) -> None:
    transaction = db.transaction()
    await transaction.start()
    await idempotency.begin(db, RING, SCOPE)
    await idempotency.finish(db, RING, SCOPE, Answer(201, b"{}"))
    await transaction.rollback()
    assert await remember(db, SCOPE) is None


async def test_a_key_in_use_is_in_flight_until_the_transaction_ends(
    db: pg.Db, pool: pg.Pool
) -> None:
    async with pool.acquire() as second:
        async with db.transaction():
            await idempotency.begin(db, RING, SCOPE)
            with pytest.raises(errors.RequestInFlight):
                await remember(second, SCOPE)
        assert await remember(second, SCOPE) is None


async def test_old_answers_are_forgotten(db: pg.Db) -> None:
    await remember(db, SCOPE)
    old = SCOPE._replace(key="old")
    await db.execute(INSERT_OLD, *old)
    assert await idempotency.delete_old(db, 60) == 1
    assert await remember(db, SCOPE) is not None
    assert await remember(db, old) is None
