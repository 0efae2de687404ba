"""Answers of routes that are decided in PostgreSQL, kept for requests that come again.

The answer is stored in the transaction that did the work, so either both are there or neither is.
It is sealed, because answers name persons and show secrets.
Refusals are not stored: they changed nothing, and a repeated request is decided afresh.
"""

from __future__ import annotations

import hmac
from typing import Final, NamedTuple

from core import errors, fields
from core.keyring import KeyRing
from db import sealing
from db.pg import Db

ANSWER: Final = "idempotency.answer"

# Held until the transaction ends, so that a second request is told instead of kept waiting.
LOCK = "SELECT pg_try_advisory_xact_lock(hashtextextended($1, 0))"
SELECT = """
SELECT route, body_hash, status, answer FROM idempotency
 WHERE program_id = $1 AND caller = $2 AND key = $3
"""
INSERT = """
INSERT INTO idempotency (program_id, caller, key, route, body_hash, status, answer)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
DELETE_OLD = """
DELETE FROM idempotency WHERE created_at < now() - make_interval(secs => $1)
"""


class Scope(NamedTuple):
    """Which request it is: who asks, under which key, for what. `program_id` may be empty."""

    program_id: str
    caller: str
    key: str
    route: str
    body_hash: bytes


class Answer(NamedTuple):
    """What was answered the first time."""

    status: int
    body: bytes


async def begin(db: Db, ring: KeyRing, scope: Scope) -> Answer | None:
    """The answer that was given before, or None: then do the work and `finish` in this transaction.

    Raises RequestInFlight while another transaction works on it, IdempotencyKeyReused when the key
    came with another body or on another route.
    """
    if not await db.fetchval(LOCK, "\n".join(scope[:3])):
        raise errors.RequestInFlight
    row = await db.fetchrow(SELECT, *scope[:3])
    if row is None:
        return None
    is_same = hmac.compare_digest(row["body_hash"], scope.body_hash)
    if not is_same or row["route"] != scope.route:
        raise errors.IdempotencyKeyReused
    body: bytes = row["answer"]
    if fields.is_sealed(body):
        body = sealing.unseal(ring, body, ANSWER, _row(scope)).encode()
    return Answer(row["status"], body)


async def finish(db: Db, ring: KeyRing, scope: Scope, answer: Answer) -> None:
    """Keep the answer, in the transaction that did the work."""
    body = answer.body
    if await sealing.is_sealing(db):
        body = sealing.seal(ring, body.decode(), ANSWER, _row(scope))
    await db.execute(INSERT, *scope, answer.status, body)


async def delete_old(db: Db, ttl_s: int) -> int:
    """Forget answers older than `ttl_s`; returns how many."""
    tag = await db.execute(DELETE_OLD, ttl_s)
    return int(tag.rpartition(" ")[2])


def _row(scope: Scope) -> str:
    """What an answer is sealed for, beside the column."""
    return f"{scope.program_id}:{scope.caller}:{scope.key}"
