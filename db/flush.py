"""From the streams to PostgreSQL, exactly once: one transaction applies entries of several streams
and moves their checkpoints, each by compare-and-set, so that a late twin changes nothing.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, events
from core.fraud_lists import Found
from db import click_rows, ledger
from db.pg import Db


class CheckpointMoved(errors.StampgateError, code="checkpoint_moved"):
    """Another flusher has moved on; what was applied here is rolled back."""


class Entry(NamedTuple):
    """A stream entry: its id and its packed payload."""

    id: str
    payload: bytes


class Portion(NamedTuple):
    """What one transaction takes from one stream, after the checkpoint `since`."""

    stream: str
    since: str
    entries: list[Entry]


class Poison(NamedTuple):
    """An event that cannot be applied, to be set aside."""

    stream: str
    entry_id: str
    position: int
    payload: bytes
    error: str


class Applied(NamedTuple):
    """What a transaction did."""

    clicks: int
    inserted_clicks: int
    points: int
    poisons: int


MOVE_CHECKPOINTS: Final = """
UPDATE stream_checkpoint c SET last_id = u.next, updated_at = now()
  FROM unnest($1::text[], $2::text[], $3::text[]) AS u (stream, since, next)
 WHERE c.stream = u.stream AND c.last_id = u.since
"""
MOVE_SEQUENCES: Final = """
UPDATE award_partition p SET sequence = u.sequence
  FROM unnest($1::smallint[], $2::bigint[]) AS u (partition, sequence)
 WHERE p.partition = u.partition
"""
SET_ASIDE: Final = """
INSERT INTO quarantine (stream, entry_id, position, payload, error)
SELECT * FROM unnest($1::text[], $2::text[], $3::integer[], $4::bytea[], $5::text[])
    ON CONFLICT DO NOTHING
"""
STAGE: Final = """
CREATE TEMPORARY TABLE IF NOT EXISTS staged_click (LIKE click) ON COMMIT DELETE ROWS
"""
INSERT_NEW: Final = """
INSERT INTO click SELECT * FROM staged_click ORDER BY day, click_id
    ON CONFLICT (day, click_id) DO NOTHING RETURNING click_id
"""
ROLL_UP: Final = """
INSERT INTO click_daily AS d (link_id, day, class, device, country, variant, program_id, clicks)
SELECT * FROM unnest($1::text[], $2::date[], $3::smallint[], $4::text[], $5::text[], $6::text[],
                     $7::text[], $8::bigint[])
 ORDER BY 1, 2, 3, 4, 5, 6
    ON CONFLICT (link_id, day, class, device, country, variant)
       DO UPDATE SET clicks = d.clicks + excluded.clicks
"""
SEE_BOOTS: Final = """
INSERT INTO click_boot AS b (boot, highest, stored, last_click_at)
SELECT * FROM unnest($1::integer[], $2::bigint[], $3::bigint[], $4::timestamptz[]) ORDER BY 1
    ON CONFLICT (boot) DO UPDATE
       SET highest = greatest(b.highest, excluded.highest),
           stored = b.stored + excluded.stored,
           last_click_at = greatest(b.last_click_at, excluded.last_click_at)
"""
KEEP_SALT: Final = "INSERT INTO address_salt (day, salt) VALUES ($1, $2) ON CONFLICT DO NOTHING"
FIND_SALT: Final = "SELECT salt FROM address_salt WHERE day = $1"
# A program's lists of networks change now and then; what is known of them is forgotten as often.
LISTS_S: Final = 30.0
LISTING: Final = "SELECT DISTINCT program_id FROM fraud_list WHERE kind = 'networks'"
# Of one list the closest network.
LISTED: Final = """
SELECT DISTINCT ON (asked.program_id, asked.address, n.name)
       asked.program_id, asked.address, n.name, n.label
  FROM unnest($1::text[], $2::text[]) AS asked (program_id, address)
  JOIN listed_network n ON n.program_id = asked.program_id AND n.network >>= asked.address::inet
 ORDER BY asked.program_id, asked.address, n.name, masklen(n.network) DESC
"""

# What one bad event raises, in our code or in PostgreSQL; a lost connection is none of these.
REFUSALS: Final = (
    ValueError,
    OverflowError,
    IndexError,
    KeyError,
    msgspec.DecodeError,
    asyncpg.DataError,
    asyncpg.IntegrityConstraintViolationError,
    asyncpg.ProgramLimitExceededError,
)

Announce = Callable[[Db, list[ledger.Placed], list[events.Click]], Awaitable[None]]


class Flush:
    """Applies portions. `announce` writes the outbox rows that events cause, in the transaction."""

    def __init__(self, rows: click_rows.Rows, announce: Announce) -> None:
        self._rows = rows
        self._announce = announce
        self._book = ledger.Book()
        self._lists_until = 0.0

    async def prepare(self, db: Db) -> None:
        """Once per connection."""
        await db.execute(STAGE)
        self._forget()

    async def apply(self, db: Db, portions: list[Portion]) -> Applied:
        """Apply all entries or nothing; CheckpointMoved, a database error, or ValueError or
        msgspec.DecodeError for an entry that `apply_singly` must take apart.
        """
        placed: list[ledger.Placed] = []
        clicks: list[events.Click] = []
        for portion in portions:
            for entry in portion.entries:
                if is_points(portion.stream):
                    placed += place(portion.stream, entry.id, events.decode_points(entry.payload))
                else:
                    clicks += events.decode_clicks(entry.payload).clicks
        try:
            async with db.transaction():
                await _move_checkpoints(db, portions)
                inserted = await self._write(db, placed, clicks)
                await _move_sequences(db, portions)
        except BaseException:
            self._forget()
            raise
        return Applied(len(clicks), inserted, len(placed), 0)

    async def apply_singly(self, db: Db, portion: Portion) -> Applied:
        """Apply the portion's one entry event by event; those that are refused are set aside."""
        (entry,) = portion.entries
        poisons: list[Poison] = []
        total = Applied(0, 0, 0, 0)
        async with db.transaction():
            await _move_checkpoints(db, [portion])
            for position, raw in enumerate(_take_apart(portion.stream, entry)):
                try:
                    async with db.transaction():
                        points, clicks = _decode_one(portion.stream, entry.id, position, raw)
                        inserted = await self._write(db, points, clicks)
                except REFUSALS as error:
                    self._forget()
                    text = f"{type(error).__name__}: {error}"[:500]
                    poisons.append(Poison(portion.stream, entry.id, position, raw, text))
                else:
                    total = total._replace(
                        clicks=total.clicks + len(clicks),
                        inserted_clicks=total.inserted_clicks + inserted,
                        points=total.points + len(points),
                    )
            await _move_sequences(db, [portion])
            await _set_aside(db, poisons)
        return total._replace(poisons=len(poisons))

    async def apply_event(
        self, db: Db, stream: str, entry_id: str, position: int, raw: bytes
    ) -> None:
        """Apply one event that was set aside, in the caller's transaction; one of REFUSALS."""
        placed, clicks = _decode_one(stream, entry_id, position, raw)
        try:
            await self._write(db, placed, clicks)
        except BaseException:
            self._forget()
            raise

    def _forget(self) -> None:
        """After a rollback: accounts and salts that were made in it are gone."""
        self._book.forget()
        self._rows.forget()

    async def _write(self, db: Db, placed: list[ledger.Placed], clicks: list[events.Click]) -> int:
        inserted = await self._write_clicks(db, clicks) if clicks else 0
        if placed:
            await self._book.post(db, placed)
        await self._announce(db, placed, clicks)
        return inserted

    async def _write_clicks(self, db: Db, clicks: list[events.Click]) -> int:
        """Store clicks that are not stored yet, and count those; returns how many they were."""
        made = {made.row[1]: made for made in await self._make(db, clicks)}
        rows = [one.row for one in made.values()]
        try:
            async with db.transaction():
                await db.copy_records_to_table("click", records=rows, columns=click_rows.COLUMNS)
        except asyncpg.UniqueViolationError:
            # Rare: the spool's replay, or a second visit of a click made beforehand.
            await db.copy_records_to_table("staged_click", records=rows, columns=click_rows.COLUMNS)
            made = {row["click_id"]: made[row["click_id"]] for row in await db.fetch(INSERT_NEW)}
            await db.execute("DELETE FROM staged_click")
        fresh = list(made.values())
        if fresh:
            await db.execute(ROLL_UP, *click_rows.roll_up(fresh))
            await db.execute(SEE_BOOTS, *click_rows.boots(fresh))
        return len(fresh)

    async def _make(self, db: Db, clicks: list[events.Click]) -> list[click_rows.Made]:
        await self._look_up(db, clicks)
        make = self._rows.make
        while True:
            try:
                return [make(click) for click in clicks]
            except click_rows.SaltMissing as missing:
                await db.execute(KEEP_SALT, missing.day, secrets.token_bytes(32))
                self._rows.salts[missing.day] = await db.fetchval(FIND_SALT, missing.day)

    async def _look_up(self, db: Db, clicks: list[events.Click]) -> None:
        """Find in which lists of their programs the networks of clicks stand."""
        rows = self._rows
        if time.monotonic() >= self._lists_until:
            rows.listing = frozenset(row["program_id"] for row in await db.fetch(LISTING))
            rows.listed.clear()
            self._lists_until = time.monotonic() + LISTS_S
        asked = sorted(rows.unlisted(clicks))
        if not asked:
            return
        found = await db.fetch(LISTED, *(list(column) for column in zip(*asked, strict=True)))
        rows.listed |= {one: [] for one in asked}
        for row in found:
            packed = Found(row["name"], row["label"]).packed
            rows.listed[row["program_id"], row["address"]].append(packed)


def is_points(stream: str) -> bool:
    """Whether a stream carries points events rather than clicks."""
    return stream.startswith("{a")


def partition_of(stream: str) -> int:
    """The number in a stream's hash tag."""
    return int(stream[2 : stream.index("}")])


def span(entry: Entry) -> tuple[int, int]:
    """The first and the last sequence number of a points entry."""
    _, first = ledger.parse_key(entry.id)
    return first, first + events.count_points(entry.payload) - 1


def place(
    stream: str, entry_id: str, points: list[events.PointsEvent], offset: int = 0
) -> list[ledger.Placed]:
    """Give the events of an entry their sequence numbers: the entry's id names the first."""
    generation, first = ledger.parse_key(entry_id)
    partition = partition_of(stream)
    return [
        ledger.Placed(partition, generation, sequence, event)
        for sequence, event in enumerate(points, first + offset)
    ]


def _take_apart(stream: str, entry: Entry) -> list[bytes]:
    """The entry's events, packed; an entry that is no list is its own single event."""
    try:
        if is_points(stream):
            return events.split_points(entry.payload)
        return events.split_clicks(entry.payload)[2]
    except (msgspec.DecodeError, UnicodeDecodeError):
        return [entry.payload]


def _decode_one(
    stream: str, entry_id: str, position: int, raw: bytes
) -> tuple[list[ledger.Placed], list[events.Click]]:
    if is_points(stream):
        return place(stream, entry_id, [events.decode_points_event(raw)], position), []
    return [], [events.decode_click(raw)]


async def _move_checkpoints(db: Db, portions: list[Portion]) -> None:
    moved = await db.execute(
        MOVE_CHECKPOINTS,
        [portion.stream for portion in portions],
        [portion.since for portion in portions],
        [portion.entries[-1].id for portion in portions],
    )
    if moved != f"UPDATE {len(portions)}":
        raise CheckpointMoved


async def _move_sequences(db: Db, portions: list[Portion]) -> None:
    moved = [
        (partition_of(portion.stream), span(portion.entries[-1])[1])
        for portion in portions
        if is_points(portion.stream)
    ]
    if moved:
        await db.execute(MOVE_SEQUENCES, *(list(column) for column in zip(*moved, strict=True)))


async def _set_aside(db: Db, poisons: list[Poison]) -> None:
    if poisons:
        await db.execute(SET_ASIDE, *(list(column) for column in zip(*poisons, strict=True)))
