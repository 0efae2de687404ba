"""What one run has started: started in order, watched, stopped in order."""

from __future__ import annotations

import http.client
import json
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from deploy.local import processes
from deploy.local.postgres import Postgres
from deploy.local.processes import Process
from deploy.local.redis_server import Redis

READY_TIMEOUT_S = 60.0
# Seconds after the first signal until when each kind may take; after five nothing may be left.
APPS_UNTIL_S, WORKERS_UNTIL_S, SERVERS_UNTIL_S = 2.0, 2.8, 4.0


class App(NamedTuple):
    """One app of ours, and where its `/health/ready` answers if it has one."""

    name: str
    command: Sequence[str]
    host: str = ""
    port: int = 0


class StackFailed(Exception):
    """The run cannot start or go on; the message says why."""


class Stack:
    """The servers and apps of one run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._begun = time.monotonic()
        self._servers: list[Postgres | Redis] = []
        self._apps: list[Process] = []

    @property
    def _processes(self) -> list[Process]:
        running = [server.process for server in self._servers if server.process is not None]
        return [*running, *self._apps]

    def say(self, message: str) -> None:
        """Print a line of progress."""
        print(f"{time.monotonic() - self._begun:5.1f} s  {message}", flush=True)

    def start_server(self, server: Postgres | Redis) -> None:
        """Start a server of ours; raises ServerFailed."""
        self.say(f"starting {server.name}")
        self._servers.append(server)
        server.start()
        self._record()

    def start_app(self, app: App, env: Mapping[str, str]) -> None:
        """Start an app; `wait_ready` tells whether it came up."""
        self.say(f"starting {app.name}")
        self._spawn(app.name, app.command, env)

    def run(self, name: str, arguments: Sequence[str], env: Mapping[str, str]) -> None:
        """Run one of our Python commands to its end; raises StackFailed with what it printed."""
        self.say(name)
        process = self._spawn(name, [sys.executable, *arguments], env)
        while process.is_alive:
            self._wait_for_an_end()
            self._check([other for other in self._processes if other is not process])
        self._apps.remove(process)
        if process.exit_code != 0:
            raise StackFailed(explain(process))

    def wait_ready(self, app: App) -> None:
        """Ask an app until it is ready; raises StackFailed when it does not, or one ended."""
        deadline = time.monotonic() + READY_TIMEOUT_S
        while app.port and not is_ready(app):
            self._check(self._processes)
            if time.monotonic() > deadline:
                process = next(process for process in self._apps if process.name == app.name)
                raise StackFailed(f"{app.name} does not get ready:\n{process.tail()}")
            time.sleep(0.05)

    def watch(self) -> None:
        """Wait until something ends, which raises StackFailed naming it."""
        while True:
            self._wait_for_an_end()
            self._check(self._processes)

    def stop(self) -> None:
        """Stop those who take requests, then the workers, then the servers."""
        begun = time.monotonic()
        workers = [process for process in self._apps if process.name == "workers"]
        stop_all([app for app in self._apps if app not in workers], begun + APPS_UNTIL_S)
        stop_all(workers, begun + WORKERS_UNTIL_S)
        for server in reversed(self._servers):
            server.stop(begun + SERVERS_UNTIL_S - time.monotonic())

    def _spawn(self, name: str, command: Sequence[str], env: Mapping[str, str]) -> Process:
        logs = self._folder / "logs"
        logs.mkdir(exist_ok=True)
        process = Process(name, command, log=logs / f"{name}.log", env=env)
        self._apps.append(process)
        self._record()
        return process

    def _record(self) -> None:
        processes.record(self._folder / processes.RECORDS, self._processes)

    def _check(self, running: Sequence[Process]) -> None:
        for process in running:
            if not process.is_alive:
                raise StackFailed(explain(process))

    def _wait_for_an_end(self) -> None:
        """Wait until a child ends. As process 1 of a container we also inherit strangers."""
        ended = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOWAIT)
        if ended is not None and ended.si_pid not in {process.pid for process in self._processes}:
            os.waitpid(ended.si_pid, 0)


def stop_all(running: Sequence[Process], deadline: float) -> None:
    """Ask all to end at once, and kill those that still run at `deadline` (monotonic seconds)."""
    for process in running:
        process.send(process.stop_signal)
    for process in running:
        process.ends_within(deadline - time.monotonic())
        process.kill()


def explain(process: Process) -> str:
    """How a process ended, and the last that it said."""
    code = process.exit_code or 0
    end = f"was killed by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"
    return f"{process.name} {end}; the end of {process.log}:\n{process.tail()}"


def is_ready(app: App) -> bool:
    """Whether the app's `/health/ready` answers 200, and no part of it is still closed."""
    connection = http.client.HTTPConnection(reachable(app.host), app.port, timeout=2.0)
    try:
        connection.request("GET", "/health/ready")
        answer = connection.getresponse()
        document = json.loads(answer.read())
        return answer.status == http.HTTPStatus.OK and document.get("awards", "open") == "open"
    except (OSError, ValueError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def reachable(host: str) -> str:
    """Where to reach a server that listens on `host`, which may stand for all addresses."""
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
