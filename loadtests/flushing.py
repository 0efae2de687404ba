"""How fast the flusher moves what waits in the streams to PostgreSQL.

The streams are filled through the scripts that the apps use, while no flusher runs. The clock
starts when the flusher first asks Redis for something, so that the start of the process does not
count, and ends when PostgreSQL has everything and the streams are empty.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import random
import statistics
import time
from collections.abc import Awaitable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Final, NamedTuple, TypeVar

import uvloop

from core import classes, clickid, events, ids, keyring
from core.programs import Program, ProgramSettings
from db import awards, decisions, keys, points
from db.redis import Connection
from loadtests import cores, datasets, seed
from loadtests.effort import Effort
from loadtests.results import Row, Target
from loadtests.stack import STREAMS, BenchStack
from redirector import batches

T = TypeVar("T")

# Filling the streams takes longer than emptying them.
ROUNDS_MAX: Final = 3
CLICK_TARGET: Final = Target(at_least=60_000)
AWARD_TARGET: Final = Target(at_least=25_000)
# What 64 connections make of a group commit.
CLICKS_A_BATCH: Final = 32
LINKS: Final = 1_000
# Sent together; the scripts run meanwhile.
BATCHES_AT_ONCE: Final = 128
AWARDS_AT_ONCE: Final = 4_096
REDIS_DEADLINE_S: Final = 30.0
POLL_S: Final = 0.005
TIMEOUT_S: Final = 120.0
# Nobody but the flusher sends it: it looks whether Redis has been filled.
FIRST_COMMAND: Final = "cmdstat_exists"


class Drained(NamedTuple):
    """How fast it went, and the flusher's own CPU time for an event."""

    per_second: float
    cpu_us: float


def clicks(stack: BenchStack, effort: Effort, redirectors: int) -> Row:
    """Drain clicks that so many redirectors recorded, each in the stream of its own boot."""
    rounds = []
    for _ in range(min(effort.rounds, ROUNDS_MAX)):
        stack.fill()
        uvloop.run(_fill_with_clicks(stack, effort.clicks, redirectors))
        rounds.append(_drain(stack, effort.clicks))
    word = "redirector" if redirectors == 1 else "redirectors"
    return _row(f"flush clicks of {redirectors} {word}", rounds, "clicks/s", CLICK_TARGET)


def points_events(stack: BenchStack, effort: Effort) -> Row:
    """Drain awards of all partitions."""
    rounds = []
    for _ in range(min(effort.rounds, ROUNDS_MAX)):
        stack.fill()
        uvloop.run(_fill_with_awards(stack, effort.awards))
        rounds.append(_drain(stack, effort.awards))
    return _row("flush awards", rounds, "awards/s flushed", AWARD_TARGET)


def _row(what: str, rounds: list[Drained], unit: str, target: Target) -> Row:
    speeds = [one.per_second for one in rounds]
    return Row(
        what=what,
        durability="always",
        loop="-",
        unit=unit,
        value=statistics.median(speeds),
        lowest=min(speeds),
        highest=max(speeds),
        rounds=len(rounds),
        cpu_us=statistics.median(one.cpu_us for one in rounds),
        target=target,
    )


def _drain(stack: BenchStack, count: int) -> Drained:
    with stack.redis() as client:

        def left() -> int:
            pipeline = client.pipeline(transaction=False)
            for stream in STREAMS:
                pipeline.xlen(stream)
            return sum(pipeline.execute())

        client.config_resetstat()
        pid = stack.start_flusher()
        deadline = time.monotonic() + TIMEOUT_S
        while FIRST_COMMAND not in client.info("commandstats"):
            _wait(deadline)
        began, used = time.perf_counter(), cores.cpu_s(pid)
        while left():
            _wait(deadline)
        seconds, used = time.perf_counter() - began, cores.cpu_s(pid) - used
    stack.stop_flusher()
    return Drained(count / seconds, used / count * 1e6)


def _wait(deadline: float) -> None:
    if time.monotonic() > deadline:
        raise TimeoutError("the flusher does not get the streams empty")
    time.sleep(POLL_S)


async def _fill_with_clicks(stack: BenchStack, count: int, redirectors: int) -> None:
    connection = await Connection.open(stack.settings.redis_url, deadline_s=REDIS_DEADLINE_S)
    try:
        boots = [await connection.call("INCR", keys.BOOTS) for _ in range(redirectors)]
        made = [_clicks(stack, boot, count // redirectors) for boot in boots]
        sent = (
            batches.send(connection, batch)
            for several in itertools.zip_longest(*map(_batches, boots, made))
            for batch in several
            if batch is not None
        )
        await _all(sent, BATCHES_AT_ONCE)
    finally:
        await connection.close()


def _batches(boot: int, clicks: Iterator[events.Click]) -> Iterator[batches.Batch]:
    number, run = 0, random.getrandbits(40)
    while some := list(islice(clicks, CLICKS_A_BATCH)):
        number += 1
        counters = [f"{click.link_id}:{click.hit_class}" for click in some]
        yield batches.pack(boot, run, number, some, counters)


def _clicks(stack: BenchStack, boot: int, count: int) -> Iterator[events.Click]:
    ring = keyring.parse(Path(stack.settings.keyring_file).read_bytes())
    minter = clickid.Minter(ring.active_click, ring.click[ring.active_click], boot % 2**16)
    link_ids = datasets.zipf([seed.new_id("link") for _ in range(LINKS)], datasets.SAMPLES)
    headers = list(datasets.HEADERS.values())
    draw = random.Random(boot)
    for number in range(count):
        link_id, sent = link_ids[number % len(link_ids)], headers[number % len(headers)]
        yield events.Click(
            click_id=minter.mint(
                time.time_ns() // 1_000_000, stack.seed.program_id, ids.link_bits(link_id)
            ),
            link_id=link_id,
            program_id=stack.seed.program_id,
            hit_class=classes.HUMAN,
            reasons=(),
            address=f"10.{draw.randrange(256)}.{draw.randrange(16)}.0",
            country=None,
            user_agent=sent["User-Agent"],
            referrer=sent.get("Referer"),
            privacy_signal=False,
            member_id=None,
            variant=None,
            parameters=None,
            preminted=False,
        )


async def _fill_with_awards(stack: BenchStack, count: int) -> None:
    connection = await Connection.open(stack.settings.redis_url, deadline_s=REDIS_DEADLINE_S)
    try:
        state = points.Points(connection, stack.settings)
        await state.open_accounts(stack.seed.program_id, stack.seed.members)
        await _all(_awards(state, stack, count), AWARDS_AT_ONCE)
    finally:
        await connection.close()


def _awards(
    state: points.Points, stack: BenchStack, count: int
) -> Iterator[asyncio.Future[decisions.Outcome]]:
    program = Program(stack.seed.program_id, "Europe/Berlin", ProgramSettings())
    run = os.urandom(4).hex()
    for number, member in enumerate(
        islice(itertools.cycle(datasets.zipf(stack.seed.members, datasets.SAMPLES)), count)
    ):
        ask = awards.Ask(
            op="award",
            program=program,
            caller="app:bench",
            key=f"{run}-{number}",
            unit="points",
            amount=datasets.AWARD_AMOUNT,
            member_id=member,
        )
        yield awards.place(state, ask, time.time_ns() // 1_000_000)


async def _all(pending: Iterable[Awaitable[T]], at_once: int) -> None:
    """Await everything, some at a time."""
    left = iter(pending)
    while some := list(islice(left, at_once)):
        await asyncio.gather(*some)
