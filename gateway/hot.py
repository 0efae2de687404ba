"""The fast lane's share of `POST /v1/awards`: small bodies, one key, a program in memory.

It does what `awards.create` does, with the same functions; a differential test holds both to the
same answer. A request that is not plain, has no key, or is about a program that is not in memory
is left to the ordinary handler, before anything was asked of Redis.
"""

from __future__ import annotations

import asyncio
import re
import time
from functools import partial
from typing import Final, NamedTuple

import msgspec
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict

from db import awards as decided
from db.decisions import BUDGET, UNKNOWN_MEMBER, Decision, Outcome
from gateway import answers, auth, awards, dispatch
from gateway.app import App
from web import fastlane, metrics, problem, request_id, server
from web.fastlane import FastLane

START: Final = b"POST /v1/awards HTTP/1.1"
BODY_MAX: Final = 8_192
# Callers repeat their heads but for two lines. Past this many, memory starts afresh.
HEADS_MAX: Final = 1_024
HEAD_REMEMBERED_MAX: Final = 4_096

# Possessive, as in `fastlane`: no second way to read a padded value.
_VARYING: Final = re.compile(
    rb"\r\n(idempotency-key|content-length):[ \t]*+([\t\x20-\x7e]*+)(?=\r\n)", re.IGNORECASE
)
_CREATED: Final = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nServer: "
    + SERVER_SOFTWARE.encode("ascii")
    + b"\r\n%bRequest-Id: %b\r\nContent-Length: %d\r\n"
)
_REPLAYED: Final = b"".join(
    b"%b: %b\r\n" % (name.encode(), value.encode()) for name, value in answers.REPLAYED.items()
)

_encode: Final = msgspec.json.Encoder().encode


class _Parts(NamedTuple):
    """A chunk taken apart: the head without the two lines that vary, the key, and the body."""

    head: bytes
    key: str
    body: bytes


class _Order(NamedTuple):
    """A request that is being answered."""

    connection: FastLane
    name: str
    started: float


class Hot:
    """Takes the plain awards of one process."""

    def __init__(self, app: App, requests: metrics.Requests) -> None:
        self._app = app
        self._requests = requests
        self._heads: dict[bytes, CIMultiDict[str]] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, connection: FastLane, chunk: bytes) -> bool:
        """Take a chunk that is one plain request for an award."""
        started = time.perf_counter()
        parts = _parts(chunk)
        headers = None if parts is None else self._headers(parts.head)
        if parts is None or headers is None:
            return False
        order = _Order(connection, request_id.assign(headers), started)
        now_ms = self._app.now_ms()
        try:
            ask = self._ask(headers, parts, now_ms)
            if ask is None:
                return False
            placed = decided.place(self._app.points, ask, now_ms)
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            self._refuse(order, error)
            return True
        connection.begin()
        placed.add_done_callback(partial(self._answered, order, ask, now_ms))
        return True

    def _ask(self, headers: CIMultiDict[str], parts: _Parts, now_ms: int) -> decided.Ask | None:
        """What is asked, or None when the program must be read first; raises the refusals."""
        app = self._app
        caller = auth.authenticate(app.verifier, headers, awards.CREATE.scope, now_ms // 1000)
        key = answers.checked_key(parts.key)
        new = problem.decode(awards.decoder, parts.body)
        program = app.rules.known(caller.program_id)
        if program is None:
            return None
        return awards.draft(program, caller.subject, key, new, now_ms)

    def _answered(
        self, order: _Order, ask: decided.Ask, now_ms: int, placed: asyncio.Future[Outcome]
    ) -> None:
        """Redis has decided; only what it does not know needs a task, and PostgreSQL."""
        try:
            outcome = placed.result()
            if outcome.status in {UNKNOWN_MEMBER, BUDGET}:
                task = asyncio.create_task(self._settle(order, ask, now_ms, placed))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
            self._accept(order, ask, outcome.decision())
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            self._refuse(order, error)

    async def _settle(
        self, order: _Order, ask: decided.Ask, now_ms: int, placed: asyncio.Future[Outcome]
    ) -> None:
        try:
            decision = await awards.settled(self._app, ask, now_ms, placed)
            self._accept(order, ask, decision)
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            self._refuse(order, error)

    def _accept(self, order: _Order, ask: decided.Ask, decision: Decision) -> None:
        body = _encode(awards.award(ask, decision))
        replayed = _REPLAYED if decision.is_replay else b""
        order.connection.answer(_CREATED % (replayed, order.name.encode("ascii"), len(body)), body)
        self._count(order, awards.CREATE.status)

    def _refuse(self, order: _Order, error: Exception) -> None:
        """Answer the refusal, or the fault of ours, which the logs shall find by the request."""
        token = request_id.current.set(order.name)
        response = dispatch.refusal(error, order.name)
        request_id.current.reset(token)
        order.connection.answer(*fastlane.serialize(response))
        self._count(order, response.status)

    def _count(self, order: _Order, status: int) -> None:
        self._requests.add(awards.CREATE.name, status, time.perf_counter() - order.started)

    def _headers(self, head: bytes) -> CIMultiDict[str] | None:
        """The headers of a head without the lines that vary; None when it is not plain."""
        known = self._heads.get(head)
        if known is not None:
            return known
        headers = fastlane.plain_headers(head)
        if headers is None:
            return None
        named = CIMultiDict(
            (name.decode("ascii"), value.decode("ascii")) for name, value in headers.items()
        )
        if len(head) <= HEAD_REMEMBERED_MAX:
            if len(self._heads) >= HEADS_MAX:
                self._heads.clear()
            self._heads[head] = named
        return named


def protocol(app: App, requests: metrics.Requests) -> type[server.Protocol]:
    """The protocol class of a process: with the fast lane, unless a setting switches it off."""
    return fastlane.protocol(Hot(app, requests).take) if app.settings.fast_lane else server.Protocol


def _parts(chunk: bytes) -> _Parts | None:
    """The parts of a chunk that is as long as it says and has one key; else None.

    The lines that vary are cut out whole, and what is left is looked at by `plain_headers`.
    """
    if not chunk.startswith(START) or len(chunk) > fastlane.HEAD_MAX + BODY_MAX:
        return None
    end = chunk.find(b"\r\n\r\n") + 2
    pieces = _VARYING.split(chunk[len(START) : end])
    if len(pieces) != 7:
        return None
    before, name, value, between, other, other_value, after = pieces
    if name.lower() == b"content-length":
        name, value, other, other_value = other, other_value, name, value
    body = chunk[end + 2 :]
    is_whole = other_value.isdigit() and len(other_value) < 5 and int(other_value) == len(body)
    if not is_whole or name.lower() == other.lower() or len(body) > BODY_MAX:
        return None
    head = b"".join((before, between, after, b"\r\n"))
    return _Parts(head.removeprefix(b"\r\n"), str(value.rstrip(b" \t"), "ascii"), body)
