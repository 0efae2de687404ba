"""Points and stamps: decided in Redis, one Lua call per partition and turn.

`Points` gathers what the requests of one event-loop turn ask of a partition and sends it as one
call of at most 64 items; while a call is out, the next one fills. What the script said of an item
is its `Outcome`; errors of the whole call reach each of its items.
"""

from __future__ import annotations

import asyncio
import collections
import contextlib
from collections.abc import Iterable
from typing import Any, Final, NamedTuple, Protocol

import msgspec

from core import errors, events, ids
from core.settings import Settings
from db import keys, redis
from db.decisions import DONE, Item, Outcome

ITEMS_MAX: Final = 64
STALE_TRIES: Final = 3
CALLS_OUT_MAX: Final = 2


class Waiter(Protocol):
    """Who is told what was decided: a future, or what behaves like one and raises nothing."""

    def done(self) -> bool:
        """Whether nobody waits any more."""
        ...

    def set_result(self, result: Outcome, /) -> None:
        """The script's answer."""
        ...

    def set_exception(self, exception: BaseException, /) -> None:
        """Why there is none."""
        ...


class _Waiting(NamedTuple):
    item: Item
    waiter: Waiter


class _Partition:
    """What this process knows of a partition, and what waits for it."""

    __slots__ = (
        *("calls_out", "generation", "is_dirty", "is_known", "keys", "markers", "number", "queue"),
        *("seen", "sent_at", "stale_tries"),
    )

    def __init__(self, number: int) -> None:
        self.number = number
        self.generation = -1
        self.is_known = False
        self.is_dirty = False
        # The keys of a call at this generation, and what its markers begin with.
        self.keys: list[str | bytes] = []
        self.markers = b""
        self.seen = 0
        self.queue: collections.deque[_Waiting] = collections.deque()
        self.calls_out = 0
        self.stale_tries = 0
        self.sent_at = 0.0


def _take(state: _Partition, count: int) -> list[_Waiting]:
    return [state.queue.popleft() for _ in range(min(count, len(state.queue)))]


class Points:
    """The process's way to the award partitions, over one multiplexed connection."""

    def __init__(self, connection: redis.Connection, settings: Settings) -> None:
        self._redis = connection
        self._settings = settings
        self._loop = asyncio.get_running_loop()
        self._partitions = [_Partition(number) for number in range(keys.AWARD_PARTITIONS)]
        self._dirty: list[_Partition] = []
        self._is_armed = False
        self._waiting = 0
        self._tasks: set[asyncio.Task[None]] = set()
        #: What was measured since these were last emptied: items a call, seconds a call, and
        #: items by operation and status.
        self.batch_sizes: list[int] = []
        self.call_seconds: list[float] = []
        self.outcomes: collections.Counter[tuple[str, int]] = collections.Counter()

    def submit(self, partition: int, item: Item) -> asyncio.Future[Outcome]:
        """Queue an item for the next call. Raises OverCapacity; the future fails with
        Unavailable, NotOpen (nothing happened) or OutcomeUnknown."""
        future: asyncio.Future[Outcome] = self._loop.create_future()
        self.place(partition, item, future)
        return future

    def place(self, partition: int, item: Item, waiter: Waiter) -> None:
        """`submit` for a waiter of the caller's."""
        if self._waiting >= self._settings.award_pending_max:
            raise errors.OverCapacity
        state = self._partitions[partition]
        state.queue.append(_Waiting(item, waiter))
        self._waiting += 1
        self._wake(state)

    async def open_accounts(self, program_id: str, member_ids: Iterable[str]) -> None:
        """Open the accounts of members at zero; ones that exist keep their balance."""
        fields: dict[int, list[str]] = collections.defaultdict(list)
        for member_id in member_ids:
            partition = ids.partition_of(program_id, member_id, keys.AWARD_PARTITIONS)
            for unit in events.UNIT_LETTERS:
                fields[partition].append(events.account_field(program_id, member_id, unit))
        await asyncio.gather(*(self._open(number, names) for number, names in fields.items()))

    async def balances(self, program_id: str, member_id: str) -> dict[str, tuple[int, int]] | None:
        """Available and held per unit, or None when Redis knows no such account."""
        number = ids.partition_of(program_id, member_id, keys.AWARD_PARTITIONS)
        state = self._partitions[number]
        names = [events.account_field(program_id, member_id, unit) for unit in events.UNIT_LETTERS]
        for _ in range(STALE_TRIES):
            generation = await self._refresh(state)
            values = await self._redis.call(
                "HMGET", keys.award_balances(number, generation), *names, *(n + "h" for n in names)
            )
            if values[0] is not None:
                break
        else:
            return None
        half = len(names)
        return {
            unit: (int(values[i] or 0), int(values[half + i] or 0))
            for i, unit in enumerate(events.UNIT_LETTERS)
        }

    async def close_accounts(self, program_id: str, member_id: str) -> None:
        """Forget the accounts of a deleted member; the ledger keeps them."""
        number = ids.partition_of(program_id, member_id, keys.AWARD_PARTITIONS)
        names = [events.account_field(program_id, member_id, unit) for unit in events.UNIT_LETTERS]
        accounts = keys.award_balances(number, await self.generation(number))
        await self._redis.call("HDEL", accounts, *names, *(name + "h" for name in names))

    async def generation(self, number: int) -> int:
        """The partition's generation, asked of Redis; NotOpen."""
        return await self._refresh(self._partitions[number])

    async def open_partitions(self) -> int:
        """How many partitions decide now."""
        heads = await asyncio.gather(
            *(
                self._redis.call("HMGET", keys.award_head(state.number), "open", "run")
                for state in self._partitions
            )
        )
        run_id = self._redis.run_id.encode()
        return sum(is_open == b"1" and run == run_id for is_open, run in heads)

    async def add_lease(
        self, number: int, generation: int, program_id: str, unit: str, amount: int
    ) -> None:
        """Add what PostgreSQL has leased to what the partition may still award."""
        field = f"{program_id}:{events.UNIT_LETTERS[unit]}"
        await self._redis.call("HINCRBY", keys.award_budget(number, generation), field, amount)

    async def unspent(self, program_id: str) -> dict[str, int]:
        """What the partitions may still award of what they have leased, by unit; NotOpen."""
        names = [f"{program_id}:{letter}" for letter in events.UNIT_LETTERS.values()]

        async def left_in(number: int) -> list[bytes | None]:
            leases = keys.award_budget(number, await self.generation(number))
            found: list[bytes | None] = await self._redis.call("HMGET", leases, *names)
            return found

        found = await asyncio.gather(*map(left_in, range(keys.AWARD_PARTITIONS)))
        columns = zip(events.UNIT_LETTERS, zip(*found, strict=True), strict=True)
        return {unit: sum(int(left or 0) for left in column) for unit, column in columns}

    async def waiting_event(
        self, number: int, generation: int, sequence: int
    ) -> events.PointsEvent | None:
        """A decided event that is still in the stream."""
        entries = await self._redis.call(
            "XREVRANGE", keys.award_stream(number), f"{generation}-{sequence}", "-", "COUNT", 1
        )
        if entries:
            entry_id, fields = entries[0]
            entry_generation, _, first = entry_id.decode().partition("-")
            position = sequence - int(first)
            with contextlib.suppress(msgspec.DecodeError, UnicodeDecodeError, IndexError):
                packed = events.decode_points(fields[1])
                return packed[position] if int(entry_generation) == generation else None
        return None

    async def hold_amount(self, number: int, key: str) -> int | None:
        """What an open hold holds, or None when it is not open."""
        generation = await self.generation(number)
        value = await self._redis.call("HGET", keys.award_holds(number, generation), key)
        return None if value is None else int(value.rpartition(b" ")[2])

    async def _open(self, number: int, names: list[str]) -> None:
        state = self._partitions[number]
        for _ in range(STALE_TRIES):
            generation = await self._generation(state)
            reply = await self._redis.run(
                redis.POINTS_OPEN,
                (keys.award_head(number), keys.award_balances(number, generation)),
                (generation, *names),
            )
            if reply[0] == b"DONE":
                return
            if reply[0] == b"CLOSED":
                break
            self._enter(state, int(reply[1]))
        state.is_known = False
        raise errors.NotOpen

    async def _generation(self, state: _Partition) -> int:
        return state.generation if state.is_known else await self._refresh(state)

    async def _refresh(self, state: _Partition) -> int:
        """Ask Redis for the partition's generation; NotOpen when it has none."""
        value = await self._redis.call("HGET", keys.award_head(state.number), "gen")
        if value is None:
            state.is_known = False
            raise errors.NotOpen
        self._enter(state, int(value))
        return state.generation

    @staticmethod
    def _enter(state: _Partition, generation: int) -> None:
        """A new generation counts on from its own head: what was seen of the old one is void."""
        state.is_known = True
        if generation != state.generation:
            state.generation, state.seen = generation, 0
            state.keys = keys.award_state(state.number, generation)
            state.markers = keys.award_marker(state.number, generation, b"")

    def _wake(self, state: _Partition) -> None:
        if state.calls_out < CALLS_OUT_MAX and not state.is_dirty:
            state.is_dirty = True
            self._dirty.append(state)
            if not self._is_armed:
                self._is_armed = True
                self._loop.call_soon(self._launch)

    def _launch(self) -> None:
        self._is_armed = False
        dirty, self._dirty = self._dirty, []
        for state in dirty:
            state.is_dirty = False
            if not state.is_known:
                state.calls_out += 1
                task = self._loop.create_task(self._refresh_then_send(state))
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)
            while state.is_known and state.queue and state.calls_out < CALLS_OUT_MAX:
                self._send(state)

    async def _refresh_then_send(self, state: _Partition) -> None:
        try:
            await self._refresh(state)
        except errors.StampgateError as error:
            self._fail(_take(state, len(state.queue)), error)
        finally:
            state.calls_out -= 1
        if state.queue:
            self._wake(state)

    def _send(self, state: _Partition) -> None:
        batch = _take(state, ITEMS_MAX)
        call_keys, arguments = self._pack(state, [waiting.item for waiting in batch])
        try:
            reply = self._redis.run(redis.POINTS, call_keys, arguments)
        except errors.StampgateError as error:
            self._fail(batch, error)
            return
        state.calls_out += 1
        state.sent_at = self._loop.time()
        self.batch_sizes.append(len(batch))
        if not self._settings.replica_wait:
            reply.add_done_callback(lambda done: self._answered(state, batch, done))
            return
        # Replies keep their order: when WAIT has answered, so has the script.
        copies = self._redis.call(
            "WAIT", self._settings.replica_wait, self._settings.award_deadline_ms // 2
        )
        copies.add_done_callback(lambda done: self._copied(state, batch, reply, done))

    def _copied(
        self,
        state: _Partition,
        batch: list[_Waiting],
        reply: asyncio.Future[Any],
        copies: asyncio.Future[Any],
    ) -> None:
        """The script ran here; the answer is final only if enough replicas have it as well."""
        error = copies.exception() or reply.exception()
        if error is None and copies.result() < self._settings.replica_wait:
            error = errors.OutcomeUnknown("Too few replicas have confirmed it.")
        if error is None:
            self._answered(state, batch, reply)
            return
        state.calls_out -= 1
        self._fail(batch, error)
        if state.queue:
            self._wake(state)

    def _pack(self, state: _Partition, items: list[Item]) -> tuple[list[str | bytes], list[Any]]:
        call_keys = state.keys + [state.markers + item.marker for item in items]
        positions: dict[str, int] = {"": 0}
        arguments: list[Any] = [
            state.generation, state.seen, self._settings.stream_high_water,
            self._settings.idempotency_ttl_s * 1000, self._redis.run_id, len(items),
        ]  # fmt: skip
        for item in items:
            if item.day not in positions:
                call_keys.append(keys.award_limits(state.number, state.generation, item.day))
                positions[item.day] = len(call_keys)
            arguments += (
                item.op, item.account, item.amount, item.body_hash, item.facts, item.at_ms,
                f"{item.bound} {item.related}" if item.bound or item.related else "",
                _rules(item, positions[item.day]),
            )  # fmt: skip
        return call_keys, arguments

    def _answered(
        self, state: _Partition, batch: list[_Waiting], done: asyncio.Future[Any]
    ) -> None:
        state.calls_out -= 1
        error = done.exception()
        if error is not None:
            self._fail(batch, error)
        else:
            self._apply(state, batch, done.result())
        if state.queue:
            self._wake(state)

    def _apply(self, state: _Partition, batch: list[_Waiting], reply: list[Any]) -> None:
        verdict = reply[0]
        self.call_seconds.append(self._loop.time() - state.sent_at)
        if verdict == b"DONE":
            state.stale_tries = 0
            self._waiting -= len(batch)
            decided = reply[1:]
            last = next((text for status, text in reversed(decided) if status == DONE), None)
            if last is not None:
                state.seen = max(state.seen, int(last.split(b" ", 2)[1]))
            for (item, waiter), (status, text) in zip(batch, decided, strict=True):
                self.outcomes[item.op, status] += 1
                if not waiter.done():
                    waiter.set_result(Outcome(status, text))
        elif verdict == b"STALE" and state.stale_tries < STALE_TRIES:
            state.stale_tries += 1
            self._enter(state, int(reply[1]))
            state.queue.extendleft(reversed(batch))
        elif verdict == b"FULL":
            self._fail(batch, errors.OverCapacity("The event stream is full"))
        else:
            state.is_known = False
            self._fail(batch, errors.NotOpen())
            if verdict == b"ROLLED_BACK":
                self._close(state.number)

    def _close(self, number: int) -> None:
        """Acknowledged events are missing: close the partition, so that the flusher rebuilds."""
        # If this gets lost, the next call is told again.
        with contextlib.suppress(errors.StampgateError):
            closing = self._redis.call("HSET", keys.award_head(number), "open", "0")
            closing.add_done_callback(lambda done: done.cancelled() or done.exception())

    def _fail(self, batch: list[_Waiting], error: BaseException) -> None:
        self._waiting -= len(batch)
        for waiting in batch:
            if not waiting.waiter.done():
                waiting.waiter.set_exception(error)


def _rules(item: Item, limit_position: int) -> str:
    """The rules that limit an award, as the script reads them; empty when there are none."""
    if not limit_position and not item.interval_ms and not item.has_budget:
        return ""
    return f"{limit_position} {item.limit} {item.interval_ms} {int(item.has_budget)}"
