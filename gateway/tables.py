"""CSV files: a header row of known names, then rows. A file is good, or refused with its lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Collection, Iterator, Sequence
from typing import Final, Generic, NamedTuple, TypeVar

import msgspec

from core import errors

ROWS_MAX: Final = 10_000
BODY_LIMIT: Final = 16 << 20
# Enough for somebody to see what is wrong with a file.
PROBLEMS_MAX: Final = 100

Item = TypeVar("Item")
Kind = TypeVar("Kind", bound=msgspec.Struct)
Problems = list[dict[str, str]]


class Row(NamedTuple, Generic[Item]):
    """What a row of the file was made into; `line` is where it ends, counted from 1."""

    line: int
    item: Item


def rows(
    body: bytes,
    columns: Collection[str],
    needed: Sequence[str],
    make: Callable[[dict[str, str]], Item],
) -> list[Row[Item]]:
    """The file's rows, each made of its cells that are not empty; InvalidRequest names the lines
    that are wrong. `make` raises `errors.Invalid`.
    """
    problems: Problems = []
    found: list[Row[Item]] = []
    for line, cells in _table(body, columns, needed):
        given = {name: text.strip() for name, text in cells.items() if text.strip()}
        try:
            found.append(Row(line, make(given)))
        except errors.Invalid as error:
            problems.append({"detail": error.detail, "line": str(line)})
        if len(found) + len(problems) > ROWS_MAX:
            raise errors.InvalidRequest(f"The file has more than {ROWS_MAX} rows.")
    refuse(problems)
    if not found:
        raise errors.InvalidRequest("The file has no rows.")
    return found


def refuse(problems: Problems) -> None:
    """Raise InvalidRequest if there are problems."""
    if problems:
        raise errors.InvalidRequest("Rows are wrong.", errors=problems[:PROBLEMS_MAX])


def converted(values: dict[str, object], kind: type[Kind]) -> Kind:
    """Texts of cells as a Struct, or InvalidRequest."""
    try:
        return msgspec.convert(values, kind, strict=False)
    except msgspec.ValidationError as error:
        raise errors.InvalidRequest(str(error)) from None


def refuse_repeats(found: Sequence[Row[Item]], name: Callable[[Item], str | None]) -> None:
    """Raise InvalidRequest for rows that have the name of one above."""
    first: dict[str | None, int] = {}
    problems: Problems = []
    for line, item in found:
        before = first.setdefault(name(item), line)
        if before != line:
            detail = f"{name(item)} stands in line {before} already."
            problems.append({"detail": detail, "line": str(line)})
    refuse(problems)


def _table(
    body: bytes, columns: Collection[str], needed: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and named cells of each row; InvalidRequest when it is not a table that we know."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = body.count(b"\n", 0, error.start) + 1
        raise errors.InvalidRequest(f"Line {line} is not UTF-8.") from None
    if "\x00" in text:
        raise errors.InvalidRequest("The file contains the character U+0000.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(header, columns, needed)
        for row in reader:
            if len(row) > len(header):
                detail = f"Line {reader.line_num} has more cells than the header."
                raise errors.InvalidRequest(detail)
            if row:
                yield reader.line_num, dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise errors.InvalidRequest(f"Line {reader.line_num}: {error}.") from None


def _check_header(header: Sequence[str], columns: Collection[str], needed: Sequence[str]) -> None:
    if unknown := sorted(set(header) - set(columns)):
        raise errors.InvalidRequest(f"There is no column {', '.join(unknown)}.")
    if len(set(header)) < len(header) or not set(needed) <= set(header):
        names = ", ".join(needed)
        raise errors.InvalidRequest(f"The header names each column once, {names} among them.")
