"""All of Stampgate as its own processes on throw-away servers, and the means to hurt it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, TypeVar

import asyncpg
import redis as redis_py

from core import ids, keyring, settings
from core.settings import Settings
from db import members, webhooks
from db.members import NewMember
from db.migrate import migrate
from deploy.local import demo, environment
from deploy.local.postgres import Postgres
from deploy.local.processes import Process
from deploy.local.redis_server import Redis
from deploy.local.servers import Servers, throwaway
from deploy.local.stack import App, is_ready
from tests.sources import ROOT
from tests.workers.receivers import SECRET

T = TypeVar("T")

APPS = ("gateway", "redirector", "workers")
# Role → the app whose parent starts it, and the end of its command line.
ROLES = {
    "redirector": ("redirector", ("redirector", "--worker")),
    "gateway": ("gateway", ("gateway", "--worker")),
    "flusher": ("workers", ("workers", "flush")),
    "relay": ("workers", ("workers", "relay")),
    "schedule": ("workers", ("workers", "schedule")),
    "jobs": ("workers", ("workers", "jobs")),
}
# Names the folder in which points are armed (tests/chaos/points.py).
FLAGS = "CHAOS_FLAGS"
SERVERS = ("redis", "postgres", "queue")
MEMBERS = 60
READY_S = 30.0
# Above those of `tests.ports`, and of the buses of Redis clusters on them.
PORTS = (29_000, 32_000)


class Seeded(NamedTuple):
    """What there is to click and to award to."""

    token: str
    program: str
    members: list[str]


class Stack:
    """Started servers and apps. Everything here blocks; load runs in a thread of its own."""

    def __init__(
        self, servers: Servers, folder: Path, source: Path, chosen: dict[str, str]
    ) -> None:
        self.servers = servers
        self.folder = folder
        self.source = source
        self._reserved = reserve_ports(len(environment.PORTS))
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.fspath(source),
            "STAMPGATE_DATABASE_URL": servers.database_url,
            "STAMPGATE_MIGRATE_URL": servers.migrate_url,
            "STAMPGATE_FLUSH_URL": servers.flush_url,
            "STAMPGATE_REDIS_URL": servers.redis_url,
            "STAMPGATE_QUEUE_URL": servers.queue_url,
            "STAMPGATE_KEYRING_FILE": os.fspath(folder / "keyring.json"),
            "STAMPGATE_SPOOL_DIR": os.fspath(folder / "spool"),
            "STAMPGATE_OUTBOUND_ALLOW": "127.0.0.1",
            "STAMPGATE_WEBHOOK_SCHEDULE_S": "0,1,1,1,1,1,1,1",
            "STAMPGATE_SHUTDOWN_TIMEOUT_S": "5",
            FLAGS: os.fspath(folder / "flags"),
            "STAMPGATE_GATEWAY_PROCESSES": "2",
            "STAMPGATE_REDIRECTOR_PROCESSES": "2",
            **{
                settings.PREFIX + field.upper(): str(reserved.getsockname()[1])
                for (_, field), reserved in zip(environment.PORTS, self._reserved, strict=True)
            },
            **{settings.PREFIX + name.upper(): value for name, value in chosen.items()},
        }
        self.settings: Settings = settings.load(self.env)
        self.apps: dict[str, Process] = {}
        self.seeded: Seeded

    def prepare(self, webhook_url: str | None = None) -> None:
        """Migrate, and make a program with links and members."""
        Path(self.env[FLAGS]).mkdir()
        environment.make_keyring(Path(self.settings.keyring_file))
        asyncio.run(migrate(self.settings.migration_url))
        self.seeded = asyncio.run(seed(self.settings, webhook_url))

    def start_all(self) -> None:
        """Start all apps, and wait until they are ready; TimeoutError with their last lines."""
        self.let_ports_go()
        for app in APPS:
            self.start(app)
        try:
            self.wait_ready()
        except TimeoutError as error:
            error.add_note(self.tails())
            raise

    def let_ports_go(self) -> None:
        """The apps need the ports that were reserved for them."""
        for reserved in self._reserved:
            reserved.close()

    def start(self, app: str) -> None:
        """Start an app's parent."""
        log = self.folder / "logs" / f"{app}.log"
        log.parent.mkdir(exist_ok=True)
        command = [sys.executable, "-m", app]
        self.apps[app] = Process(app, command, log=log, env=self.env, cwd=self.source)

    def wait_ready(self) -> None:
        """Wait until the API and the redirector are, and award partitions are open."""
        for name in set(APPS[:2]) & self.apps.keys():
            until(partial(self.is_ready, name), READY_S, f"{name} gets ready")

    def is_ready(self, app: str) -> bool:
        """Whether the gateway or the redirector says so; the gateway, that it decides awards."""
        port = getattr(self.settings, f"{app}_port")
        return is_ready(App(app, (), "127.0.0.1", port))

    def stop(self) -> None:
        """Stop the apps; their children go with them."""
        for process in self.apps.values():
            process.send(signal.SIGCONT)
            process.send(signal.SIGTERM)
        for process in self.apps.values():
            process.stop(8)

    def server(self, name: str) -> Postgres | Redis:
        """The server of one of SERVERS."""
        found: Postgres | Redis = getattr(self.servers, name)
        return found

    def pids(self, role: str) -> list[int]:
        """The processes that play a role now."""
        app, words = ROLES[role]
        return [
            pid for pid, command in children(self.apps[app].pid) if words == tuple(command[2:4])
        ]

    def kill(self, role: str, rng: random.Random) -> None:
        """Kill -9 one process of a role, or a server, which comes back after a while."""
        if role in SERVERS:
            server = self.server(role)
            server.kill()
            time.sleep(rng.uniform(0.0, 0.5))
            server.start()
        else:
            found = until(lambda: self.pids(role), READY_S, f"{role} runs")
            send(rng.choice(found), signal.SIGKILL)

    def kill_app(self, app: str) -> None:
        """Kill -9 an app's parent and all its children."""
        parent = self.apps.pop(app)
        offspring = [pid for pid, _ in children(parent.pid)]
        parent.kill()
        for pid in offspring:
            send(pid, signal.SIGKILL)

    def redis(self) -> redis_py.Redis:
        """A client of the state server that answers in bytes."""
        return redis_py.Redis.from_url(self.servers.redis_url)

    def tails(self) -> str:
        """The last lines of all apps, to show beside a failure."""
        return "\n".join(f"--- {name}\n{app.tail(25)}" for name, app in self.apps.items())


@contextlib.contextmanager
def running(
    source: Path = ROOT, *, webhook_url: str | None = None, **chosen: str
) -> Iterator[Stack]:
    """A stack that is ready, run from `source`; keywords are settings."""
    with (
        throwaway(fsync=True, durability="always") as servers,
        tempfile.TemporaryDirectory(prefix="stampgate-chaos-") as folder,
    ):
        stack = Stack(servers, Path(folder), source, chosen)
        try:
            stack.prepare(webhook_url)
            stack.start_all()
            yield stack
        finally:
            stack.let_ports_go()
            stack.stop()


async def seed(chosen: Settings, webhook_url: str | None) -> Seeded:
    """The demo with more members, and an endpoint that hears of reversals."""
    made = await demo.seed(chosen)
    ring = keyring.parse(Path(chosen.keyring_file).read_bytes())
    db = await asyncpg.connect(chosen.migration_url)
    try:
        found = []
        async with db.transaction():
            for number in range(MEMBERS):
                member_id = ids.new("member", time.time_ns() // 1_000_000, os.urandom(10))
                new = NewMember(external_id=f"chaos-{number}")
                found.append((await members.upsert(db, ring, made.program, member_id, new)).id)
            if webhook_url is not None:
                wanted = webhooks.NewEndpoint(url=webhook_url, events=["award.reversed"])
                await webhooks.add(db, ring, made.program, "whk_chaos", wanted, SECRET)
    finally:
        await db.close()
    return Seeded(made.token, made.program, found)


def reserve_ports(count: int) -> list[socket.socket]:
    """Sockets bound to ports below those that the kernel gives to clients."""
    found: list[socket.socket] = []
    while len(found) < count:
        probe = socket.socket()
        try:
            probe.bind(("127.0.0.1", random.randrange(*PORTS)))
        except OSError:
            probe.close()
        else:
            found.append(probe)
    return found


def children(parent: int) -> list[tuple[int, list[str]]]:
    """The running children of a process: pid and command line."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            with contextlib.suppress(OSError):
                state, ppid = (entry / "stat").read_text().rpartition(")")[2].split()[:2]
                if int(ppid) == parent and state != "Z":
                    command = (entry / "cmdline").read_bytes().decode().split("\0")
                    found.append((int(entry.name), command))
    return found


def send(pid: int, number: signal.Signals) -> None:
    """Send a signal; a process that has ended takes no harm."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


def until(is_so: Callable[[], T], timeout_s: float, what: str) -> T:
    """Wait until a condition holds; its value."""
    deadline = time.monotonic() + timeout_s
    while not (value := is_so()):
        if time.monotonic() > deadline:
            message = f"waited {timeout_s} s in vain until {what}"
            raise TimeoutError(message)
        time.sleep(0.02)
    return value
