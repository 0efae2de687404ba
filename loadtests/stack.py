"""The benchmark's own stack: new servers that sync to disk, one process of each app, all of it
thrown away afterwards.

The flusher runs only where it is measured: it would share its core with what is measured elsewhere.
"""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Literal

import redis as redis_py

from core.settings import PREFIX, Settings
from db import keys, points
from db.redis import Connection
from deploy.local import environment, folders
from deploy.local.postgres import Postgres
from deploy.local.processes import Process
from deploy.local.stack import App, StackFailed, explain, is_ready
from loadtests import cores, seed
from loadtests.seed import Seed

Durability = Literal["always", "everysec"]
HOST: Final = "127.0.0.1"
READY_TIMEOUT_S: Final = 60.0
STOP_TIMEOUT_S: Final = 15.0
STREAMS: Final = (
    *(keys.award_stream(number) for number in range(keys.AWARD_PARTITIONS)),
    *(keys.click_stream(number) for number in range(keys.CLICK_PARTITIONS)),
)


class BenchStack:
    """The running stack; made by `running`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        ports = {
            f"{PREFIX}{name}_PORT": str(free_port())
            for name in (
                *("GATEWAY", "REDIRECTOR"),
                *("GATEWAY_METRICS", "REDIRECTOR_METRICS", "WORKERS_METRICS"),
            )
        }
        own = {name: value for name, value in os.environ.items() if not name.startswith(PREFIX)}
        prepared = environment.prepare(
            folder,
            own
            | ports
            | {
                f"{PREFIX}KEYRING_FILE": str(folder / "keyring.json"),
                f"{PREFIX}SPOOL_DIR": str(folder / "spool"),
                f"{PREFIX}LOG_LEVEL": "warning",
                f"{PREFIX}RATE_ANONYMOUS_PER_MINUTE": "0",
            },
        )
        self._servers = prepared.servers
        self._variables = prepared.variables
        self._running: dict[str, Process] = {}
        self.settings: Settings = prepared.settings
        self.gateway = App("gateway", _module("gateway"), HOST, self.settings.gateway_port)
        self.redirector = App(
            "redirector", _module("redirector"), HOST, self.settings.redirector_port
        )
        # The same without the fast lane.
        self.ordinary = App("redirector-ordinary", _module("redirector"), HOST, free_port())
        self._own_variables = {
            self.ordinary.name: {
                f"{PREFIX}REDIRECTOR_PORT": str(self.ordinary.port),
                f"{PREFIX}REDIRECTOR_METRICS_PORT": str(free_port()),
                f"{PREFIX}FAST_LANE": "false",
            }
        }
        self.seed: Seed

    def start(self) -> None:
        """Start servers, store the seed, start the apps; raises StackFailed or ServerFailed."""
        (self.folder / "logs").mkdir()
        for server in self._servers:
            server.start()
        environment.make_keyring(Path(self.settings.keyring_file))
        self._run("migrate", [sys.executable, "-m", "deploy.cli", "migrate"])
        self.seed = asyncio.run(seed.sow(self.settings))
        for app in self._apps:
            self.start_app(app)
        self.fill()

    @property
    def _apps(self) -> tuple[App, ...]:
        return self.gateway, self.redirector, self.ordinary

    def start_app(self, app: App, processes: int = 1) -> None:
        """Start an app with so many workers on the server's core, or several on all."""
        self._variables[f"{PREFIX}{app.name.upper()}_PROCESSES"] = str(processes)
        with cores.pinned(cores.serving(processes)):
            self._spawn(app.name, list(app.command))

    def restart(self, app: App, processes: int = 1) -> None:
        """New workers of an app, ready."""
        self._stop(app.name)
        self.start_app(app, processes)
        self._wait_ready(app)

    def workers(self, app: App) -> list[int]:
        """The pids of the processes that answer."""
        return cores.workers(self._running[app.name].pid)

    def fill(self) -> None:
        """Begin again with an empty Redis, which the flusher fills from PostgreSQL."""
        with self.redis() as client:
            client.flushall()
            self._shorten_log(client)
        self.start_flusher()
        for app in self._apps:
            self._wait_ready(app)
        self.stop_flusher()
        asyncio.run(self._open_accounts())

    def empty_streams(self) -> None:
        """Forget what was recorded, lest Redis grow from one measurement to the next."""
        with self.redis() as client:
            client.unlink(*STREAMS)

    @contextmanager
    def flushing(self) -> Iterator[None]:
        """The flusher at work on a Redis that it has filled, beside what is measured."""
        self.fill()
        self.start_flusher()
        try:
            yield
        finally:
            self.stop_flusher()

    def replace(self, app: App) -> None:
        """Have the app replace its workers, on the sockets that stay."""
        os.kill(self._running[app.name].pid, signal.SIGHUP)

    def start_flusher(self) -> int:
        """Start the flusher on any core; its pid."""
        with cores.pinned(set(cores.CORES)):
            return self._spawn("flush", [*_module("workers"), "flush"]).pid

    def stop_flusher(self) -> None:
        """Stop it in order."""
        self._stop("flush")

    @contextmanager
    def working(self) -> Iterator[int]:
        """All roles of the workers at work, on any core; the pid of their parent."""
        with cores.pinned(set(cores.CORES)):
            process = self._spawn("workers", _module("workers"))
        try:
            yield process.pid
        finally:
            self._stop("workers")

    def use(self, durability: Durability) -> None:
        """Choose when Redis syncs to disk."""
        with self.redis() as client:
            client.config_set("appendfsync", durability)

    def redis(self) -> redis_py.Redis:
        """A client of the state server."""
        return redis_py.Redis.from_url(self.settings.redis_url)

    def stop(self) -> None:
        """Stop everything and remove its files."""
        for name in tuple(self._running):
            self._stop(name)
        for server in reversed(self._servers):
            server.stop()
            if isinstance(server, Postgres):
                server.erase()
        shutil.rmtree(folders.socket_folder(self.folder), ignore_errors=True)

    async def _open_accounts(self) -> None:
        """As the API does for a new member; else first awards would wait for PostgreSQL."""
        connection = await Connection.open(self.settings.redis_url)
        try:
            state = points.Points(connection, self.settings)
            await state.open_accounts(self.seed.program_id, self.seed.members)
        finally:
            await connection.close()

    def _spawn(self, name: str, command: list[str]) -> Process:
        log = self.folder / "logs" / f"{name}.log"
        variables = self._variables | self._own_variables.get(name, {})
        process = Process(name, command, log=log, env=variables)
        self._running[name] = process
        return process

    @staticmethod
    def _shorten_log(client: redis_py.Redis) -> None:
        """Write Redis's log anew here, because it may not do so while something is measured."""
        client.config_set("auto-aof-rewrite-percentage", 0)
        client.bgrewriteaof()
        deadline = time.monotonic() + READY_TIMEOUT_S
        while client.info("persistence")["aof_rewrite_in_progress"]:
            if time.monotonic() > deadline:
                raise StackFailed("Redis does not write its log anew")
            time.sleep(0.02)

    def _run(self, name: str, command: list[str]) -> None:
        process = self._spawn(name, command)
        if not process.ends_within(READY_TIMEOUT_S) or process.exit_code != 0:
            raise StackFailed(explain(process))
        del self._running[name]

    def _wait_ready(self, app: App) -> None:
        deadline = time.monotonic() + READY_TIMEOUT_S
        while not is_ready(app):
            process = self._running[app.name]
            if not process.is_alive or time.monotonic() > deadline:
                raise StackFailed(f"{app.name} does not get ready:\n{process.tail()}")
            time.sleep(0.05)

    def _stop(self, name: str) -> None:
        self._running.pop(name).stop(STOP_TIMEOUT_S)


@contextmanager
def running() -> Iterator[BenchStack]:
    """A stack in a temporary folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="stampgate-bench-"))
    stack = BenchStack(folder)
    try:
        stack.start()
        yield stack
    finally:
        stack.stop()
        shutil.rmtree(folder, ignore_errors=True)


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with socket.socket() as probe:
        probe.bind((HOST, 0))
        port: int = probe.getsockname()[1]
        return port


def _module(name: str) -> list[str]:
    return [sys.executable, "-m", name]
