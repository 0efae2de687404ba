"""The parent of an app's processes.

It binds the listening sockets and keeps them, so that connections wait in the queue of a killed
worker until its replacement accepts them; it replaces children that end, passes signals on, and
serves `/metrics` summed over all of them. A child's metrics live in files named after its seat
(`gateway-0`), not its pid: the replacement goes on counting where the dead one stopped.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import errno
import fcntl
import logging
import os
import shutil
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client import CollectorRegistry, Counter, start_http_server
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

LISTEN_FD: Final = "STAMPGATE_LISTEN_FD"
PARENT_PID: Final = "STAMPGATE_PARENT_PID"
SEAT: Final = "STAMPGATE_SEAT"
METRICS_DIR: Final = "PROMETHEUS_MULTIPROC_DIR"

BACKLOG: Final = 4096
DELAY_FIRST_S: Final = 0.1
DELAY_MAX_S: Final = 5.0
# A child that lived this long was not part of a crash loop.
SETTLED_S: Final = 30.0
_PR_SET_PDEATHSIG: Final = 1

log: Final = logging.getLogger("stampgate.parent")


class Child(NamedTuple):
    """A seat: what runs in it, and which of the bound sockets it serves, if any."""

    name: str
    argv: Sequence[str]
    socket_index: int | None = None


class Address(NamedTuple):
    """Where to listen, and the setting to name when that is impossible."""

    host: str
    port: int
    setting: str


class CannotListen(Exception):
    """The address cannot be bound; the message names the port and the setting."""


def run_parent(
    name: str,
    children: Sequence[Child],
    *,
    listen: Sequence[Address],
    metrics: Address,
    shutdown_timeout_s: float,
) -> int:
    """Run the children until SIGTERM or SIGINT; the exit code: 0, or 1 when a port is taken.

    `listen` has one address for each `socket_index`; equal addresses share their port.
    """
    try:
        sockets = bind(listen)
        with _metrics_folder(name) as folder:
            restarts = _serve_metrics(metrics, folder)
            parent = _Parent(children, sockets, folder, shutdown_timeout_s, restarts)
            asyncio.run(parent.run())
    except CannotListen as error:
        sys.stderr.write(f"{name}: {error}\n")
        return 1
    return 0


def bind(addresses: Sequence[Address]) -> list[socket.socket]:
    """One listening SO_REUSEPORT socket for each address, or raise CannotListen."""
    for address in set(addresses):
        # Without SO_REUSEPORT, so that the port of another installation is noticed.
        _bound(address, reuse_port=False).close()
    sockets = [_bound(address, reuse_port=True) for address in addresses]
    for sock in sockets:
        sock.listen(BACKLOG)
    return sockets


def enter(environ: Mapping[str, str]) -> None:
    """The first act of a child: it shall not outlive its parent. Does nothing when run alone."""
    if PARENT_PID in environ:
        die_with_parent(int(environ[PARENT_PID]))


def die_with_parent(expected_ppid: int) -> None:
    """Ask the kernel for SIGTERM when the parent ends; exit now if it has ended already."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != expected_ppid:
        sys.exit(0)


def inherited_socket(environ: Mapping[str, str]) -> socket.socket:
    """The listening socket that the parent passed to this child."""
    sock = socket.socket(fileno=int(environ[LISTEN_FD]))
    sock.setblocking(False)
    sock.set_inheritable(False)
    return sock


class _Parent:
    def __init__(
        self,
        children: Sequence[Child],
        sockets: Sequence[socket.socket],
        folder: str,
        shutdown_timeout_s: float,
        restarts: Counter,
    ) -> None:
        self._children = children
        self._sockets = sockets
        self._folder = folder
        self._shutdown_timeout_s = shutdown_timeout_s
        self._restarts = restarts
        self._running: dict[str, asyncio.subprocess.Process] = {}
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Keep every seat taken until told to stop; then end all children."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        seats = [asyncio.create_task(self._keep(child)) for child in self._children]
        await self._stopping.wait()
        self._signal_all(signal.SIGTERM)
        for sock in self._sockets:
            # From now on a client is told at once that nobody will answer.
            sock.close()
        _, late = await asyncio.wait(seats, timeout=self._shutdown_timeout_s)
        if late:
            log.warning("killing children that did not stop: %s", ", ".join(self._running))
            self._signal_all(signal.SIGKILL)
        await asyncio.gather(*seats)

    async def _keep(self, child: Child) -> None:
        delay = DELAY_FIRST_S
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._run_once(child)
            if self._stopping.is_set():
                return
            self._restarts.labels(child.name).inc()
            if time.monotonic() - started >= SETTLED_S:
                delay = DELAY_FIRST_S
            log.error("%s ended (%s), replacing it in %.1f s", child.name, _cause(status), delay)
            await self._pause(delay)
            delay = min(2 * delay, DELAY_MAX_S)

    async def _run_once(self, child: Child) -> int:
        sock = None if child.socket_index is None else self._sockets[child.socket_index]
        try:
            process = await asyncio.create_subprocess_exec(
                *child.argv,
                env=self._environment(child, sock),
                pass_fds=() if sock is None else (sock.fileno(),),
                # Ctrl-C reaches the parent alone, and the children as one orderly SIGTERM.
                process_group=0,
            )
        except OSError as error:
            log.warning("%s cannot be started: %s", child.name, error.strerror)
            return os.EX_OSERR
        self._running[child.name] = process
        if self._stopping.is_set():
            process.terminate()
        try:
            return await process.wait()
        finally:
            del self._running[child.name]
            # The file of a live gauge goes, the totals stay.
            mark_process_dead(child.name, self._folder)  # type: ignore[no-untyped-call] # no hints

    def _environment(self, child: Child, sock: socket.socket | None) -> dict[str, str]:
        environment = dict(os.environ)
        environment[METRICS_DIR] = self._folder
        environment[SEAT] = child.name
        environment[PARENT_PID] = str(os.getpid())
        environment.pop(LISTEN_FD, None)
        if sock is not None:
            environment[LISTEN_FD] = str(sock.fileno())
        return environment

    async def _pause(self, delay_s: float) -> None:
        try:
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()
        except TimeoutError:
            return

    def _signal_all(self, number: signal.Signals) -> None:
        for process in list(self._running.values()):
            if process.returncode is None:
                process.send_signal(number)


def _bound(address: Address, *, reuse_port: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in address.host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if reuse_port:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        sock.bind((address.host, address.port))
    except OSError as error:
        sock.close()
        raise _cannot_listen(address, error) from error
    return sock


def _serve_metrics(address: Address, folder: str) -> Counter:
    """Serve what the children write into `folder`; returns the parent's own counter."""
    registry = CollectorRegistry()
    MultiProcessCollector(registry, path=folder)  # type: ignore[no-untyped-call] # no hints
    restarts = Counter(
        "stampgate_child_restarts",
        "Children that ended unasked and were replaced.",
        ["child"],
        registry=registry,
    )
    try:
        start_http_server(address.port, address.host, registry=registry)
    except OSError as error:
        raise _cannot_listen(address, error) from error
    return restarts


@contextlib.contextmanager
def _metrics_folder(name: str) -> Iterator[str]:
    """A folder for this run, held by a lock; those that killed parents left are removed."""
    temp = Path(tempfile.gettempdir())
    for left in temp.glob(f"stampgate-{name}-*"):
        _remove_unless_held(left)
    fresh = Path(tempfile.mkdtemp(prefix=".stampgate-"))
    lock = os.open(fresh, os.O_RDONLY)
    fcntl.flock(lock, fcntl.LOCK_EX)
    # Found by others only under its second name, when it is locked already.
    folder = fresh.rename(temp / fresh.name.replace(".stampgate-", f"stampgate-{name}-"))
    try:
        yield str(folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _remove_unless_held(folder: Path) -> None:
    try:
        lock = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        shutil.rmtree(folder, ignore_errors=True)
    except BlockingIOError:
        return
    finally:
        os.close(lock)


def _cannot_listen(address: Address, error: OSError) -> CannotListen:
    taken = error.errno == errno.EADDRINUSE
    cause = "is already in use" if taken else f"on {address.host}: {error.strerror}"
    return CannotListen(f"port {address.port} {cause} ({address.setting})")


def _cause(status: int) -> str:
    return signal.Signals(-status).name if status < 0 else f"exit code {status}"
