"""Which core does what, and what a process has used of it: from /proc and sched_setaffinity(2)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
CORES: Final = sorted(os.sched_getaffinity(0))
# With one core there is nothing to separate.
SERVER: Final = {CORES[0]}
GENERATOR: Final = {CORES[-1]}


def serving(processes: int) -> set[int]:
    """The cores of so many serving processes: several share the generator's as well."""
    return SERVER if processes == 1 else set(CORES)


@contextmanager
def pinned(cores: set[int]) -> Iterator[None]:
    """Run on these cores; what is started meanwhile stays on them."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, cores)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def cpu_s(pid: int) -> float:
    """CPU seconds that a process has used: utime and stime of proc(5)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_A_SECOND


def tree_cpu_s(pid: int) -> float:
    """The same of a process and those that it has started."""
    return sum(map(cpu_s, [pid, *children(pid)]))


def resident_mib(pid: int) -> float:
    """Memory that a process holds."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) / 1024
    return 0.0


def children(pid: int) -> list[int]:
    """The processes that a process has started."""
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def workers(pid: int) -> list[int]:
    """The workers of one of our parents: its children that were told a seat."""
    return [
        child
        for child in children(pid)
        if b"--worker" in Path(f"/proc/{child}/cmdline").read_bytes()
    ]
