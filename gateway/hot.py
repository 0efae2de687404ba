"""The fast lane's share of `POST /v1/awards`: small bodies, one key, a program in memory.

It does what `awards.create` does, with the same functions; a differential test holds both to the
same answer. A request that is not plain, has no key or no good credential, comes from a page, whose
API key or program is not in memory, or whose caller has used up what it leased, is left to the
ordinary handler, before anything was asked of Redis.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Mapping
from typing import Final, NamedTuple

import msgspec
from aiohttp.http import SERVER_SOFTWARE
from multidict import CIMultiDict

from core.errors import Forbidden, RateLimited, Unauthorized
from core.limits import Standing
from core.tokens import Principal
from db import awards as decided
from db.decisions import BUDGET, UNKNOWN_MEMBER, Decision, Outcome
from gateway import answers, auth, awards, credentials, dispatch
from gateway.app import App
from web import fastlane, metrics, problem, request_id, server
from web import headers as every
from web.fastlane import FastLane

START: Final = b"POST /v1/awards HTTP/1.1"
SCOPE: Final = awards.CREATE.scope or ""
BODY_MAX: Final = 8_192
# Callers repeat their heads but for two lines. Past this many, memory starts afresh.
HEADS_MAX: Final = 1_024
HEAD_REMEMBERED_MAX: Final = 4_096

# Possessive, as in `fastlane`: no second way to read a padded value.
_VARYING: Final = re.compile(
    rb"\r\n((?i:idempotency-key|content-length)):[ \t]*+([\t\x20-\x7e]*+)(?=\r\n)"
)
# The same two lines as nearly all callers write them, and a key that is good as it stands.
_USUAL: Final = ((b"\r\nIdempotency-Key: ", b"\r\nContent-Length: "),
                 (b"\r\nidempotency-key: ", b"\r\ncontent-length: "))  # fmt: skip
_ELSEWHERE: Final = frozenset({b"origin", b"idempotency-key", b"content-length"})
_is_usual_key: Final = re.compile(rb"[!#-~](?:[ -~]{0,253}[!-~])?").fullmatch
_CREATED: Final = (
    b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nServer: "
    + SERVER_SOFTWARE.encode("ascii")
    + b"\r\n"
    + every.LINES
    + b"%bRequest-Id: %b\r\nContent-Length: %d\r\n"
)


def _lines(named: Mapping[str, str]) -> bytes:
    return b"".join(b"%b: %b\r\n" % (name.encode(), text.encode()) for name, text in named.items())


_REPLAYED: Final = _lines(answers.REPLAYED)

_encode: Final = msgspec.json.Encoder().encode


class _Parts(NamedTuple):
    """A chunk taken apart: the head without the two lines that vary, the key, and the body."""

    head: bytes
    key: str
    body: bytes


class _Known:
    """A head that was seen before: what it says, and what its caller may do.

    The credential is checked each time; what follows from it is only worked out anew when it has
    become another principal's.
    """

    __slots__ = ("_caller", "_headers", "_principal", "credential", "language", "name")

    _caller: auth.Caller

    def __init__(self, headers: CIMultiDict[str]) -> None:
        """Raises Unauthorized."""
        self.credential = credentials.credential(headers)
        self.name = request_id.given(headers)
        self.language = dispatch.language_of(headers)
        self._headers = headers
        self._principal: Principal | None = None

    def caller(self, principal: Principal) -> auth.Caller:
        """The caller; raises as `auth.allow`."""
        if principal is not self._principal:
            self._caller = auth.allow(principal, self._headers, SCOPE)
            self._principal = principal
        return self._caller


class _Order:
    """A request that is being answered: the waiter of its award (`points.Waiter`)."""

    __slots__ = ("ask", "connection", "hot", "language", "name", "now_ms", "standing", "started")

    ask: decided.Ask

    def __init__(self, hot: Hot, connection: FastLane, known: _Known, started: float) -> None:
        self.hot = hot
        self.connection = connection
        self.name = known.name or request_id.fresh()
        self.language = known.language
        self.standing: Standing | None = None
        self.started = started
        self.now_ms = hot.app.now_ms()

    def done(self) -> bool:
        """Whether it was answered: nobody else answers it."""
        return False

    def set_result(self, outcome: Outcome, /) -> None:
        """Redis has decided."""
        self.hot.settle(self, outcome)

    def set_exception(self, error: BaseException, /) -> None:
        """Redis has not, or nobody knows."""
        self.hot.refuse(self, error)


class Hot:
    """Takes the plain awards of one process."""

    def __init__(self, app: App, requests: metrics.Requests) -> None:
        self.app: Final = app
        self._requests = requests
        self._heads: dict[bytes, _Known] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def take(self, connection: FastLane, chunk: bytes) -> bool:
        """Take a chunk that is one plain request for an award."""
        started = time.perf_counter()
        parts = _parts(chunk)
        known = None if parts is None else self._known(parts.head)
        if parts is None or known is None:
            return False
        order = _Order(self, connection, known, started)
        try:
            ask = self._ask(order, known, parts)
            if ask is None:
                return False
            order.ask = ask
            decided.place_for(self.app.points, ask, order.now_ms, order)
        except (Unauthorized, Forbidden):
            # Who tries doors is counted, which takes a question.
            return False
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            self.refuse(order, error)
            return True
        connection.begin()
        return True

    def _ask(self, order: _Order, known: _Known, parts: _Parts) -> decided.Ask | None:
        """What is asked, or None when something must be asked first; raises the refusals."""
        app, now_ms = self.app, order.now_ms
        principal = app.credentials.whose(known.credential, now_ms // 1000)
        if principal is None:
            return None
        caller = known.caller(principal)
        # The platform's staff have rules of their own, and no need for haste.
        if caller.role == "admin" or (caller.is_platform and app.networks_of_admins):
            return None
        program = None if caller.named_program is None else app.rules.known(caller.named_program)
        if program is None:
            return None
        policy = app.rates.policy(caller)
        if policy is not None:
            order.standing = app.rates.admit_now(caller, policy)
            if order.standing is None:
                return None
        app.credentials.note(principal, now_ms)
        key = answers.checked_key(parts.key)
        new = problem.decode(awards.decoder, parts.body, quotes=awards.quotes)
        return awards.draft(program, caller.subject, key, new, now_ms)

    def settle(self, order: _Order, outcome: Outcome) -> None:
        """Answer what was decided; only what Redis does not know needs a task, and PostgreSQL."""
        try:
            if outcome.status in {UNKNOWN_MEMBER, BUDGET}:
                task = asyncio.create_task(self._ask_postgres(order, outcome))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
                return
            self._accept(order, outcome.decision())
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            self.refuse(order, error)

    async def _ask_postgres(self, order: _Order, outcome: Outcome) -> None:
        placed: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        placed.set_result(outcome)
        try:
            decision = await awards.settled(self.app, order.ask, order.now_ms, placed)
            self._accept(order, decision)
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            self.refuse(order, error)

    def _accept(self, order: _Order, decision: Decision) -> None:
        body = _encode(awards.award(order.ask, decision))
        more = _REPLAYED if decision.is_replay else b""
        if order.standing is not None:
            more += _lines(dispatch.standing_headers(order.standing))
        order.connection.answer(_CREATED % (more, order.name.encode("ascii"), len(body)), body)
        self._count(order, awards.CREATE.status)

    def refuse(self, order: _Order, error: BaseException) -> None:
        """Answer the refusal, or the fault of ours, which the logs shall find by the request."""
        token = request_id.current.set(order.name)
        response = dispatch.refusal(error, order.name, order.language)
        request_id.current.reset(token)
        if isinstance(error, RateLimited):
            order.standing = error.standing
        if order.standing is not None:
            response.headers.update(dispatch.standing_headers(order.standing))
        order.connection.answer(*fastlane.serialize(response))
        self._count(order, response.status)

    def _count(self, order: _Order, status: int) -> None:
        self._requests.add(awards.CREATE.name, status, time.perf_counter() - order.started)

    def _known(self, head: bytes) -> _Known | None:
        """What a head without the lines that vary says; None when it is not plain."""
        known = self._heads.get(head)
        if known is not None:
            return known
        headers = fastlane.plain_headers(head)
        # What a page of another origin may read is the ordinary lane's business, and so is a
        # second one of the lines that were cut out.
        if headers is None or not _ELSEWHERE.isdisjoint(headers):
            return None
        texts = CIMultiDict(
            (name.decode("ascii"), value.decode("ascii")) for name, value in headers.items()
        )
        try:
            named = _Known(texts)
        except Unauthorized:
            return None
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
    body = chunk[end + 2 :]
    if len(body) > BODY_MAX:
        return None
    cut = _cut(chunk[len(START) : end])
    if cut is None:
        return None
    head, key, length = cut
    if not length.isdigit() or len(length) > 4 or int(length) != len(body):
        return None
    return _Parts(head[2:] + b"\r\n", str(key, "ascii"), body)


def _cut(head: bytes) -> tuple[bytes, bytes, bytes] | None:
    """A head without its two lines that vary, the key, and the length; None unless each is there
    once. Another one of the same name in what is left is found by `Hot._known`.
    """
    for key_line, length_line in _USUAL:
        before, _, rest = head.partition(key_line)
        key, _, after = rest.partition(b"\r\n")
        if _is_usual_key(key):
            before, _, rest = (before + b"\r\n" + after).partition(length_line)
            length, _, after = rest.partition(b"\r\n")
            return before + b"\r\n" + after, key, length
    pieces = _VARYING.split(head)
    if len(pieces) != 7:
        return None
    before, name, key, between, other, length, after = pieces
    if name.lower() == b"content-length":
        name, key, other, length = other, length, name, key
    if name.lower() == other.lower():
        return None
    return before + between + after, key.rstrip(b" \t"), length
