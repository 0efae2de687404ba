"""One multiplexed Redis connection per process, for the click and award paths.

Commands of one event-loop turn leave in one write, replies come back in order. A caller that goes
away leaves its place in the queue, so a reply can never reach another caller. A command is sent at
most once: when the connection breaks or the deadline passes after it was sent, its outcome is
unknown and says so (`OutcomeUnknown`); `Unavailable` means that nothing happened.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
import hashlib
import logging
import ssl
import time
import urllib.parse
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, cast

import hiredis

from core import errors

log = logging.getLogger(__name__)

RECONNECT_S_MIN: Final = 0.05
RECONNECT_S_MAX: Final = 1.0
CONNECT_TIMEOUT_S: Final = 2.0
LUA: Final = Path(__file__).parent / "lua"
# Redis did not run the command and will some time later: nothing happened.
NOT_NOW: Final = ("LOADING", "BUSY", "OOM", "READONLY", "MISCONF", "MOVED", "ASK", "CLUSTERDOWN",
                  "TRYAGAIN", "MASTERDOWN", "NOREPLICAS")  # fmt: skip

Argument = str | bytes | int | float


def _pack(command: tuple[Argument, ...]) -> bytes:
    packed: bytes = hiredis.pack_command(command)  # type: ignore[arg-type]  # stub: one-tuples only
    return packed


class ReplyError(errors.StampgateError, code="redis_refused"):
    """Redis refused the command; nothing happened."""


class Script:
    """A Lua script, put together from the named files of `db/lua`, and its digest."""

    def __init__(self, *names: str) -> None:
        self.name = names[-1]
        self.source = "\n".join((LUA / f"{name}.lua").read_text() for name in names)
        self.sha = hashlib.sha1(self.source.encode(), usedforsecurity=False).hexdigest()


POINTS: Final = Script("points_state", "points_award", "points_spend", "points_commit")
POINTS_OPEN: Final = Script("points_open")
POINTS_HEAD: Final = Script("points_head")
POINTS_PEEK: Final = Script("points_peek")
CLICK_BATCH: Final = Script("click_batch")
CLICK_CAP: Final = Script("click_cap")
CLICK_VISIT: Final = Script("click_visit")
LINK_PUBLISH: Final = Script("link_publish")
RATE_LIMIT: Final = Script("rate_limit")
FAILURES: Final = Script("failures")
SCRIPTS: Final = (
    POINTS,
    POINTS_OPEN,
    POINTS_HEAD,
    POINTS_PEEK,
    CLICK_BATCH,
    CLICK_CAP,
    CLICK_VISIT,
    LINK_PUBLISH,
    RATE_LIMIT,
    FAILURES,
)


class Address(NamedTuple):
    """Where a Redis server listens, from its URL."""

    host: str
    port: int
    path: str
    username: str
    password: str
    database: int
    tls: bool


def parse_url(url: str) -> Address:
    """`redis://`, `rediss://` or `unix://` → Address; ValueError for anything else."""
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in {"redis", "rediss", "unix"}:
        raise ValueError(f"a Redis URL begins with redis://, rediss:// or unix://, not {url[:12]}")
    query = urllib.parse.parse_qs(parts.query)
    is_unix = parts.scheme == "unix"
    path = urllib.parse.unquote(parts.path)
    database = query["db"][0] if "db" in query else ("" if is_unix else path.strip("/"))
    return Address(
        host=parts.hostname or "127.0.0.1",
        port=parts.port or 6379,
        path=path if is_unix else "",
        username=urllib.parse.unquote(parts.username or ""),
        password=urllib.parse.unquote(parts.password or ""),
        database=int(database or 0),
        tls=parts.scheme == "rediss",
    )


class _Call(NamedTuple):
    future: asyncio.Future[Any]
    sent_at: float
    script: Script | None
    packed: bytes


class _Wire(asyncio.Protocol):
    """The socket's side of a `Connection`."""

    def __init__(self, owner: Connection) -> None:
        self._owner = owner
        self._reader = hiredis.Reader()
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # uvloop's transports have the interface without the base class.
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        self._reader.feed(data)
        next_reply, settle = self._reader.gets, self._owner._settle  # noqa: SLF001  # one unit in two classes
        while (reply := next_reply()) is not False:
            settle(reply)

    def connection_lost(self, _exc: Exception | None) -> None:
        self._owner._lost(self)  # noqa: SLF001


class Connection:
    """See the module. `deadline_s` bounds every command: past it the connection is given up."""

    def __init__(
        self, url: str, *, deadline_s: float, max_pending: int, max_pending_bytes: int
    ) -> None:
        self._address = parse_url(url)
        self._deadline_s = deadline_s
        self._max_pending = max_pending
        self._max_pending_bytes = max_pending_bytes
        self._loop = asyncio.get_running_loop()
        self._calls: collections.deque[_Call] = collections.deque()
        self._pending_bytes = 0
        self._out: list[bytes] = []
        self._wire: _Wire | None = None
        self._is_up = asyncio.Event()
        self._is_lost = asyncio.Event()
        self._keeper: asyncio.Task[None] | None = None
        self.reconnects = 0
        #: Changes when the server restarts or another one takes its place.
        self.run_id = ""

    @classmethod
    async def open(
        cls,
        url: str,
        *,
        deadline_s: float = 2.0,
        max_pending: int = 10_000,
        max_pending_bytes: int = 64 * 2**20,
        wait_s: float = CONNECT_TIMEOUT_S,
    ) -> Self:
        """A connection that keeps itself up; returns after `wait_s` even when Redis is away."""
        self = cls(
            url,
            deadline_s=deadline_s,
            max_pending=max_pending,
            max_pending_bytes=max_pending_bytes,
        )
        self._keeper = asyncio.create_task(self._keep_up(), name="redis connection")
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(wait_s):
                await self._is_up.wait()
        return self

    @property
    def is_up(self) -> bool:
        """Whether a command would be sent now."""
        return self._is_up.is_set()

    @property
    def pending(self) -> int:
        """Commands whose reply is still out."""
        return len(self._calls)

    async def close(self) -> None:
        """Wait for what is out, then hang up."""
        if self._keeper is None:
            return
        waiting = [call.future for call in self._calls if not call.future.done()]
        if waiting:
            await asyncio.wait(waiting, timeout=self._deadline_s)
        self._keeper.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._keeper
        self._drop()
        # The transport closes its socket on the loop's next turn.
        await asyncio.sleep(0)

    def call(self, *command: Argument) -> asyncio.Future[Any]:
        """Send a command. Raises Unavailable at once when it can't be sent; the future fails with
        Unavailable, ReplyError or OutcomeUnknown."""
        return self._send(_pack(command), None)

    def run(
        self, script: Script, keys: Sequence[str | bytes], arguments: Sequence[Argument]
    ) -> asyncio.Future[Any]:
        """Run a script; as `call`. A server that lost the script gets it again, once."""
        return self._send(_pack(("EVALSHA", script.sha, len(keys), *keys, *arguments)), script)

    def _send(self, packed: bytes, script: Script | None) -> asyncio.Future[Any]:
        if not self._is_up.is_set():
            raise errors.Unavailable("Redis is away")
        if (
            len(self._calls) >= self._max_pending
            or self._pending_bytes + len(packed) > self._max_pending_bytes
        ):
            raise errors.OverCapacity
        return self._enqueue(packed, script, self._loop.create_future())

    def _enqueue(
        self, packed: bytes, script: Script | None, future: asyncio.Future[Any]
    ) -> asyncio.Future[Any]:
        if not self._out:
            self._loop.call_soon(self._flush)
        self._out.append(packed)
        self._pending_bytes += len(packed)
        self._calls.append(_Call(future, self._loop.time(), script, packed))
        return future

    def _flush(self) -> None:
        out, self._out = self._out, []
        if self._wire is not None and out:
            self._wire.transport.write(b"".join(out))

    def _settle(self, reply: Any) -> None:
        call = self._calls.popleft()
        self._pending_bytes -= len(call.packed)
        if isinstance(reply, hiredis.ReplyError):
            self._settle_error(call, str(reply))
        elif not call.future.done():
            call.future.set_result(reply)

    def _settle_error(self, call: _Call, message: str) -> None:
        if call.script is not None and message.startswith("NOSCRIPT"):
            load = _pack(("SCRIPT", "LOAD", call.script.source))
            _ = self._enqueue(load, None, self._loop.create_future())
            _ = self._enqueue(call.packed, None, call.future)
        elif not call.future.done():
            is_passing = _is_passing(message)
            error = errors.Unavailable("Redis is not ready") if is_passing else ReplyError(message)
            call.future.set_exception(error)

    def _lost(self, wire: _Wire) -> None:
        if wire is self._wire:
            self._drop()

    def _drop(self) -> None:
        """Give the connection up: what was sent is unknown, what was not is definite."""
        wire, self._wire = self._wire, None
        self._is_up.clear()
        calls, self._calls = self._calls, collections.deque()
        unsent = len(self._out)
        self._out, self._pending_bytes = [], 0
        for position, call in enumerate(calls):
            if not call.future.done():
                is_definite = position >= len(calls) - unsent
                call.future.set_exception(
                    errors.Unavailable("Redis is away") if is_definite else errors.OutcomeUnknown()
                )
                # The caller may be gone; its answer is not an unhandled error.
                call.future.exception()
        if wire is not None:
            wire.transport.abort()
        self._is_lost.set()

    async def _keep_up(self) -> None:
        delay_s = RECONNECT_S_MIN
        while True:
            self._is_lost.clear()
            try:
                async with asyncio.timeout(CONNECT_TIMEOUT_S):
                    await self._connect()
                delay_s = RECONNECT_S_MIN
                await self._watch()
            except (OSError, TimeoutError, errors.StampgateError) as error:
                log.warning("redis connection: %s", str(error) or type(error).__name__)
            self._drop()
            self.reconnects += 1
            await asyncio.sleep(delay_s)
            delay_s = min(delay_s * 2, RECONNECT_S_MAX)

    async def _connect(self) -> None:
        address = self._address
        if address.path:
            _, wire = await self._loop.create_unix_connection(lambda: _Wire(self), address.path)
        else:
            _, wire = await self._loop.create_connection(
                lambda: _Wire(self),
                address.host,
                address.port,
                ssl=ssl.create_default_context() if address.tls else None,
            )
        self._wire = wire
        greetings = [
            self._enqueue(_pack(command), None, self._loop.create_future())
            for command in self._greeting()
        ]
        replies = await asyncio.gather(*greetings)
        self.run_id = _run_id(replies[-1])
        self._is_up.set()

    def _greeting(self) -> list[tuple[Argument, ...]]:
        address = self._address
        commands: list[tuple[Argument, ...]] = []
        if address.password:
            user = (address.username,) if address.username else ()
            commands.append(("AUTH", *user, address.password))
        if address.database:
            commands.append(("SELECT", address.database))
        return [
            *commands,
            *(("SCRIPT", "LOAD", script.source) for script in SCRIPTS),
            ("INFO", "server"),
        ]

    async def _watch(self) -> None:
        """Return when the connection is lost, or when its oldest command is past the deadline."""
        while not self._is_lost.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(self._deadline_s / 4):
                    await self._is_lost.wait()
            if self._calls and self._loop.time() - self._calls[0].sent_at > self._deadline_s:
                log.warning("redis connection: no reply within %.1f s", self._deadline_s)
                return


def _is_passing(message: str) -> bool:
    # Before 7.0 a script's own refusals are quoted: "ERR Error running script …: -OOM command …".
    word = message.split(" ", 1)[0]
    return word in NOT_NOW or (word == "ERR" and any(f" -{name} " in message for name in NOT_NOW))


def _run_id(info: bytes) -> str:
    for line in info.decode().splitlines():
        if line.startswith("run_id:"):
            return line.removeprefix("run_id:")
    raise ReplyError("INFO server names no run_id")


async def ping(connection: Connection) -> float:
    """Seconds that one PING takes; raises as `call`."""
    started = time.perf_counter()
    await connection.call("PING")
    return time.perf_counter() - started
