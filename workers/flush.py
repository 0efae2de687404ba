"""The flush loop: Redis streams → PostgreSQL, and the care of the award partitions.

Two lanes share the streams, each with a connection of its own, so that one decodes while
PostgreSQL works for the other. A lane owns the streams whose advisory lock it holds; its safety
rests on the checkpoints alone (`db/flush.py`).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import Iterator
from typing import Any, Final

import asyncpg
import msgspec

from core import errors, events
from core.settings import Settings
from db import click_rows, flush, keys, pg, rebuild, recovery, redis
from web import metrics
from workers.announce import Announcer

log = logging.getLogger(__name__)

LANES: Final = 2
LOCK_CLASS: Final = 0x5347
ENTRIES_A_READ: Final = 64
BYTES_AN_EVENT: Final = 200
RETRY_S_MAX: Final = 2.0
REDIS_DEADLINE_S: Final = 10.0

CHECKPOINTS: Final = "SELECT stream, last_id FROM stream_checkpoint WHERE stream = ANY($1)"
PARTITION: Final = "SELECT generation, sequence FROM award_partition WHERE partition = $1"
SEQUENCES: Final = "SELECT partition, sequence FROM award_partition"
LOCK: Final = "SELECT pg_try_advisory_lock($1, $2)"


class Lane:
    """Flushes some of the streams over one PostgreSQL connection."""

    def __init__(
        self, settings: Settings, connection: redis.Connection, streams: dict[str, int]
    ) -> None:
        """`streams` maps a stream to the number of its advisory lock."""
        self._settings = settings
        self._redis = connection
        self._streams = streams
        self._flush = flush.Flush(
            click_rows.Rows(click_rows.open_resolver(settings.geoip_file)), Announcer()
        )
        self._db: asyncpg.Connection[asyncpg.Record]
        # One lane of one process restores a Redis that knows nothing; the others wait for it.
        self._first_stream = keys.award_stream(0)
        self.checkpoints: dict[str, str] = {}
        self._events_an_entry = {True: 1.0, False: 1.0}
        # The last sequence number of each partition, and the partitions in which one is missing.
        self._sequences: dict[str, int] = {}
        self._gaps: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Flush until stopped; PostgreSQL or Redis away is waited for."""
        delay_s = 0.05
        while not stop.is_set():
            try:
                self._db = await asyncpg.connect(self._settings.flusher_url, timeout=10)
            except pg.CONNECTION_ERRORS as error:
                log.warning("flush: PostgreSQL is away: %s", type(error).__name__)
                await _pause(stop, delay_s)
                delay_s = min(delay_s * 2, RETRY_S_MAX)
                continue
            delay_s = 0.05
            try:
                await self._work(stop)
            except pg.CONNECTION_ERRORS as error:
                log.warning("flush: lost PostgreSQL: %s", type(error).__name__)
            finally:
                self._db.terminate()

    async def _work(self, stop: asyncio.Event) -> None:
        await self._flush.prepare(self._db)
        self.checkpoints = {}
        while not stop.is_set():
            await self._own()
            try:
                applied = await self.step()
            except flush.CheckpointMoved:
                # A twin has moved on, or a commit whose answer was lost did happen: read again.
                self.checkpoints = {}
                continue
            except errors.StampgateError as error:
                log.warning("flush: Redis: %s", error.detail)
                await _pause(stop, 0.2)
                continue
            if applied == 0:
                await _pause(stop, self._settings.flush_idle_ms / 1000)

    async def _own(self) -> None:
        """Lock the streams that nobody else holds, and read where they stand."""
        missing = [stream for stream in self._streams if stream not in self.checkpoints]
        locked = [
            stream
            for stream in missing
            if await self._db.fetchval(LOCK, LOCK_CLASS, self._streams[stream])
        ]
        if locked:
            for row in await self._db.fetch(CHECKPOINTS, locked):
                self.checkpoints[row["stream"]] = row["last_id"]
            for row in await self._db.fetch(SEQUENCES):
                self._sequences[keys.award_stream(row["partition"])] = row["sequence"]
            # Whoever had them may have gone between the commit and the trimming.
            await self._trim(locked)

    async def step(self) -> int:
        """Apply what the owned streams hold now; returns how many events that was."""
        if await recovery.is_needed(self._redis):
            if self._first_stream not in self.checkpoints:
                return 0
            await recovery.restore(self._db, self._redis, lambda _done, _total: None)
        await self._mend()
        applied = 0
        for batch in self._batches(await self._read()):
            applied += await self._apply(batch)
        return applied

    async def _read(self) -> list[flush.Portion]:
        owned = list(self.checkpoints.items())
        replies = await asyncio.gather(
            *(
                self._redis.call("XRANGE", stream, f"({since}", "+", "COUNT", ENTRIES_A_READ)
                for stream, since in owned
            )
        )
        portions = [
            flush.Portion(stream, since, [_entry(raw) for raw in reply])
            for (stream, since), reply in zip(owned, replies, strict=True)
            if reply
        ]
        await self._measure_lag(portions)
        return portions

    def _batches(self, portions: list[flush.Portion]) -> Iterator[list[flush.Portion]]:
        """Group what was read into transactions of about `flush_batch_max` events."""
        limit = self._settings.flush_batch_max * BYTES_AN_EVENT
        batch: list[flush.Portion] = []
        size = 0
        for portion in portions:
            batch.append(portion)
            size += sum(len(entry.payload) for entry in portion.entries)
            if size >= limit:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    async def _apply(self, portions: list[flush.Portion]) -> int:
        started = time.perf_counter()
        try:
            applied = await self._flush.apply(self._db, portions)
        except flush.REFUSALS as error:
            log.warning("flush: taking apart a batch: %s", type(error).__name__)
            return await self._bisect(portions)
        metrics.flush_seconds.labels("batch").observe(time.perf_counter() - started)
        metrics.flush_batch_size.labels("batch").observe(applied.clicks + applied.points)
        self._learn_sizes(portions, applied)
        await self._moved(portions, applied)
        return applied.clicks + applied.points

    def _learn_sizes(self, portions: list[flush.Portion], applied: flush.Applied) -> None:
        for kind, count in ((True, applied.points), (False, applied.clicks)):
            entries = sum(
                len(portion.entries)
                for portion in portions
                if flush.is_points(portion.stream) is kind
            )
            if entries:
                self._events_an_entry[kind] = count / entries

    async def _bisect(self, portions: list[flush.Portion]) -> int:
        """Halve until the entry that is refused stands alone, and set its bad events aside."""
        entries = [(portion, entry) for portion in portions for entry in portion.entries]
        if len(entries) == 1:
            applied = await self._flush.apply_singly(self._db, portions[0])
            await self._moved(portions, applied)
            return applied.clicks + applied.points + applied.poisons
        half = len(entries) // 2
        first, second = _regroup(entries[:half]), _regroup(entries[half:])
        done = await self._apply(first)
        moved = {portion.stream: portion.entries[-1].id for portion in first}
        rest = [
            portion._replace(since=moved.get(portion.stream, portion.since)) for portion in second
        ]
        return done + await self._apply(rest)

    async def _moved(self, portions: list[flush.Portion], applied: flush.Applied) -> None:
        """The commit is done: remember where the streams stand, and let Redis forget."""
        for portion in portions:
            self.checkpoints[portion.stream] = portion.entries[-1].id
            if flush.is_points(portion.stream):
                self._look_for_gaps(portion)
        metrics.flush_rows.labels("click").inc(applied.inserted_clicks)
        metrics.flush_rows.labels("points").inc(applied.points)
        metrics.flush_duplicates.labels("click").inc(applied.clicks - applied.inserted_clicks)
        metrics.quarantined.labels("event").inc(applied.poisons)
        if applied.poisons:
            log.error("flush: %d events set aside in quarantine", applied.poisons)
        await self._trim([portion.stream for portion in portions])

    def _look_for_gaps(self, portion: flush.Portion) -> None:
        """Sequence numbers are dense: one that is missing is an event that Redis has lost."""
        last = self._sequences[portion.stream]
        for entry in portion.entries:
            first, end = flush.span(entry)
            if first != last + 1:
                number = flush.partition_of(portion.stream)
                log.error("partition %d: events %d to %d are missing", number, last + 1, first - 1)
                metrics.lost_points_events.inc(max(0, first - last - 1))
                self._gaps.add(number)
            last = end
        self._sequences[portion.stream] = last

    async def _trim(self, streams: list[str]) -> None:
        """Let Redis forget what PostgreSQL has; if it is away, a later flush does it."""
        with contextlib.suppress(errors.StampgateError):
            await asyncio.gather(
                *(
                    self._redis.call("XTRIM", stream, "MINID", _next(self.checkpoints[stream]))
                    for stream in streams
                )
            )

    async def _measure_lag(self, portions: list[flush.Portion]) -> None:
        """Set the gauges of what waits. Entries hold many events: their number is estimated by
        the size of recent entries.
        """
        oldest = {portion.stream: _at_ms(portion) for portion in portions}
        lengths = await asyncio.gather(
            *(self._redis.call("XLEN", stream) for stream in self.checkpoints)
        )
        now_ms = time.time() * 1000
        for stream, length in zip(self.checkpoints, lengths, strict=True):
            name = stream[1 : stream.index("}")]
            per_entry = self._events_an_entry[flush.is_points(stream)]
            metrics.stream_lag_events.labels(name).set(round(length * per_entry))
            age_ms = now_ms - oldest[stream] if stream in oldest else 0.0
            metrics.stream_lag_seconds.labels(name).set(max(0.0, age_ms) / 1000)

    async def _mend(self) -> None:
        """Open award partitions that are closed, rebuild those whose state is gone or behind."""
        owned = [flush.partition_of(name) for name in self.checkpoints if flush.is_points(name)]
        heads = await asyncio.gather(
            *(
                self._redis.call("HMGET", keys.award_head(number), "gen", "seq", "open", "run")
                for number in owned
            )
        )
        run_id = self._redis.run_id.encode()
        for number, (generation, sequence, is_open, run) in zip(owned, heads, strict=True):
            is_well = generation is not None and is_open == b"1" and run == run_id
            if not is_well or number in self._gaps:
                await self._open(number, generation, sequence, is_open)

    async def _open(
        self, number: int, generation: bytes | None, sequence: bytes | None, is_open: bytes | None
    ) -> None:
        row = await self._db.fetchrow(PARTITION, number)
        assert row is not None
        is_whole = (
            generation is not None
            and is_open == b"1"
            and number not in self._gaps
            and self._settings.durability == "always"
            and int(generation) == row["generation"]
            and int(sequence or 0) >= row["sequence"]
        )
        if is_whole:
            await rebuild.reopen(
                self._redis, number, generation=row["generation"], sequence=row["sequence"]
            )
            return
        started = time.perf_counter()
        await rebuild.close(self._redis, number)
        await self._drain(keys.award_stream(number))
        report = await rebuild.rebuild(
            self._db,
            self._redis,
            number,
            now_ms=int(time.time() * 1000),
            marker_ttl_ms=self._settings.idempotency_ttl_s * 1000,
        )
        self._gaps.discard(number)
        seconds = time.perf_counter() - started
        metrics.rebuild_seconds.observe(seconds)
        log.warning(
            "partition %d opened at generation %d in %.2f s: %d accounts, %d holds, %d keys",
            number, report.generation, seconds, report.accounts, report.holds, report.markers,
        )  # fmt: skip

    async def _drain(self, stream: str) -> None:
        """Apply all that the stream still holds."""
        while True:
            since = self.checkpoints[stream]
            reply = await self._redis.call(
                "XRANGE", stream, f"({since}", "+", "COUNT", ENTRIES_A_READ
            )
            if not reply:
                return
            await self._apply([flush.Portion(stream, since, [_entry(raw) for raw in reply])])


def _entry(raw: list[Any]) -> flush.Entry:
    entry_id, fields = raw
    return flush.Entry(entry_id.decode(), fields[1])


def _at_ms(portion: flush.Portion) -> float:
    """When the oldest entry was made; now, for one that cannot be read."""
    first = portion.entries[0]
    if not flush.is_points(portion.stream):
        return int(first.id.partition("-")[0])
    try:
        return events.decode_points(first.payload)[0].facts.recorded_at_ms
    except (msgspec.DecodeError, UnicodeDecodeError, IndexError):
        return time.time() * 1000


def _next(entry_id: str) -> str:
    """The id after an entry's: trimming below it forgets the entry itself."""
    head, _, tail = entry_id.partition("-")
    return f"{head}-{int(tail) + 1}"


def _regroup(entries: list[tuple[flush.Portion, flush.Entry]]) -> list[flush.Portion]:
    """Portions of just these entries, each stream's in its order."""
    groups: dict[str, flush.Portion] = {}
    for portion, entry in entries:
        group = groups.setdefault(portion.stream, portion._replace(entries=[]))
        group.entries.append(entry)
    return list(groups.values())


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await stop.wait()


async def run(settings: Settings, stop: asyncio.Event) -> None:
    """Run the lanes until `stop`; each retries by itself."""
    connection = await redis.Connection.open(settings.redis_url, deadline_s=REDIS_DEADLINE_S)
    streams = [keys.award_stream(n) for n in range(keys.AWARD_PARTITIONS)]
    streams += [keys.click_stream(n) for n in range(keys.CLICK_PARTITIONS)]
    numbered = {stream: number for number, stream in enumerate(streams)}
    lanes = [
        Lane(
            settings,
            connection,
            {stream: number for stream, number in numbered.items() if number % LANES == lane},
        )
        for lane in range(LANES)
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for lane in lanes:
                group.create_task(lane.run(stop))
    finally:
        await connection.close()
