"""The README's tables: ours and each peer under the same conditions, the best of a line in bold."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from loadtests.results import OURS, Results, Row
from loadtests.subjects import LIMIT

TITLES: Final = {"redirect": "Redirects a second", "award": "Awards a second"}
CONDITIONS: Final = ("fsync", "links", "headers", "connections", "processes")

_Conditions = tuple[str, ...]


def text(results: Results) -> str:
    """Two tables, where they were measured, and who is missing."""
    machine = results.machine
    measured = (
        f"Measured {results.date:%Y-%m-%d} at commit `{results.commit}` on {machine.processor}, "
        f"{machine.cores} cores, by {results.generator}: medians of {_rounds(results.rows)} "
        "alternating rounds, every click and award acknowledged by Redis before its answer. "
        "In brackets: ours divided by theirs. Everything else is in "
        "[docs/performance.md](docs/performance.md)."
    )
    parts = [measured]
    parts += [
        f"**{title}**\n\n{_table([row for row in results.rows if row.what == what])}"
        for what, title in TITLES.items()
    ]
    parts += [f"Missing: {what}." for what in results.missing]
    return "\n\n".join(parts)


def _table(rows: Sequence[Row]) -> str:
    shown = [row for row in rows if row.loop == "closed" and row.lane != "ordinary"]
    compared = list(dict.fromkeys(_conditions(row) for row in shown if row.ratio is not None))
    subjects = list(dict.fromkeys([OURS, *(row.subject for row in shown if row.ratio)]))
    if not compared:
        return "No peer was measured."
    values = {(_conditions(row), row.subject): row for row in shown}
    # What does not differ within a table needs no column.
    varying = [
        place for place in range(len(CONDITIONS)) if len({one[place] for one in compared}) > 1
    ]
    lines = [[CONDITIONS[place] for place in varying] + subjects]
    lines.append(["---"] * len(varying) + ["---:"] * len(subjects))
    for conditions in compared:
        found = [values.get((conditions, subject)) for subject in subjects]
        best = max(row.value for row in found if row is not None and row.subject != LIMIT)
        lines.append([conditions[place] for place in varying] + [_cell(row, best) for row in found])
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _conditions(row: Row) -> _Conditions:
    """The limit, which records nothing, stands in the line of the usual link and the safe sync."""
    durability, link = row.durability, row.link
    if row.subject == LIMIT:
        durability, link = "always", "splice"
    return durability, link, row.headers, str(row.connections), str(row.processes)


def _cell(row: Row | None, best: float) -> str:
    if row is None:
        return "–"
    value = f"{row.value:,.0f}"
    shown = f"**{value}**" if row.value == best else value
    return shown if row.ratio is None else f"{shown} ({row.ratio:,.2f})"


def _rounds(rows: Sequence[Row]) -> int:
    return max((row.rounds for row in rows), default=0)
