"""`docs/performance.md`, its plots and the README's tables, written anew from results.

The prose around them stays.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtests import plots, summary, tables
from loadtests.plots import Bar
from loadtests.results import OURS, Results, Row

ROOT: Final = Path(__file__).parents[1]
BEGIN: Final = "<!-- results: written by `make bench` -->"
END: Final = "<!-- end of results -->"
README_BEGIN: Final = "<!-- bench -->"
PEERS_TITLE: Final = "A second, one process, 64 connections; redirects with 1 KiB headers"
README_END: Final = "<!-- end of bench -->"


def write(results: Results, root: Path = ROOT) -> None:
    """Put the results into the documents and draw the plots."""
    folder = root / "docs"
    document = folder / "performance.md"
    document.write_text(replaced(document.read_text(), text(results)))
    readme = root / "README.md"
    shown = summary.text(results)
    readme.write_text(replaced(readme.read_text(), shown, README_BEGIN, README_END))
    peers = [row for row in results.rows if _is_compared(row)]
    (folder / "performance-peers.svg").write_text(plots.bars(PEERS_TITLE, list(map(_bar, peers))))
    for unit, name, title in (
        ("redirects/s", "redirects", "Redirects a second, one process"),
        ("awards/s", "awards", "Awards a second, one process"),
    ):
        rows = [row for row in results.rows if row.unit == unit and row.loop == "closed"]
        rows = [row for row in rows if row.subject == OURS and row.processes == 1]
        (folder / f"performance-{name}.svg").write_text(plots.bars(title, list(map(_bar, rows))))


def replaced(document: str, results: str, first: str = BEGIN, last: str = END) -> str:
    """The document with its part between two marks exchanged; ValueError without them."""
    before, begin, rest = document.partition(first)
    _, end, after = rest.partition(last)
    if not begin or not end:
        raise ValueError("the document has no place for results")
    return f"{before}{first}\n{results}\n{last}{after}"


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
    lines = [
        measured,
        "",
        f"![{PEERS_TITLE}](performance-peers.svg)",
        "",
        tables.markdown(results.rows),
    ]
    lines += ["", *(f"Missing: {what}." for what in results.missing)] if results.missing else []
    return "\n".join(lines)


def _is_compared(row: Row) -> bool:
    """Whether a row belongs to the plot of ours beside the peers: the usual load, two syncs."""
    usual = (row.loop, row.connections, row.processes) == ("closed", 64, 1)
    is_shown = row.what == "award" or (row.what == "redirect" and row.headers == "1 KiB")
    return usual and is_shown and row.link in {"splice", "-"} and row.lane != "ordinary"


def _bar(row: Row) -> Bar:
    facts: Sequence[str] = (row.what, row.lane, row.link, row.headers, row.durability)
    named = " ".join(fact for fact in facts if fact != "-")
    label = named if row.subject == OURS else f"{row.subject} {named}"
    processes = f" on {row.processes}" if row.processes > 1 else ""
    return Bar(
        f"{label} ×{row.connections}{processes}",
        row.value,
        row.lowest,
        row.highest,
        row.subject == OURS,
    )
