"""`/v1/links/import`: links from a table, all of them or none."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec
from aiohttp import web

from core import errors
from core.links import LinkConfig
from db import links as stored
from db.links import Draft
from db.pg import Db
from gateway import answers, auditing, links
from gateway.app import App, Call, read
from web.routing import Route

ROWS_MAX: Final = 10_000
ROWS_A_TURN: Final = 500
BODY_LIMIT: Final = 16 << 20
# Enough for somebody to see what is wrong with a file.
PROBLEMS_MAX: Final = 100
COLUMNS: Final = frozenset(
    {"slug", "destination", "external_id", "title", "merchant_id", "offer_id", "campaign_id"}
    | {"network", "subid_param", "state", "starts_at", "expires_at", "fallback_url", "cap"}
    | {"query_mode", "append_path", "redirect_status", "referrer_policy"}
)


class Imported(msgspec.Struct, frozen=True):
    """How many links were stored."""

    imported: int


class Row(NamedTuple):
    """A row of the file; `line` is where it ends, counted from 1."""

    line: int
    draft: Draft


async def import_csv(call: Call) -> web.Response:
    """Store and publish the links of a CSV file; a bad row refuses the whole file."""
    body = await read(call)
    app, program_id = call.app, call.principal.program_id
    rows = await asyncio.to_thread(parse, app, body)
    made: list[stored.Link] = []

    async def work(db: Db) -> Imported:
        for start in range(0, len(rows), ROWS_A_TURN):
            made.extend(await _add(db, program_id, rows[start : start + ROWS_A_TURN]))
        ends = {"count": len(rows), "first": rows[0].draft.id, "last": rows[-1].draft.id}
        await auditing.record(call, db, "link.import", "", after=ends)
        return Imported(len(rows))

    answer = await answers.once(call, body, work)
    await links.publish(app, await asyncio.to_thread(lambda: list(map(stored.publication, made))))
    return answer


def parse(app: App, body: bytes) -> list[Row]:
    """The file's rows; InvalidRequest names the lines that are wrong."""
    problems: list[dict[str, str]] = []
    rows: list[Row] = []
    for line, cells in _table(body):
        try:
            config = links.checked(app, _config(cells))
        except errors.Invalid as error:
            problems.append({"detail": error.detail, "line": str(line)})
        else:
            rows.append(Row(line, Draft(app.new_id("link"), config, None)))
        if len(rows) + len(problems) > ROWS_MAX:
            raise errors.InvalidRequest(f"The file has more than {ROWS_MAX} rows.")
    if problems:
        raise errors.InvalidRequest("Rows are wrong.", errors=problems[:PROBLEMS_MAX])
    if not rows:
        raise errors.InvalidRequest("The file has no rows.")
    return rows


def _table(body: bytes) -> Iterator[tuple[int, dict[str, str]]]:
    """Line and named cells of each row; InvalidRequest when it is not a table that we know."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise errors.InvalidRequest("The file is not UTF-8.") from None
    if "\x00" in text:
        raise errors.InvalidRequest("The file contains the character U+0000.")
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        _check_header(header)
        for row in reader:
            if len(row) > len(header):
                detail = f"Line {reader.line_num} has more cells than the header."
                raise errors.InvalidRequest(detail)
            if row:
                yield reader.line_num, dict(zip(header, row, strict=False))
    except csv.Error as error:
        raise errors.InvalidRequest(f"Line {reader.line_num}: {error}.") from None


def _check_header(header: Sequence[str]) -> None:
    if unknown := sorted(set(header) - COLUMNS):
        raise errors.InvalidRequest(f"There is no column {', '.join(unknown)}.")
    if len(set(header)) < len(header) or "destination" not in header:
        raise errors.InvalidRequest("The header names each column once, destination among them.")


def _config(cells: Mapping[str, str]) -> LinkConfig:
    given = {name: text.strip() for name, text in cells.items() if text.strip()}
    try:
        return msgspec.convert(given, LinkConfig, strict=False)
    except msgspec.ValidationError as error:
        raise errors.InvalidRequest(str(error)) from None


async def _add(db: Db, program_id: str, rows: Sequence[Row]) -> list[stored.Link]:
    """Store rows; the first conflict refuses the file, with the lines of all of this turn."""
    drafts = [row.draft for row in rows]
    added = await stored.add_many(db, program_id, drafts, links.random_slug)
    conflicts = {
        row.line: made for row in rows if isinstance(made := added[row.draft.id], errors.Conflict)
    }
    for first in conflicts.values():
        problems = [{"detail": one.detail, "line": str(line)} for line, one in conflicts.items()]
        raise type(first)("Rows clash with links that exist.", errors=problems[:PROBLEMS_MAX])
    return [made for made in added.values() if isinstance(made, stored.Link)]


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/links/import",
        handler=import_csv,
        name="import_links",
        summary="Store the links of a CSV file, all or none",
        scope="links:write",
        body=str,
        body_type="text/csv",
        reply=Imported,
        status=201,
        errors=(*links.LINK_ERRORS, errors.ProgramNotFound),
        body_limit=BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
)
