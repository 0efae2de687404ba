"""The parent of an app's processes.

It binds the listening sockets and keeps them, so that connections wait in the queue of a killed
worker until its replacement accepts them; it replaces children that end, passes signals on, and
serves `/metrics` summed over all of them. A child's metrics live in files named after its seat
(`gateway-0a`), not its pid: the replacement goes on counting where the dead one stopped.

On SIGHUP it replaces all children, one seat after another and without an interruption: a successor
starts on the same socket, and only when it says that it serves does its predecessor get SIGTERM,
stop accepting and finish what it accepted. A successor that does not come up changes nothing.
"""

from __future__ import annotations

import asyncio
import contextlib
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

from web.child import LISTEN_FD, METRICS_DIR, PARENT_PID, READY_FD, SEAT

BACKLOG: Final = 4096
DELAY_FIRST_S: Final = 0.1
DELAY_MAX_S: Final = 5.0
# A child that lived this long was not part of a crash loop.
SETTLED_S: Final = 30.0
# A successor that does not serve by then is given up.
START_TIMEOUT_S: Final = 30.0

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
    start_timeout_s: float = START_TIMEOUT_S,
) -> int:
    """Run the children until SIGTERM or SIGINT; the exit code: 0, or 1 when a port is taken.

    `listen` has one address for each `socket_index`; equal addresses share their port.
    """
    # Also before there is anything to replace, and when all is over, it must not kill.
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        sockets = bind(listen)
        with _metrics_folder(name) as folder:
            restarts = _serve_metrics(metrics, folder)
            parent = _Parent(sockets, folder, shutdown_timeout_s, start_timeout_s, restarts)
            asyncio.run(parent.run(children))
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


class _Process:
    """A running child, known by the name of its metrics' files; `ended` will be its status."""

    def __init__(
        self, name: str, process: asyncio.subprocess.Process, ended: asyncio.Task[int]
    ) -> None:
        self.name = name
        self.ended = ended
        self.successor: asyncio.Future[_Process] = ended.get_loop().create_future()
        self._process = process

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended takes no harm."""
        with contextlib.suppress(ProcessLookupError):
            self._process.send_signal(number)


class _Seat:
    """Where one process works; the lock is held while another is to take its place."""

    def __init__(self, child: Child) -> None:
        self.child = child
        self.process: _Process | None = None
        self.lock = asyncio.Lock()


class _Parent:
    def __init__(
        self,
        sockets: Sequence[socket.socket],
        folder: str,
        shutdown_timeout_s: float,
        start_timeout_s: float,
        restarts: Counter,
    ) -> None:
        self._sockets = sockets
        self._folder = folder
        self._shutdown_timeout_s = shutdown_timeout_s
        self._start_timeout_s = start_timeout_s
        self._restarts = restarts
        self._running: dict[str, _Process] = {}
        self._stopping = asyncio.Event()
        self._asked = asyncio.Event()

    async def run(self, children: Sequence[Child]) -> None:
        """Keep every seat taken until told to stop; then end all children."""
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        # Not the loop's handler, whose end would bring back the default, which is to die.
        signal.signal(signal.SIGHUP, lambda *_: loop.call_soon_threadsafe(self._asked.set))
        seats = [_Seat(child) for child in children]
        tasks = [asyncio.create_task(self._keep(seat)) for seat in seats]
        tasks.append(asyncio.create_task(self._roll(seats)))
        await self._stopping.wait()
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        self._asked.set()
        self._signal_all(signal.SIGTERM)
        for sock in self._sockets:
            # From now on a client is told at once that nobody will answer.
            sock.close()
        _, late = await asyncio.wait(tasks, timeout=self._shutdown_timeout_s)
        if late:
            log.warning("killing children that did not stop: %s", ", ".join(self._running))
            self._signal_all(signal.SIGKILL)
        await asyncio.gather(*tasks)

    async def _keep(self, seat: _Seat) -> None:
        """Put a new process in the seat whenever it has become empty."""
        name, delay = seat.child.name, DELAY_FIRST_S
        while not self._stopping.is_set():
            started = time.monotonic()
            status = await self._occupy(seat)
            if self._stopping.is_set():
                return
            self._restarts.labels(name).inc()
            if time.monotonic() - started >= SETTLED_S:
                delay = DELAY_FIRST_S
            log.error("%s ended (%s), replacing it in %.1f s", name, _cause(status), delay)
            await self._pause(delay)
            delay = min(2 * delay, DELAY_MAX_S)

    async def _occupy(self, seat: _Seat) -> int:
        """Start a process in the seat; how it ended, or the last of its successors."""
        async with seat.lock:
            process = seat.process = await self._start(seat.child)
        while process is not None:
            await asyncio.wait(
                (process.ended, process.successor), return_when=asyncio.FIRST_COMPLETED
            )
            async with seat.lock:
                if not process.successor.done():
                    seat.process = None
                    return process.ended.result()
            process = process.successor.result()
        return os.EX_OSERR

    async def _roll(self, seats: Sequence[_Seat]) -> None:
        """Replace the processes of all seats, one seat after another, whenever asked to."""
        while await self._asked.wait() and not self._stopping.is_set():
            # What is asked from here on may be about what a successor has read already.
            self._asked.clear()
            log.info("replacing all processes")
            for seat in seats:
                if not await self._replace(seat):
                    break
            else:
                log.info("all processes are replaced")

    async def _replace(self, seat: _Seat) -> bool:
        """Put a successor in the seat, then end who was there; False when that cannot be."""
        async with seat.lock:
            old = seat.process
            if old is None:
                # It crashed, and will be started anew.
                return not self._stopping.is_set()
            new = await self._start_successor(seat.child)
            if new is None:
                if not self._stopping.is_set():
                    log.error("%s does not come up anew, the old one goes on", seat.child.name)
                return False
            seat.process = new
            old.successor.set_result(new)
        await self._end(old)
        return True

    async def _start_successor(self, child: Child) -> _Process | None:
        """A new process beside the one that serves; None when it does not serve in time."""
        reading, writing = os.pipe()
        try:
            new = await self._start(child, writing)
        finally:
            os.close(writing)
        is_ready = await _says_ready(reading, self._start_timeout_s)
        if new is not None and not is_ready:
            await self._end(new)
            return None
        return new

    async def _start(self, child: Child, ready_fd: int | None = None) -> _Process | None:
        # Two processes must not write the same files. Who comes later goes on with those of a
        # process that has ended, so that there never are more than two sets.
        name = next(n for n in (f"{child.name}a", f"{child.name}b") if n not in self._running)
        sock = None if child.socket_index is None else self._sockets[child.socket_index]
        listen_fd = None if sock is None else sock.fileno()
        passed = {LISTEN_FD: listen_fd, READY_FD: ready_fd}
        fds = {variable: fd for variable, fd in passed.items() if fd is not None}
        try:
            process = await asyncio.create_subprocess_exec(
                *child.argv,
                env=self._environment(name, fds),
                pass_fds=tuple(fds.values()),
                # Ctrl-C reaches the parent alone, and the children as one orderly SIGTERM.
                process_group=0,
            )
        except OSError as error:
            log.warning("%s cannot be started: %s", child.name, error.strerror)
            return None
        started = _Process(name, process, asyncio.create_task(self._watch(name, process)))
        self._running[name] = started
        if self._stopping.is_set():
            started.send(signal.SIGTERM)
        return started

    async def _watch(self, name: str, process: asyncio.subprocess.Process) -> int:
        status = await process.wait()
        del self._running[name]
        # The file of a live gauge goes, the totals stay.
        mark_process_dead(name, self._folder)  # type: ignore[no-untyped-call] # no hints
        return status

    async def _end(self, process: _Process) -> None:
        """Ask a process to stop, and kill it when it takes too long."""
        process.send(signal.SIGTERM)
        await asyncio.wait({process.ended}, timeout=self._shutdown_timeout_s)
        if not process.ended.done():
            log.warning("killing %s, which did not stop", process.name)
            process.send(signal.SIGKILL)
            await asyncio.wait({process.ended})

    def _environment(self, name: str, fds: Mapping[str, int]) -> dict[str, str]:
        environment = dict(os.environ)
        environment.pop(LISTEN_FD, None)
        environment.pop(READY_FD, None)
        environment |= {variable: str(fd) for variable, fd in fds.items()}
        environment[METRICS_DIR] = self._folder
        environment[SEAT] = name
        environment[PARENT_PID] = str(os.getpid())
        return environment

    async def _pause(self, delay_s: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(delay_s):
                await self._stopping.wait()

    def _signal_all(self, number: signal.Signals) -> None:
        for process in self._running.values():
            process.send(number)


async def _says_ready(pipe: int, timeout_s: float) -> bool:
    """Whether the child at the other end says so in time; False as soon as it ends."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), os.fdopen(pipe, "rb", 0)
    )
    try:
        async with asyncio.timeout(timeout_s):
            return await reader.read(1) != b""
    except TimeoutError:
        return False
    finally:
        transport.close()


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
