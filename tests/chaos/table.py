"""Results of the long battery as one Markdown table."""

from __future__ import annotations

import os
from pathlib import Path

# Names a file to which the tables are written as well.
REPORT = "STAMPGATE_TEST_CHAOS_REPORT"


class Table:
    """Rows under headings, shown when all are there."""

    def __init__(self, title: str, *headings: str) -> None:
        self._title = title
        self._rows = [headings, ("---",) * len(headings)]

    def add(self, *cells: object) -> None:
        """Add a row."""
        self._rows.append(tuple(map(str, cells)))

    def show(self) -> None:
        """Print it, and append it to the report if one is asked for."""
        lines = [f"| {' | '.join(row)} |" for row in self._rows]
        text = "\n".join(["", f"### {self._title}", "", *lines, ""])
        print(text)  # noqa: T201
        report = os.environ.get(REPORT)
        if report:
            with Path(report).open("a") as file:
                file.write(text)
