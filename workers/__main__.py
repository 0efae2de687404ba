"""`python -m workers` runs all roles under one parent, `python -m workers ROLE` runs one."""

from __future__ import annotations

import asyncio
import importlib
import os
import signal
import sys
from typing import Final

import uvloop

from core import settings as settings_
from core.errors import BadKeyRing, BadSetting
from core.settings import Settings
from web import child, logs, parent

BAD_START: Final = 2
ROLES: Final = ("flush", "relay", "schedule", "jobs")


def main() -> int:
    """The exit code: 2 for a bad setting or an unknown role."""
    try:
        settings = settings_.load(os.environ)
    except BadSetting as error:
        sys.stderr.write(f"workers: {error}\n")
        return BAD_START
    match sys.argv[1:]:
        case []:
            return run_parent(settings)
        case [role] if role in ROLES:
            return run_role(role, settings)
        case _:
            sys.stderr.write(f"usage: python -m workers [{'|'.join(ROLES)}]\n")
            return BAD_START


def run_parent(settings: Settings) -> int:
    """Keep one process for each role."""
    logs.start(settings.log_level)
    metrics = parent.Address(
        settings.metrics_host, settings.workers_metrics_port, "STAMPGATE_WORKERS_METRICS_PORT"
    )
    return parent.run_parent(
        "workers",
        [parent.Child(role, [sys.executable, "-m", "workers", role]) for role in ROLES],
        listen=(),
        metrics=metrics,
        shutdown_timeout_s=settings.shutdown_timeout_s,
    )


def run_role(role: str, settings: Settings) -> int:
    """Do one role's work until SIGTERM or SIGINT."""
    child.enter(os.environ)
    logs.start(settings.log_level)
    # Each role loads only what it needs.
    module = importlib.import_module(f"workers.{role}")
    child.spare_collector()

    async def serve() -> None:
        stop = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stop.set)
        # Before the first lock or message: a role's work passes over when its predecessor ends.
        child.say_ready(os.environ)
        await module.run(settings, stop)

    try:
        uvloop.run(serve())
    except (BadKeyRing, OSError) as error:
        sys.stderr.write(f"workers: {error}\n")
        return BAD_START
    return 0


if __name__ == "__main__":
    sys.exit(main())
