"""`/v1/links/import`: links from a table, all of them or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from core import errors
from core.links import LinkConfig
from db import links as stored
from db.links import Draft
from db.pg import Db
from gateway import answers, auditing, links, tables
from gateway.app import App, Call, read
from web.routing import Route

ROWS_A_TURN: Final = 500
COLUMNS: Final = frozenset(
    {"slug", "destination", "external_id", "title", "merchant_id", "offer_id", "campaign_id"}
    | {"network", "subid_param", "state", "starts_at", "expires_at", "fallback_url", "cap"}
    | {"query_mode", "append_path", "redirect_status", "referrer_policy"}
)


class Imported(msgspec.Struct, frozen=True):
    """How many links were stored."""

    imported: int


async def import_csv(call: Call) -> web.Response:
    """Store and publish the links of a CSV file; a bad row refuses the whole file."""
    body = await read(call)
    app, program_id = call.app, call.principal.program_id
    rows = await asyncio.to_thread(parse, app, body)
    made: list[stored.Link] = []

    async def work(db: Db) -> Imported:
        for start in range(0, len(rows), ROWS_A_TURN):
            made.extend(await _add(db, program_id, rows[start : start + ROWS_A_TURN]))
        ends = {"count": len(rows), "first": rows[0].item.id, "last": rows[-1].item.id}
        await auditing.record(call, db, "link.import", "", after=ends)
        return Imported(len(rows))

    answer = await answers.once(call, body, work)
    await links.publish(app, await asyncio.to_thread(lambda: list(map(stored.publication, made))))
    return answer


def parse(app: App, body: bytes) -> list[tables.Row[Draft]]:
    """The file's rows; InvalidRequest names the lines that are wrong."""

    def draft(cells: dict[str, str]) -> Draft:
        config = links.checked(app, tables.converted({**cells}, LinkConfig))
        return Draft(app.new_id("link"), config, None)

    return tables.rows(body, COLUMNS, ["destination"], draft)


async def _add(db: Db, program_id: str, rows: Sequence[tables.Row[Draft]]) -> list[stored.Link]:
    """Store rows; the first conflict refuses the file, with the lines of all of this turn."""
    drafts = [row.item for row in rows]
    added = await stored.add_many(db, program_id, drafts, links.random_slug)
    conflicts = {
        row.line: made for row in rows if isinstance(made := added[row.item.id], errors.Conflict)
    }
    for first in conflicts.values():
        problems = [{"detail": one.detail, "line": str(line)} for line, one in conflicts.items()]
        raise type(first)(
            "Rows clash with links that exist.", errors=problems[: tables.PROBLEMS_MAX]
        )
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
        body_limit=tables.BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
)
