"""Child processes of the local run: bound to our life, recorded, stopped for certain.

A process is recorded by pid and start time, so that the next run stops what an earlier one left
and never a stranger who was given the same pid.
"""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Literal

import msgspec

Identity = Literal["same", "namespace", "nobody"]
LAUNCH = Path(__file__).with_name("launch.py")
# Where a run writes down what it started, inside its folder.
RECORDS = "processes.json"


class Process:
    """A running child whose output goes to `log`; the one before is kept beside it as `.1`."""

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        *,
        log: Path,
        env: Mapping[str, str],
        cwd: Path | None = None,
        identity: Identity = "same",
        stop_signal: signal.Signals = signal.SIGTERM,
    ) -> None:
        self.name = name
        self.log = log
        self.stop_signal = stop_signal
        if log.exists():
            log.replace(log.with_name(f"{log.name}.1"))
        with log.open("wb") as output:
            self._popen = subprocess.Popen(
                launched(command, identity, stop_signal),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                env=dict(env),
                cwd=cwd,
                # Ctrl-C in the terminal reaches only us, who stop things in order.
                start_new_session=True,
            )
        self.pid = self._popen.pid
        self.started = start_time(self.pid)

    @property
    def is_alive(self) -> bool:
        return self._popen.poll() is None

    @property
    def exit_code(self) -> int | None:
        """The exit status, negative for a signal; None while it runs."""
        return self._popen.poll()

    def send(self, number: signal.Signals) -> None:
        """Send a signal; a process that has ended takes no harm."""
        self._popen.send_signal(number)

    def ends_within(self, timeout_s: float) -> bool:
        """Wait for the end; False when the time is over first."""
        try:
            self._popen.wait(max(0.0, timeout_s))
        except subprocess.TimeoutExpired:
            return False
        return True

    def stop(self, timeout_s: float) -> None:
        """Ask it to end, and kill it when `timeout_s` is over."""
        self.send(self.stop_signal)
        if not self.ends_within(timeout_s):
            self.kill()

    def kill(self) -> None:
        """Kill -9 it with its process group, and wait until it is gone."""
        if self.is_alive:
            os.killpg(self.pid, signal.SIGKILL)
            self._popen.wait()

    def tail(self, lines: int = 15) -> str:
        """The last lines of its output."""
        return "\n".join(self.log.read_text(errors="replace").splitlines()[-lines:])


def launched(command: Sequence[str], identity: Identity, death: signal.Signals) -> list[str]:
    """The command line that runs `command` as our bound child; the pid stays the same."""
    launcher = [sys.executable, "-I", "-S", os.fspath(LAUNCH)]
    return [*launcher, str(os.getpid()), str(int(death)), identity, *command]


class Record(msgspec.Struct, frozen=True):
    """One process as the next run will look for it."""

    name: str
    pid: int
    started: int
    stop_signal: int


class Records(msgspec.Struct, frozen=True):
    boot: str
    processes: list[Record]


def record(path: Path, processes: Iterable[Process]) -> None:
    """Write down what runs, in one step."""
    rows = [Record(p.name, p.pid, p.started, int(p.stop_signal)) for p in processes]
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(msgspec.json.encode(Records(boot_id(), rows)))
    fresh.replace(path)


def stop_leftovers(path: Path, timeout_s: float = 5.0) -> list[str]:
    """Stop what an earlier run recorded and left; return the names."""
    if not path.exists():
        return []
    try:
        records = msgspec.json.decode(path.read_bytes(), type=Records)
    except msgspec.DecodeError:
        return []
    if records.boot != boot_id():
        return []
    return [row.name for row in reversed(records.processes) if stop_leftover(row, timeout_s)]


def stop_leftover(row: Record, timeout_s: float) -> bool:
    """Stop one recorded process if it still is that process; True when it was there."""
    try:
        handle = os.pidfd_open(row.pid)
    except ProcessLookupError:
        return False
    try:
        poll = select.poll()
        poll.register(handle, select.POLLIN)
        # Compared after the handle was opened: from here on the pid cannot change its owner.
        if start_time(row.pid) != row.started or poll.poll(0):
            return False
        for number in (row.stop_signal, signal.SIGKILL):
            signal.pidfd_send_signal(handle, number)
            if poll.poll(timeout_s * 1000):
                break
    except ProcessLookupError:
        return False
    finally:
        os.close(handle)
    return True


def start_time(pid: int) -> int:
    """Clock ticks from boot to the start of `pid`, 0 when it is gone (proc(5), field 22)."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return int(stat.rpartition(")")[2].split()[19])


def boot_id() -> str:
    """Changes with each boot of the machine, so that old start times mean nothing."""
    return Path("/proc/sys/kernel/random/boot_id").read_text().strip()


def pids_in(folder: Path) -> list[int]:
    """The processes whose working directory is `folder`: the ones of a PostgreSQL on that data."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                inside = (entry / "cwd").readlink() == folder
            except OSError:
                continue
            if inside:
                found.append(int(entry.name))
    return found
