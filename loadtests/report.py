"""`docs/performance.md` and its plots, written anew from results; the prose around them stays."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests import plots, tables
from loadtests.plots import Bar
from loadtests.results import OURS, Results, Row

DOCS: Final = Path(__file__).parents[1] / "docs"
BEGIN: Final = "<!-- results: written by `make bench` -->"
END: Final = "<!-- end of results -->"


def write(results: Results, folder: Path = DOCS) -> None:
    """Put the results into the document and draw the plots."""
    document = folder / "performance.md"
    document.write_text(replaced(document.read_text(), text(results)))
    for unit, name, title in (
        ("redirects/s", "redirects", "Redirects a second, one process"),
        ("awards/s", "awards", "Awards a second, one process"),
    ):
        rows = [row for row in results.rows if row.unit == unit and row.loop == "closed"]
        (folder / f"performance-{name}.svg").write_text(plots.bars(title, list(map(_bar, rows))))


def replaced(document: str, results: str) -> str:
    """The document with its part between BEGIN and END exchanged; ValueError without them."""
    before, begin, rest = document.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError("the document has no place for results")
    return f"{before}{BEGIN}\n{results}\n{END}{after}"


def text(results: Results) -> str:
    """Where and when it was measured, the table, and what is missing."""
    machine = results.machine
    kind = "One short round, m" if results.is_quick else "M"
    measured = (
        f"{kind}easured {results.date:%Y-%m-%d %H:%M} UTC at commit `{results.commit}` on "
        f"{machine.processor}, {machine.cores} cores, {machine.memory_mib:,} MiB, "
        f"Linux {machine.kernel}, Python {machine.python}, load by {results.generator}; load "
        f"average before and after {machine.load[0]} and {machine.load[1]}. "
        "If the first is not near 0, others used the machine; then CPU times say more than rates."
    )
    lines = [measured, "", tables.markdown(results.rows)]
    lines += ["", *(f"Missing: {what}." for what in results.missing)] if results.missing else []
    return "\n".join(lines)


def _bar(row: Row) -> Bar:
    facts: Sequence[str] = (row.what, row.lane, row.link, row.headers, row.durability)
    named = " ".join(fact for fact in facts if fact != "-")
    label = named if row.subject == OURS else f"{row.subject} {named}"
    return Bar(
        f"{label} ×{row.connections}", row.value, row.lowest, row.highest, row.subject == OURS
    )
