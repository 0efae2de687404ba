"""The results of a benchmark: their schema, the file, and the machine that they come from.

`latest.json` holds one `Results`; `--write` keeps a copy named after its date and commit. A later
version of the schema raises `schema`.
"""

from __future__ import annotations

import datetime as dt
import os
import platform
import subprocess
from pathlib import Path
from typing import Final, Literal

import msgspec

from loadtests.measured import Measured

SCHEMA: Final = 1
FOLDER: Final = Path(__file__).with_name("results")
OURS: Final = "stampgate"


class Target(msgspec.Struct, frozen=True):
    """What a row is held against: so much a second at least, a percentile, a maximum or a value
    below so much, or ours so many times the row's.
    """

    at_least: float | None = None
    p95_ms_below: float | None = None
    p99_ms_below: float | None = None
    max_ms_below: float | None = None
    below: float | None = None
    ratio_at_least: float | None = None

    def met(self, row: Row) -> bool:
        """Whether the row reaches it."""
        return (
            (self.at_least is None or row.value >= self.at_least)
            and (self.below is None or row.value < self.below)
            and (self.p95_ms_below is None or (row.p95_ms or 0.0) < self.p95_ms_below)
            and (self.p99_ms_below is None or (row.p99_ms or 0.0) < self.p99_ms_below)
            and (self.max_ms_below is None or (row.max_ms or 0.0) < self.max_ms_below)
            and (self.ratio_at_least is None or (row.ratio or 0.0) >= self.ratio_at_least)
        )


class Row(msgspec.Struct, frozen=True, kw_only=True):
    """One figure, and everything needed to read it.

    `value` is the median of the rounds in `unit`, `lowest` and `highest` are the rounds' extremes,
    `each` is all of them in their order;
    latencies are milliseconds, `max_ms` the worst of all rounds; `cpu_us` is CPU time of the
    serving processes for each unit; `stall_ms` is how late the open loop's generator itself was.
    `lane` is the redirector's: `ordinary` without its fast lane. `durability` is Redis's
    appendfsync, `-` where nothing is recorded. `ratio` stands at a peer: the median over the rounds
    of ours divided by its value.
    """

    what: str
    subject: str = OURS
    lane: Literal["fast", "ordinary", "-"] = "-"
    link: str = "-"
    headers: str = "-"
    durability: Literal["always", "everysec", "-"]
    connections: int = 0
    processes: int = 1
    loop: str = "closed"
    unit: str
    value: float
    lowest: float
    highest: float
    rounds: int
    each: list[float] = []
    p50_ms: float | None = None
    p95_ms: float | None = None
    p99_ms: float | None = None
    max_ms: float | None = None
    stall_ms: float | None = None
    cpu_us: float | None = None
    errors: int = 0
    ratio: float | None = None
    target: Target | None = None


class Machine(msgspec.Struct, frozen=True):
    """Where it was measured. `load` is the load average of the last minute, before and after: above
    0 before, others used the machine as well.
    """

    processor: str
    cores: int
    memory_mib: int
    kernel: str
    python: str
    load: tuple[float, float]


class Results(msgspec.Struct, frozen=True, kw_only=True):
    """One benchmark. `missing` names what could not be measured, and why."""

    schema: int = SCHEMA
    date: dt.datetime
    commit: str
    is_quick: bool
    machine: Machine
    generator: str
    rows: list[Row]
    missing: list[str]


def row(
    what: str,
    rounds: list[Measured],
    *,
    unit: str,
    median: Measured,
    factor: int = 1,
    **facts: object,
) -> Row:
    """The row of some rounds; `factor` is how many units one answer stands for."""
    speeds = [one.per_second * factor for one in rounds]
    return msgspec.convert(
        {
            "what": what,
            "unit": unit,
            "value": median.per_second * factor,
            "lowest": min(speeds),
            "highest": max(speeds),
            "rounds": len(rounds),
            "each": speeds,
            "p50_ms": median.p50_ms,
            "p95_ms": median.p95_ms,
            "p99_ms": median.p99_ms,
            "max_ms": median.max_ms,
            "errors": median.errors,
            **facts,
        },
        Row,
    )


def save(results: Results, *, keep: bool) -> Path:
    """Write latest.json, and with `keep` also the copy that stays; returns the last written."""
    FOLDER.mkdir(exist_ok=True)
    names = ["latest.json"]
    if keep:
        names.append(f"{results.date:%Y-%m-%d-%H%M}-{results.commit[:10] or 'unknown'}.json")
    text = msgspec.json.format(msgspec.json.encode(results), indent=2) + b"\n"
    for name in names:
        (FOLDER / name).write_bytes(text)
    return FOLDER / names[-1]


def machine(load_before: float) -> Machine:
    """The machine that this runs on."""
    return Machine(
        processor=_processor(),
        cores=len(os.sched_getaffinity(0)),
        memory_mib=os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20,
        kernel=platform.release(),
        python=platform.python_version(),
        load=(round(load_before, 2), round(os.getloadavg()[0], 2)),
    )


def commit() -> str:
    """The commit that is checked out, with a `+` when files differ from it; empty outside git."""
    try:
        head = _git("rev-parse", "--short=10", "HEAD")
        return head + ("+" if _git("status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return ""


def _git(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], capture_output=True, text=True, check=True)
    return done.stdout.strip()


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
