from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgspec
import pytest

from loadtests import plots, report, results, tables, wrk_runner
from loadtests.measured import Measured, median
from loadtests.results import Machine, Results, Row, Target

ROUNDS = [Measured(speed, 1.0, 4.0, 9.0, 0) for speed in (16_000, 14_000, 15_000)]


def row(**facts: Any) -> Row:
    given = {"durability": "always", "connections": 64, "link": "splice", "headers": "short"}
    return results.row(
        "redirect", ROUNDS, unit="redirects/s", median=median(ROUNDS), **{**given, **facts}
    )


def some_results(*rows: Row) -> Results:
    return Results(
        date=dt.datetime(2026, 1, 2, 3, 4, tzinfo=dt.UTC),
        commit="0123456789+",
        is_quick=True,
        machine=Machine("A processor", 2, 4096, "6.1", "3.11.7", (0.1, 2.0)),
        generator="wrk",
        rows=list(rows),
        missing=["nginx"],
    )


def test_a_row_is_the_median_with_the_extremes() -> None:
    made = row()
    assert (made.value, made.lowest, made.highest, made.rounds) == (15_000, 14_000, 16_000, 3)


def test_a_batch_counts_its_items() -> None:
    assert row(factor=500).value == 7_500_000


def test_targets_are_verdicts_and_nothing_more() -> None:
    assert Target(at_least=15_000).met(row())
    assert not Target(at_least=15_001).met(row())
    assert not Target(p99_ms_below=4.0).met(row())
    assert not Target(below=250).met(row())
    assert Target(max_ms_below=10.0).met(row())
    assert not Target(max_ms_below=9.0).met(row())
    assert tables.verdict(Target(at_least=20_000), row()) == "≥ 20,000: no"


def test_results_survive_their_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    saved = some_results(row(target=Target(at_least=1)))
    kept = results.save(saved, keep=True)
    for name in ("latest.json", kept.name):
        assert msgspec.json.decode((tmp_path / name).read_bytes(), type=Results) == saved


def test_every_row_names_its_conditions() -> None:
    cells = dict(zip(tables.HEADINGS, tables.cells(row()), strict=True))
    assert cells["durability"] == "always"
    assert cells["conn."] == "64"
    assert cells["link"] == "splice"
    assert cells["headers"] == "short"
    assert cells["median"] == "15,000 redirects/s"


def test_columns_of_a_table_line_up() -> None:
    table = tables.plain(("route", "n"), [["GET /r/{slug}", "5"], ["POST", "12345"]], words=1)
    assert table.splitlines() == [
        "route              n",
        "GET /r/{slug}      5",
        "POST           12345",
    ]


def test_the_report_replaces_results_and_leaves_the_prose(tmp_path: Path) -> None:
    docs = tmp_path / "docs"
    docs.mkdir()
    document, readme = docs / "performance.md", tmp_path / "README.md"
    readme.write_text(f"# Title\n{report.README_BEGIN}\n{report.README_END}\nProse.\n")
    document.write_text(f"# Title\n{report.BEGIN}\nold\n{report.END}\nProse.\n")
    for _ in range(2):
        report.write(some_results(row()), tmp_path)
    written = document.read_text()
    assert "old" not in written
    assert written.startswith("# Title\n")
    assert written.endswith("\nProse.\n")
    assert written.count("| redirect |") == 1
    assert "Missing: nginx." in written
    assert "Redirects a second" in readme.read_text()
    assert readme.read_text().endswith("\nProse.\n")
    for name in ("redirects", "awards", "peers"):
        ET.parse(docs / f"performance-{name}.svg")


def test_a_document_without_a_place_is_left_alone() -> None:
    with pytest.raises(ValueError, match="no place"):
        report.replaced("# Title\n", "results")


def test_bars_are_to_scale_and_their_labels_escaped() -> None:
    shown = [
        plots.Bar("a <b> & c", 100.0, 90.0, 110.0, is_ours=True),
        plots.Bar("half", 50.0, 50.0, 50.0, is_ours=False),
    ]
    root = ET.fromstring(plots.bars("Title", shown))
    space = "{http://www.w3.org/2000/svg}"
    widths = [float(bar.attrib["width"]) for bar in root.iter(f"{space}rect")][1:]
    assert widths[0] == pytest.approx(2 * widths[1], rel=0.01)
    assert "a <b> & c" in [label.text for label in root.iter(f"{space}text")]


def test_figures_of_wrk_are_read() -> None:
    output = (
        "Running 2s test\n"
        '{"requests":30000,"duration":2000000,"p50":1500.0,"p99":4000.0,"max":9000.0,"errors":2}\n'
    )
    assert wrk_runner.parse(output) == Measured(14_999, 1.5, 4.0, 9.0, 2)


def test_wrk_without_figures_says_why() -> None:
    with pytest.raises(wrk_runner.WrkFailed, match="unable to connect"):
        wrk_runner.parse("", "unable to connect to 127.0.0.1")
