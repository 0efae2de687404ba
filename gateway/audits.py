"""`/v1/audit`: who changed what, and whether nothing of it was touched since."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import AsyncIterator, Callable, Iterable
from typing import Annotated, Any, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, tokens
from core.chain import Kept
from core.links import Line
from db import audit, audit_chain
from db.audit import Span, Written
from db.audit_chain import Report
from gateway import lists
from gateway.app import Call
from web import problem
from web.routing import Route

ENTRIES_A_CHECK: Final = 20_000
ENTRIES_A_TURN: Final = 1_000
NDJSON: Final = "application/x-ndjson"
CSV: Final = "text/csv"
COLUMNS: Final = tuple(field.name for field in msgspec.structs.fields(Written))
# What a spreadsheet would take for a formula.
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")

Moment = Annotated[dt.datetime, Meta(tz=True)]
HeadText = Annotated[str, Meta(pattern=r"^\d{1,18}:[0-9a-f]{64}$(?!\n)")]
Position = Annotated[int, Meta(ge=0, le=2**53)]


class When(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Entries from `from` until before `to`."""

    since: Moment | None = msgspec.field(default=None, name="from")
    until: Moment | None = msgspec.field(default=None, name="to")

    @property
    def span(self) -> Span:
        """The same with both ends."""
        return Span(self.since or audit.EVER.since, self.until or audit.EVER.until)


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries are asked for."""

    actor: Line | None = None
    object_id: Line | None = None
    action: Line | None = None
    since: Moment | None = msgspec.field(default=None, name="from")
    until: Moment | None = msgspec.field(default=None, name="to")


class SearchAll(Search, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which entries of all programs are asked for; `installation` alone are those of none."""

    program_id: Line | None = None


class Check(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What to check: entries behind `after`, against a head that was kept (`position:digest`)."""

    after: Position = 0
    kept: HeadText | None = None


class ChainHead(msgspec.Struct, frozen=True):
    """How far a chain goes; `head` is the text to keep and to give to a later check."""

    position: int
    digest: str
    head: str
    sealed_at: dt.datetime | None


async def list_all(call: Call) -> web.Response:
    """The program's entries, the newest first."""
    search = problem.decode_query(Search, call.query)
    async with call.app.connection() as db:
        found = await audit.page(db, call.principal.program_id, **_wanted(search))
    return problem.reply(lists.page(found, search.limit))


async def list_of_all(call: Call) -> web.Response:
    """The entries of all programs and of the installation, the newest first."""
    search = problem.decode_query(SearchAll, call.query)
    program_id = "" if search.program_id == "installation" else search.program_id
    async with call.app.connection() as db:
        found = await audit.page_of_all(db, program_id, **_wanted(search))
    return problem.reply(lists.page(found, search.limit))


async def head(call: Call) -> web.Response:
    """The head of the program's chain."""
    program_id = call.principal.program_id
    async with call.app.connection() as db:
        known = (await audit_chain.heads(db, [program_id]))[program_id]
    digest = known.head.digest.hex()
    text = f"{known.head.position}:{digest}"
    return problem.reply(ChainHead(known.head.position, digest, text, known.sealed_at))


async def verify(call: Call) -> web.Response:
    """Check the program's chain."""
    return await _verified(call, call.principal.program_id)


async def verify_installation(call: Call) -> web.Response:
    """Check the installation's own chain."""
    return await _verified(call, "")


async def export_ndjson(call: Call) -> web.Response:
    """All entries, a JSON object a line."""
    return await _export(call, NDJSON, b"", msgspec.json.Encoder().encode_lines)


async def export_csv(call: Call) -> web.Response:
    """All entries as a table; `before` and `after` are JSON texts."""
    return await _export(call, CSV, _csv([COLUMNS]), lambda found: _csv(map(_cells, found)))


async def _verified(call: Call, program_id: str) -> web.Response:
    wanted = problem.decode_query(Check, call.query)
    kept = [audit_chain.parse_head(wanted.kept)] if wanted.kept else []
    kept += await _kept_by_redis(call, program_id)
    async with (
        call.app.connection() as db,
        db.transaction(isolation="repeatable_read", readonly=True),
    ):
        report: Report = await audit_chain.verify(
            db,
            call.app.ring,
            program_id,
            after=wanted.after,
            limit=ENTRIES_A_CHECK,
            kept=kept,
        )
    return problem.reply(report)


async def _kept_by_redis(call: Call, program_id: str) -> list[Kept]:
    """Asked before PostgreSQL, which is never behind; the check goes on without it."""
    try:
        return list((await audit_chain.kept_heads(call.app.redis, [program_id])).values())
    except errors.StampgateError:
        return []


def _wanted(search: Search) -> dict[str, Any]:
    return {
        "before": search.after("audit"),
        "limit": search.limit + 1,
        "actor": search.actor,
        "object_id": search.object_id,
        "action": search.action,
        "span": Span(search.since or audit.EVER.since, search.until or audit.EVER.until),
    }


async def _export(
    call: Call, media_type: str, start: bytes, encode: Callable[[list[Written]], bytes]
) -> web.Response:
    """Sends as it reads; a slow reader keeps no connection to PostgreSQL."""
    turns = _turns(call, problem.decode_query(When, call.query).span)
    # PostgreSQL may be away: found out before the answer begins.
    first: list[Written] = await anext(turns, [])

    async def body() -> AsyncIterator[bytes]:
        yield start + encode(first)
        async for found in turns:
            yield encode(found)

    return web.Response(body=body(), content_type=media_type)


async def _turns(call: Call, span: Span) -> AsyncIterator[list[Written]]:
    program_id, after = call.principal.program_id, ""
    while True:
        async with call.app.connection() as db:
            found = await audit.following(
                db, program_id, after=after, limit=ENTRIES_A_TURN, span=span
            )
        if not found:
            return
        after = found[-1].id
        yield found


def _cells(entry: Written) -> list[str]:
    values = msgspec.to_builtins(entry)
    cells = []
    for name in COLUMNS:
        value = values[name]
        text = msgspec.json.encode(value).decode() if isinstance(value, dict) else str(value or "")
        cells.append("'" + text if text.startswith(FORMULA) else text)
    return cells


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/audit",
        handler=list_all,
        name="list_audit_entries",
        summary="List what was changed in the program, the newest first",
        scope="audit:read",
        query=Search,
        reply=lists.Page[Written],
    ),
    Route(
        method="GET",
        path="/v1/audit/head",
        handler=head,
        name="get_audit_head",
        summary="Read the head of the program's chain, to be kept elsewhere",
        scope="audit:read",
        reply=ChainHead,
    ),
    Route(
        method="GET",
        path="/v1/audit/verify",
        handler=verify,
        name="verify_audit_log",
        summary="Check that nothing of the program's audit log was changed or removed",
        scope="audit:read",
        query=Check,
        reply=Report,
    ),
    Route(
        method="GET",
        path="/v1/audit/export.ndjson",
        handler=export_ndjson,
        name="export_audit_log",
        summary="All entries, a JSON object a line, the oldest first",
        scope="audit:read",
        query=When,
        reply=str,
        reply_type=NDJSON,
    ),
    Route(
        method="GET",
        path="/v1/audit/export.csv",
        handler=export_csv,
        name="export_audit_table",
        summary="All entries as CSV, the oldest first",
        scope="audit:read",
        query=When,
        reply=str,
        reply_type=CSV,
    ),
    Route(
        method="GET",
        path="/v1/admin/audit",
        handler=list_of_all,
        name="list_all_audit_entries",
        summary="List what was changed in all programs and the installation, the newest first",
        scope=tokens.PLATFORM,
        query=SearchAll,
        reply=lists.Page[Written],
    ),
    Route(
        method="GET",
        path="/v1/admin/audit/verify",
        handler=verify_installation,
        name="verify_installation_audit_log",
        summary="Check that nothing of the installation's own audit log was changed or removed",
        scope=tokens.PLATFORM,
        query=Check,
        reply=Report,
    ),
)
