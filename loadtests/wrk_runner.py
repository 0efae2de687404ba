"""Closed-loop load by `wrk`, where it is installed."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final

import msgspec

from loadtests.measured import Measured

SCRIPTS: Final = Path(__file__).with_name("wrk")


class WrkFailed(Exception):
    """wrk did not print its figures; the message is what it said."""


class Figures(msgspec.Struct, frozen=True):
    """What wrk/report.lua prints; times are microseconds."""

    requests: int
    duration: int
    p50: float
    p99: float
    max: float
    errors: int


def find() -> str | None:
    """The path of wrk, if it is there."""
    return shutil.which("wrk")


def run(
    binary: str,
    url: str,
    *,
    connections: int,
    seconds: float,
    headers: Mapping[str, str],
    script: str = "report.lua",
    arguments: Sequence[str] = (),
) -> Measured:
    """Keep `connections` busy with one thread; raises WrkFailed."""
    options = ["-t1", f"-c{connections}", f"-d{max(1, round(seconds))}s"]
    options += [word for pair in headers.items() for word in ("-H", ": ".join(pair))]
    done = subprocess.run(
        [binary, *options, "-s", str(SCRIPTS / script), url, "--", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    return parse(done.stdout, done.stderr)


def parse(output: str, complaint: str = "") -> Measured:
    """The figures in what wrk printed; raises WrkFailed when there are none."""
    for line in reversed(output.splitlines()):
        if line.startswith('{"requests"'):
            figures = msgspec.json.decode(line, type=Figures)
            return Measured(
                per_second=(figures.requests - figures.errors) / figures.duration * 1e6,
                p50_ms=figures.p50 / 1000,
                p99_ms=figures.p99 / 1000,
                max_ms=figures.max / 1000,
                errors=figures.errors,
            )
    raise WrkFailed(complaint or output)
