"""Scenarios in which one guard is all that keeps a click or an award right, and what takes it out.

A scenario passes on the code as it is. Without its guard it must not, or it would prove nothing.
"""

from __future__ import annotations

import random
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from deploy.local.processes import Process
from redirector import spool
from tests.chaos import load, oracle
from tests.chaos.source import Patch
from tests.chaos.stack import Stack, children, send, until

# Long enough for the spool to be sent, which is tried twice a second.
SPOOL_QUIET_S = 8.0

Scenario = Callable[[Stack, int], list[str]]


class Control(NamedTuple):
    """`guard` takes the guard out, and what goes wrong then begins with or holds `symptom`.

    `setting` is applied with and without the guard: it makes the guard the only one.
    """

    name: str
    scenario: Scenario
    guard: Patch
    symptom: str
    setting: tuple[Patch, ...] = ()
    chosen: dict[str, str] = {}  # noqa: RUF012 - never changed


def twins(stack: Stack, seed: int) -> list[str]:
    """Two flushers own the same streams, and each sleeps through some of the other's work."""
    rng = random.Random(seed)
    command = [sys.executable, "-m", "workers", "flush"]
    log = stack.folder / "logs" / "twin.log"
    twin = stack.apps["twin"] = Process("twin", command, log=log, env=stack.env, cwd=stack.source)
    with load.loaded(stack, seed) as history:
        for _ in range(3):
            (first,) = until(lambda: stack.pids("flusher"), 10, "the flusher runs")
            for pid in rng.sample((first, twin.pid), 2):
                send(pid, signal.SIGSTOP)
                time.sleep(rng.uniform(0.1, 0.3))
                send(pid, signal.SIGCONT)
                time.sleep(rng.uniform(0.0, 0.2))
    return oracle.verify(stack, history)


def spooled_and_sent(stack: Stack, seed: int, *, forgets_marks: bool) -> list[str]:
    """Batches are in Redis and in the spool, and nobody lives who knows."""
    with load.loaded(stack, seed, awarders=0) as history:
        process = stack.servers.redis.process
        assert process is not None
        load.answered(history, 50)
        send(process.pid, signal.SIGSTOP)
        load.answered(history, 20)
        stack.kill_app("redirector")
    assert any(map(spool.size, spool.segments(Path(stack.settings.spool_dir))))
    send(process.pid, signal.SIGCONT)
    oracle.quiesce(stack, with_spool=False)
    if forgets_marks:
        with stack.redis() as client:
            for key in client.scan_iter("{c*}:b:*"):
                client.delete(key)
    stack.start("redirector")
    stack.wait_ready()
    return oracle.verify(stack, history, has_live=not forgets_marks)


def sent_twice(stack: Stack, seed: int) -> list[str]:
    """What was sent and spooled comes again, and its mark is known."""
    return spooled_and_sent(stack, seed, forgets_marks=False)


def sent_twice_unmarked(stack: Stack, seed: int) -> list[str]:
    """What was sent and spooled comes again, and its mark is gone."""
    return spooled_and_sent(stack, seed, forgets_marks=True)


def database_dies(stack: Stack, seed: int) -> list[str]:
    """PostgreSQL dies twice while entries wait for it."""
    rng = random.Random(seed)
    with load.loaded(stack, seed) as history:
        for _ in range(2):
            load.answered(history, 100)
            stack.kill("postgres", rng)
    return oracle.verify(stack, history)


def redis_dies(stack: Stack, seed: int) -> list[str]:
    """Redis dies, and clicks are spooled meanwhile."""
    with load.loaded(stack, seed, awarders=1) as history:
        load.answered(history, 50)
        stack.servers.redis.kill()
        load.answered(history, 50)
        stack.servers.redis.start()
    return oracle.verify(stack, history, quiet_s=SPOOL_QUIET_S)


def both_die_at_once(stack: Stack, seed: int) -> list[str]:
    """Redis hangs with batches on their way to it, then the redirectors die, and it does too."""
    with load.loaded(stack, seed, awarders=1) as history:
        process = stack.servers.redis.process
        assert process is not None
        load.answered(history, 50)
        send(process.pid, signal.SIGSTOP)
        time.sleep(0.3)
        offspring = [pid for pid, _ in children(stack.apps["redirector"].pid)]
        # Redis last: a redirector that sees it die would still write its batches to the spool.
        for pid in (*offspring, process.pid):
            send(pid, signal.SIGKILL)
        stack.servers.redis.restart()
    return oracle.verify(stack, history)


def asked_again(stack: Stack, seed: int) -> list[str]:
    """Gateways die under clients that ask again."""
    rng = random.Random(seed)
    with load.loaded(stack, seed, clickers=1) as history:
        for _ in range(2):
            time.sleep(rng.uniform(0.5, 1.0))
            stack.kill("gateway", rng)
    return oracle.verify(stack, history)


CONTROLS = (
    Control(
        "checkpoint compare",
        twins,
        Patch("db/flush.py", " AND c.last_id = u.since", ""),
        "set aside",
        # As behind a pooler that gives the lock's connection away.
        (Patch("workers/flush.py", "pg_try_advisory_lock(", "pg_try_advisory_lock_shared("),),
    ),
    Control(
        "click dedupe",
        sent_twice_unmarked,
        Patch(
            "db/flush.py",
            "ON CONFLICT (day, click_id) DO NOTHING RETURNING",
            "RETURNING",
        ),
        "set aside",
    ),
    Control(
        "trim after commit",
        database_dies,
        Patch(
            "workers/flush.py",
            "applied = await self._flush.apply(self._db, portions)",
            "for portion in portions:\n"
            "                end = _next(portion.entries[-1].id)\n"
            '                await self._redis.call("XTRIM", portion.stream, "MINID", end)\n'
            "            applied = await self._flush.apply(self._db, portions)",
        ),
        "is lost",
    ),
    Control(
        "retries from the spool",
        redis_dies,
        Patch("redirector/replay.py", "await replay(redis, own, replicas)", "own.rotate()"),
        "the spool is empty",
    ),
    Control(
        "replay mark",
        sent_twice,
        Patch("db/lua/click_batch.lua", "== 1 then return 0 end", "== 1 then end"),
        "live clicks",
    ),
    Control(
        "acknowledgement before answer",
        both_die_at_once,
        Patch(
            "redirector/commit.py",
            "        flight.deadline = self._loop.call_later(",
            "        self._finish(flight, None, _REDIS)\n"
            "        flight.deadline = self._loop.call_later(",
        ),
        "is lost",
        chosen={"click_deadline_ms": "5000"},
    ),
    Control(
        "idempotency marker",
        asked_again,
        Patch("db/lua/points_commit.lua", "if not first then", "if true then"),
        "stored 2 times",
    ),
)
