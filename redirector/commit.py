"""Group commit: a click is recorded before its answer leaves.

The clicks of one turn of the event loop join a batch; up to three batches are on their way to
Redis while the next one fills. The answers leave when Redis has acknowledged their batch. When it
has not by the deadline, or Redis is away, the batch is written to the spool first and the answers
leave then; an acknowledgement that comes later takes the record back. After three misses in a row
Redis gets a rest: batches go to the spool at once, and now and then one is sent as well, to see.

Nothing here can lose a click that was answered or count one twice: a batch that reaches Redis both
ways is applied once, by its mark.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from core.errors import OverCapacity, StampgateError, Unavailable
from core.events import Click
from db.redis import Connection
from redirector import batches
from redirector.batches import Batch
from redirector.spool import Segment, Spool, SpoolFull
from web import metrics

IN_FLIGHT_MAX: Final = 3
MISSES_MAX: Final = 3
REST_S_MIN: Final = 0.25
REST_S_MAX: Final = 5.0
# Clicks that may wait to join a batch; more are refused.
WAITING_MAX: Final = 65_536

# Gets None when the click is recorded, else why it is not.
Done = Callable[[StampgateError | None], None]

_REDIS, _SPOOL, _REFUSED = range(3)
_WRITTEN, _CANCELLED, _SPOOL_REFUSED = range(3)
_LATE, _FAILED = range(2)
_RUN_BITS: Final = 46


class _Flight:
    """A batch on its way, and who waits for it. `segment` is where it is spooled."""

    __slots__ = ("batch", "deadline", "dones", "segment", "sent_at", "waits")

    def __init__(self, batch: Batch, dones: list[Done], sent_at: float) -> None:
        self.batch = batch
        self.dones = dones
        self.sent_at = sent_at
        self.deadline: asyncio.TimerHandle | None = None
        self.segment: Segment | None = None
        self.waits = True


class Breaker:
    """Whether Redis gets a rest, and for how long."""

    def __init__(self) -> None:
        self._misses = 0
        self._rest_s = REST_S_MIN
        self._until: float | None = None

    @property
    def is_open(self) -> bool:
        """Whether batches go straight to the spool."""
        return self._until is not None

    def publish(self) -> None:
        """Show in the metrics whether it is open."""
        metrics.click_breakers_open.set(self.is_open)

    def missed(self, now: float) -> None:
        """A batch was not acknowledged in time."""
        self._misses += 1
        if self._misses >= MISSES_MAX:
            self._until = now + self._rest_s
            self._rest_s = min(2 * self._rest_s, REST_S_MAX)

    def acknowledged(self) -> None:
        """A batch was acknowledged in time: Redis is well."""
        self._misses, self._rest_s, self._until = 0, REST_S_MIN, None

    def may_probe(self, now: float) -> bool:
        """Whether the rest is over and a batch shall be sent to see; true once for each rest."""
        if self._until is None or now < self._until:
            return False
        self._until = now + self._rest_s
        return True


class Commit:
    """The group commit of one process. `add` is for callbacks, `record` for coroutines."""

    def __init__(
        self,
        redis: Connection,
        spool: Spool,
        boot: int,
        *,
        deadline_s: float,
        batch_max: int,
        replicas: int = 0,
    ) -> None:
        self._redis = redis
        self._spool = spool
        self._boot = boot
        self._run = secrets.randbits(_RUN_BITS) << 16 | boot
        self._deadline_s = deadline_s
        self._batch_max = batch_max
        self._replicas = replicas
        self._loop = asyncio.get_running_loop()
        self._number = 0
        self._clicks: list[Click] = []
        self._counters: list[str] = []
        self._dones: list[Done] = []
        self._is_armed = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._syncs: set[asyncio.Task[None]] = set()
        self.breaker = Breaker()
        self._recorded = metrics.Counts(
            metrics.clicks_recorded, [("redis",), ("spool",), ("refused",)]
        )
        self._spooled = metrics.Counts(
            metrics.spool_events, [("written",), ("cancelled",), ("refused",)]
        )
        self._failures = metrics.Counts(
            metrics.redis_failures, [("click_batch", "late"), ("click_batch", "failed")]
        )
        self._sizes = metrics.Timings(metrics.click_batch_size)
        self._seconds = metrics.Timings(metrics.redis_seconds.labels("click_batch"))
        self.tallies: tuple[metrics.Tally, ...] = (
            *(self._recorded, self._spooled, self._failures),
            *(self._sizes, self._seconds, self.breaker),
        )

    def add(self, click: Click, counter: str, done: Done) -> None:
        """Record a click and count it on the live `counter`; `done` is called later, once."""
        if len(self._clicks) >= WAITING_MAX:
            self._loop.call_soon(done, OverCapacity())
            return
        self._clicks.append(click)
        self._counters.append(counter)
        self._dones.append(done)
        self._arm()

    async def record(self, click: Click, counter: str) -> None:
        """Record a click; raises Unavailable when that cannot be done now."""
        future: asyncio.Future[None] = self._loop.create_future()
        self.add(click, counter, partial(_settle, future))
        await future

    async def drain(self) -> None:
        """Wait until everything added so far has been answered."""
        while self._clicks or self._in_flight:
            self._idle.clear()
            await self._idle.wait()

    def _arm(self) -> None:
        if self._clicks and not self._is_armed and self._in_flight < IN_FLIGHT_MAX:
            self._is_armed = True
            self._loop.call_soon(self._start)

    def _start(self) -> None:
        """Send what has gathered, as one batch; what is left over waits for the next turn."""
        self._is_armed = False
        size = self._batch_max
        clicks, self._clicks = self._clicks[:size], self._clicks[size:]
        counters, self._counters = self._counters[:size], self._counters[size:]
        dones, self._dones = self._dones[:size], self._dones[size:]
        self._number += 1
        self._in_flight += 1
        batch = batches.pack(self._boot, self._run, self._number, clicks, counters)
        self._sizes.observe(len(clicks))
        flight = _Flight(batch, dones, self._loop.time())
        if not self.breaker.is_open:
            self._send(flight)
        else:
            self._to_spool(flight)
            if self.breaker.may_probe(flight.sent_at):
                self._send_probe(flight)
        self._arm()

    def _send(self, flight: _Flight) -> None:
        try:
            reply = batches.send(self._redis, flight.batch, self._replicas)
        except Unavailable:
            self._to_spool(flight)
            return
        flight.deadline = self._loop.call_later(self._deadline_s, self._late, flight)
        reply.add_done_callback(partial(self._settled, flight))

    def _send_probe(self, flight: _Flight) -> None:
        """Send a batch that is in the spool already: nobody waits for Redis meanwhile."""
        try:
            reply = batches.send(self._redis, flight.batch, self._replicas)
        except Unavailable:
            return
        reply.add_done_callback(partial(self._settled, flight))

    def _late(self, flight: _Flight) -> None:
        flight.deadline = None
        self._failures.pending[_LATE] += 1
        self.breaker.missed(self._loop.time())
        self._to_spool(flight)

    def _settled(self, flight: _Flight, reply: asyncio.Future[Any]) -> None:
        """Redis has answered, in time or late, or the connection broke."""
        if flight.deadline is not None:
            flight.deadline.cancel()
        seconds = self._loop.time() - flight.sent_at
        if reply.exception() is not None:
            self._failures.pending[_FAILED] += 1
            if flight.deadline is not None:
                self._to_spool(flight)
            return
        self._seconds.observe(seconds)
        if seconds <= self._deadline_s:
            self.breaker.acknowledged()
        if flight.segment is not None and self._spool.cancel(flight.segment, flight.batch):
            self._spooled.pending[_CANCELLED] += flight.batch.size
        self._finish(flight, None, _REDIS)

    def _to_spool(self, flight: _Flight) -> None:
        try:
            flight.segment = self._spool.append(flight.batch)
        except SpoolFull as error:
            self._spooled.pending[_SPOOL_REFUSED] += flight.batch.size
            self._finish(flight, error, _REFUSED)
            return
        self._spooled.pending[_WRITTEN] += flight.batch.size
        sync = self._loop.create_task(self._sync(flight, flight.segment))
        self._syncs.add(sync)
        sync.add_done_callback(self._syncs.discard)

    async def _sync(self, flight: _Flight, segment: Segment) -> None:
        try:
            await self._spool.synced(segment)
        except OSError as error:
            self._finish(flight, SpoolFull(str(error)), _REFUSED)
        else:
            self._finish(flight, None, _SPOOL)

    def _finish(self, flight: _Flight, error: StampgateError | None, outcome: int) -> None:
        """Let the answers of a batch leave; the first outcome is the one that counts."""
        if not flight.waits:
            return
        flight.waits = False
        self._recorded.pending[outcome] += len(flight.dones)
        for done in flight.dones:
            done(error)
        flight.dones = []
        self._in_flight -= 1
        self._arm()
        if not self._in_flight:
            self._idle.set()


def _settle(future: asyncio.Future[None], error: StampgateError | None) -> None:
    if future.done():
        return
    if error is None:
        future.set_result(None)
    else:
        future.set_exception(error)
