"""Rows as text: for the terminal, and as Markdown."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final

from loadtests.results import Row, Target

HEADINGS: Final = (
    *("what", "subject", "lane", "link", "headers", "durability", "conn.", "proc.", "loop"),
    *("median", "rounds", "p50 ms", "p95 ms", "p99 ms", "max ms", "CPU µs", "errors"),
    *("ours ÷", "target"),
)
# Words to the left, numbers to the right.
WORDS: Final = 6


def cells(row: Row) -> list[str]:
    """A row's cells in the order of HEADINGS."""
    return [
        row.what,
        row.subject,
        row.lane,
        row.link,
        row.headers,
        row.durability,
        str(row.connections or "-"),
        str(row.processes),
        row.loop,
        f"{_number(row.value)} {row.unit}",
        f"{_number(row.lowest)}–{_number(row.highest)}" if row.rounds > 1 else "1",
        _milliseconds(row.p50_ms),
        _milliseconds(row.p95_ms),
        _milliseconds(row.p99_ms),
        _milliseconds(row.max_ms) + (f" (own {row.stall_ms:.1f})" if row.stall_ms else ""),
        "-" if row.cpu_us is None else f"{row.cpu_us:.1f}",
        str(row.errors or "-"),
        "-" if row.ratio is None else f"{row.ratio:.2f}",
        "-" if row.target is None else verdict(row.target, row),
    ]


def verdict(target: Target, row: Row) -> str:
    """The target, and whether the row reaches it."""
    wanted = [
        f"≥ {_number(target.at_least)}" if target.at_least is not None else "",
        f"< {_number(target.below)}" if target.below is not None else "",
        f"p95 < {target.p95_ms_below:g} ms" if target.p95_ms_below is not None else "",
        f"p99 < {target.p99_ms_below:g} ms" if target.p99_ms_below is not None else "",
        f"max < {target.max_ms_below:g} ms" if target.max_ms_below is not None else "",
        f"≥ {target.ratio_at_least:g} ×" if target.ratio_at_least is not None else "",
    ]
    return f"{', '.join(filter(None, wanted))}: {'yes' if target.met(row) else 'no'}"


def plain(headings: Sequence[str], lines: Sequence[Sequence[str]], words: int) -> str:
    """A table for the terminal; the first `words` columns are words, the others numbers."""
    widths = [max(map(len, column)) for column in zip(headings, *lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if place < words else cell.rjust(width)
            for place, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in (headings, *lines)
    )


def markdown(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    rule = ["---"] * WORDS + ["---:"] * (len(HEADINGS) - WORDS)
    lines = [HEADINGS, rule, *map(cells, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def progress(row: Row) -> str:
    """A row in one line, while it goes on."""
    facts = [row.what, row.subject, row.lane, row.link, row.headers, row.durability, row.loop]
    named = " · ".join(fact for fact in facts if fact != "-")
    connections = f" · {row.connections} connections" if row.connections else ""
    connections += f" · {row.processes} processes" if row.processes > 1 else ""
    p99 = "" if row.p99_ms is None else f", p99 {row.p99_ms:.1f} ms"
    return f"{named}{connections}: {_number(row.value)} {row.unit}{p99}"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.2f}"
