"""Answers that are given once: the optional Idempotency-Key of routes decided in PostgreSQL."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec
from aiohttp import web

from core import errors, ids
from db import decisions, idempotency
from db.pg import Db
from gateway.app import Call
from web import problem

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = {"Idempotent-Replayed": "true"}

_BARE: Final = re.compile(r"[!#-~][ -~]{0,254}")
_QUOTED: Final = re.compile(r'"([ !#-~]{1,255})"')


def key_of(call: Call) -> str | None:
    """The Idempotency-Key, quoted or bare, None without one; IdempotencyKeyInvalid."""
    values = call.request.headers.getall(HEADER, [])
    if len(values) > 1:
        raise errors.IdempotencyKeyInvalid
    return checked_key(values[0]) if values else None


def checked_key(value: str) -> str:
    """The Idempotency-Key of a header's value; IdempotencyKeyInvalid."""
    if _BARE.fullmatch(value):
        return value
    quoted = _QUOTED.fullmatch(value)
    if quoted is None:
        raise errors.IdempotencyKeyInvalid
    return quoted[1]


async def once(call: Call, body: bytes, work: Callable[[Db], Awaitable[object]]) -> web.Response:
    """Do `work` in one transaction and answer what it returns; with a key, once for all repeats."""
    key = key_of(call)
    if key is None:
        async with call.app.transaction() as db:
            value = await work(db)
        return problem.reply(value, call.route.status)
    caller = call.principal
    scope = idempotency.Scope(
        caller.named_program or "", caller.subject, key, call.route.name, _fingerprint(call, body)
    )
    async with call.app.transaction() as db:
        first = await idempotency.begin(db, call.app.ring, scope)
        if first is not None:
            return problem.reply(msgspec.Raw(first.body), first.status, REPLAYED)
        answer = idempotency.Answer(call.route.status, msgspec.json.encode(await work(db)))
        await idempotency.finish(db, call.app.ring, scope, answer)
    return problem.reply(msgspec.Raw(answer.body), answer.status)


def _fingerprint(call: Call, body: bytes) -> bytes:
    """What makes it the same request: the body, and what the path names, which no body repeats."""
    digest = hashlib.sha256(body)
    if call.params or call.query:
        named = sorted(call.params.items()), sorted(call.query.items())
        digest = hashlib.sha256(digest.digest() + msgspec.json.encode(named))
    return digest.digest()


def required_key(call: Call) -> str:
    """The Idempotency-Key; IdempotencyKeyMissing, IdempotencyKeyInvalid."""
    key = key_of(call)
    if key is None:
        raise errors.IdempotencyKeyMissing
    return key


def decided(value: object, decision: decisions.Decision, status: int = 201) -> web.Response:
    """The answer to a decision; one that was given before says so."""
    return problem.reply(value, status, REPLAYED if decision.is_replay else None)


def event_id(kind: ids.Kind, partition: int, decision: decisions.Decision) -> str:
    """The id that names where and when it was decided."""
    return ids.event_id(
        kind, ids.EventRef(partition, decision.generation, decision.sequence, decision.at_ms)
    )
