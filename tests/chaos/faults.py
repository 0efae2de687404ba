"""What the long battery does to a stack besides plain kills."""

from __future__ import annotations

import random
import signal
import time
from collections.abc import Callable

from tests.chaos.stack import ROLES, SERVERS, Stack, send, until

Fault = Callable[[Stack, random.Random], None]
HANG_S = 3.0


def kill(name: str) -> Fault:
    """Kill -9 one process."""
    return lambda stack, rng: stack.kill(name, rng)


def end(role: str) -> Fault:
    """Have one process end in order; its parent replaces it."""

    def do(stack: Stack, rng: random.Random) -> None:
        send(rng.choice(found(stack, role)), signal.SIGTERM)

    return do


def hang(role: str) -> Fault:
    """Let one process sleep for longer than others wait for it."""

    def do(stack: Stack, rng: random.Random) -> None:
        sleep(rng.choice(found(stack, role)), rng)

    return do


def hang_redis(stack: Stack, rng: random.Random) -> None:
    """Let Redis sleep."""
    process = stack.servers.redis.process
    assert process is not None
    sleep(process.pid, rng)


def kill_redis_at_its_rewrite(stack: Stack, rng: random.Random) -> None:
    """Kill Redis while it writes its log anew."""
    with stack.redis() as client:
        client.bgrewriteaof()
    stack.kill("redis", rng)


def kill_app(app: str) -> Fault:
    """Kill -9 a parent with all its children, and start it again."""

    def do(stack: Stack, _rng: random.Random) -> None:
        stack.kill_app(app)
        stack.start(app)

    return do


def found(stack: Stack, role: str) -> list[int]:
    """The processes that play a role, as soon as there is one."""
    return until(lambda: stack.pids(role), 30, f"{role} runs")


def sleep(pid: int, rng: random.Random) -> None:
    """Stop a process for a while."""
    send(pid, signal.SIGSTOP)
    time.sleep(rng.uniform(0.05, HANG_S))
    send(pid, signal.SIGCONT)


FAULTS: dict[str, Fault] = {
    **{f"kill {name}": kill(name) for name in (*ROLES, *SERVERS)},
    **{f"end {role}": end(role) for role in ROLES},
    **{f"hang {role}": hang(role) for role in ("redirector", "gateway", "flusher")},
    **{f"kill all of {app}": kill_app(app) for app in ("redirector", "gateway", "workers")},
    "hang redis": hang_redis,
    "kill redis at its rewrite": kill_redis_at_its_rewrite,
}
