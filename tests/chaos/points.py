"""Points in the code at which a process is killed: lines put into a copy of the source.

A point is armed by a file of its name; the first process that comes by takes the file and dies.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from db import keys
from tests.chaos.source import Patch
from tests.chaos.stack import FLAGS, Stack, send, until

HIT_S = 20.0
# What a dead worker was doing is soon done by another, as a test cannot wait for a minute.
SOON = Patch("db/outbox.py", "RESEND_AFTER_S: Final = 60", "RESEND_AFTER_S: Final = 5")
# What the copied processes run at a point. It costs a failed `unlink` when nothing is armed.
MODULE = """
import os, signal

def is_armed(name):
    try:
        os.unlink(os.path.join(os.environ["CHAOS_FLAGS"], name))
    except FileNotFoundError:
        return False
    return True

def hit(name):
    if is_armed(name):
        os.kill(os.getpid(), signal.SIGKILL)
"""

Provoke = Callable[[Stack], None]


class Point(NamedTuple):
    """Where a process is killed: `patch.new` says `HIT` at the place. `provoke` leads there."""

    name: str
    patch: Patch
    provoke: Provoke

    @property
    def applied(self) -> Patch:
        """The patch with the call in it."""
        call = f'__import__("chaos_points").hit("{self.name}")'
        armed = f'__import__("chaos_points").is_armed("{self.name}")'
        return self.patch._replace(new=self.patch.new.replace("HIT", call).replace("ARMED", armed))


def nothing(_stack: Stack) -> None:
    """The load leads there by itself."""


def hang_redis(stack: Stack) -> None:
    """Redis hangs for a moment, long enough for the spool."""
    process = stack.servers.redis.process
    assert process is not None
    send(process.pid, signal.SIGSTOP)
    time.sleep(0.3)
    send(process.pid, signal.SIGCONT)


def close_partitions(stack: Stack) -> None:
    """All award partitions are closed, so that the flusher rebuilds them."""
    with stack.redis() as client:
        for number in range(keys.AWARD_PARTITIONS):
            client.hset(keys.award_head(number), "open", "0")


def before(path: str, text: str, indent: int) -> Patch:
    """Die before the line that begins with `text`."""
    return Patch(path, text, f"HIT\n{' ' * indent}{text}")


POINTS = (
    Point(
        "gateway-before-script",
        before(
            "gateway/awards.py", "new = problem.decode(decoder, await read(call), quotes=quotes)", 4
        ),
        nothing,
    ),
    Point(
        "gateway-between-script-and-answer",
        before("gateway/awards.py", "return answers.decided(award(ask, decision), decision)", 4),
        nothing,
    ),
    Point(
        "gateway-between-script-and-fast-answer",
        before("gateway/hot.py", "self._accept(order, outcome.decision())", 12),
        nothing,
    ),
    Point(
        "redirector-before-sending",
        Patch(
            "redirector/commit.py",
            "def _send(self, flight: _Flight) -> None:\n",
            "def _send(self, flight: _Flight) -> None:\n        HIT\n",
        ),
        nothing,
    ),
    Point(
        "redirector-between-acknowledgement-and-answer",
        before("redirector/commit.py", "self._seconds.observe(seconds)", 8),
        nothing,
    ),
    Point(
        "redirector-before-spooling",
        before("redirector/commit.py", "flight.segment = self._spool.append(flight.batch)", 12),
        hang_redis,
    ),
    Point(
        "redirector-in-the-middle-of-spooling",
        Patch(
            "redirector/spool.py",
            "written = os.write(segment.fd, data)",
            "if ARMED:\n"
            "            os.write(segment.fd, data[: len(data) // 2])\n"
            "            os.kill(os.getpid(), 9)\n"
            "        written = os.write(segment.fd, data)",
        ),
        hang_redis,
    ),
    Point(
        "redirector-between-spool-and-answer",
        before("redirector/commit.py", "self._finish(flight, None, _SPOOL)", 12),
        hang_redis,
    ),
    Point(
        "redirector-between-replay-and-deletion",
        before("redirector/replay.py", "path.unlink(missing_ok=True)", 4),
        hang_redis,
    ),
    Point(
        "flusher-before-begin",
        before("workers/flush.py", "applied = await self._flush.apply(self._db, portions)", 12),
        nothing,
    ),
    Point(
        "flusher-before-commit",
        before("db/flush.py", "await _move_sequences(db, portions)", 16),
        nothing,
    ),
    Point(
        "flusher-between-commit-and-trim",
        before("workers/flush.py", 'metrics.flush_seconds.labels("batch")', 8),
        nothing,
    ),
    Point(
        "flusher-not-told-of-its-commit",
        Patch(
            "db/flush.py",
            "return Applied(len(clicks), inserted, len(placed), 0)",
            "if ARMED:\n"
            "            db.terminate()\n"
            "            raise ConnectionResetError\n"
            "        return Applied(len(clicks), inserted, len(placed), 0)",
        ),
        nothing,
    ),
    Point(
        "flusher-in-the-middle-of-a-rebuild",
        before("db/rebuild.py", "report = await _load(", 8),
        close_partitions,
    ),
    Point(
        "flusher-before-a-rebuilt-partition-opens",
        before(
            "db/rebuild.py",
            "await connection.run(\n"
            "        redis.POINTS_HEAD,\n"
            "        (keys.award_head(partition),),\n"
            "        (generation, sequence, connection.run_id, 1),",
            4,
        ),
        close_partitions,
    ),
    Point(
        "relay-between-sending-and-marking",
        Patch(
            "workers/relay.py",
            "await asyncio.to_thread(self._sender.send, tickets)",
            "await asyncio.to_thread(self._sender.send, tickets)\n                HIT",
        ),
        nothing,
    ),
    Point(
        "jobs-before-the-effect",
        before("workers/webhooks.py", "outcome = await attempt(tools, outgoing)", 4),
        nothing,
    ),
    Point(
        "jobs-between-effect-and-marking",
        before("workers/webhooks.py", "metrics.webhook_deliveries.labels(outcome.state).inc()", 4),
        nothing,
    ),
)


def install(source: Path) -> None:
    """Put what the points call beside the packages of a copy."""
    (source / "chaos_points.py").write_text(MODULE)


def arm(stack: Stack, point: Point) -> Path:
    """The next process that comes by dies; the file that it takes."""
    flag = Path(stack.env[FLAGS]) / point.name
    flag.touch()
    return flag


def hit(stack: Stack, point: Point) -> None:
    """Arm a point, lead a process there, and wait until it has been."""
    flag = arm(stack, point)
    deadline = time.monotonic() + HIT_S
    while flag.exists() and time.monotonic() < deadline:
        point.provoke(stack)
        waiting_s = min(1.0, deadline - time.monotonic())
        try:
            until(lambda: not flag.exists(), max(waiting_s, 0.1), f"{point.name} is hit")
        except TimeoutError:
            continue
    assert not flag.exists(), f"nobody came by {point.name}"
