"""`stampgate replay` and `stampgate rebuild`: for when events or Redis went wrong."""

from __future__ import annotations

import argparse
import asyncio
import time

import asyncpg

from core import errors
from core.settings import Settings
from db import click_rows, flush, keys, links, quarantine, rebuild, redis
from deploy.commands import recording
from deploy.commands.arguments import Commands, Progress
from workers.announce import Announcer

WAIT_S = 60.0
GENERATIONS = "SELECT partition, generation FROM award_partition"


def add_replay(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "replay", help="apply quarantined events again, after their cause was mended"
    )
    command.add_argument("--id", type=int, help="only this one")
    command.add_argument("--list", action="store_true", help="show them and change nothing")
    command.set_defaults(run=replay)


def add_rebuild(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser(
        "rebuild", help="load Redis anew from PostgreSQL; the flusher must be running"
    )
    command.add_argument(
        "what",
        choices=["awards", "links"],
        help="awards: balances, holds and keys, closed meanwhile; links: their snapshots",
    )
    command.add_argument("--partition", type=int, choices=range(keys.AWARD_PARTITIONS))
    command.set_defaults(run=rebuild_redis)


async def replay(settings: Settings, arguments: argparse.Namespace) -> int:
    """Apply each event in its own transaction, and take it out of quarantine."""
    db = await asyncpg.connect(settings.migration_url)
    try:
        waiting = await quarantine.page(db, arguments.id)
        if arguments.list:
            for event in waiting:
                print(f"{event.id:8}  {event.stream} {event.entry_id}  {event.error}")
            return 0
        resolve = click_rows.open_resolver(settings.geoip_file)
        ring = recording.read_ring(settings)
        flusher = flush.Flush(click_rows.Rows(resolve), Announcer())
        await flusher.prepare(db)
        progress, failed = Progress("events"), 0
        for number, event in enumerate(waiting, 1):
            try:
                async with db.transaction():
                    await quarantine.replay(db, flusher, event)
                    entry = f"{event.stream} {event.entry_id}"
                    await recording.record(db, ring, "event.replay", entry)
            except flush.REFUSALS as error:
                failed += 1
                print(f"{event.id}: {type(error).__name__}: {error}")
            progress(number, len(waiting))
        print(f"{len(waiting) - failed} applied, {failed} left in quarantine")
        return 1 if failed else 0
    finally:
        await db.close()


async def rebuild_redis(settings: Settings, arguments: argparse.Namespace) -> int:
    """Close partitions, so that the flusher rebuilds them, and wait; or publish the links."""
    connection = await redis.Connection.open(settings.redis_url)
    db = await asyncpg.connect(settings.migration_url)
    try:
        if arguments.what == "links":
            async with recording.recorded(settings, "link.rebuild", "all"):
                await links.publish_all(db, connection, Progress("links"))
            return 0
        before = await _generations(db)
        wanted = list(before) if arguments.partition is None else [arguments.partition]
        after = {"partitions": wanted}
        async with recording.recorded(settings, "award.rebuild", "partitions", after=after):
            for number in wanted:
                await rebuild.close(connection, number)
        return await _wait(db, {number: before[number] for number in wanted})
    finally:
        await db.close()
        await connection.close()


async def _generations(db: asyncpg.Connection[asyncpg.Record]) -> dict[int, int]:
    return {row["partition"]: row["generation"] for row in await db.fetch(GENERATIONS)}


async def _wait(db: asyncpg.Connection[asyncpg.Record], before: dict[int, int]) -> int:
    progress = Progress("partitions")
    done, deadline = 0, time.monotonic() + WAIT_S
    while time.monotonic() < deadline:
        now = await _generations(db)
        done = sum(now[number] > generation for number, generation in before.items())
        progress(done, len(before))
        if done == len(before):
            return 0
        await asyncio.sleep(0.1)
    raise errors.Unavailable("no flusher has rebuilt them: is `python -m workers` running?")
