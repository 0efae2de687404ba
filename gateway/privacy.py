"""Exports and erasures of members, asked for by themselves or by operators, and fetching files.

`/v1/me/privacy/…` is the signed-in member's, `/v1/members/{member_id}/…` the operators'.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, storage
from core.storage import DOWNLOADS
from db import erasures, exports
from db.erasures import Erasure
from db.exports import Export
from gateway import auditing, lists, notices
from gateway.app import Call
from web import problem
from web.routing import Route
from web.storage import FolderStorage

#: The scope of what is a person's own.
OWN: Final = "me"
#: For how long the URL of a file is good; a new one is made at each look.
URL_TTL_S: Final = 300
BYTES: Final = "application/octet-stream"
NO_STORE: Final = {"Cache-Control": "no-store"}

MemberId = Annotated[str, Meta(max_length=64)]


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Of which member."""

    member_id: MemberId | None = None


class ExportWithUrl(Export, frozen=True, kw_only=True):
    """An export; `download_url` has its file for some minutes, and is null before it is done.

    A URL without a host is relative to that of this API.
    """

    download_url: str | None


def member_of(call: Call) -> tuple[str, str]:
    """The program, and the member of the path or the one who asks; Forbidden for an operator."""
    caller = call.principal
    member_id = call.params.get("member_id")
    if member_id is None:
        if caller.role != "member":
            raise errors.Forbidden("This is for members who signed in.")
        member_id = caller.subject
    return caller.program_id, member_id


async def start_export(call: Call) -> web.Response:
    """Have all that is known of a member written down; one that is under way is answered again."""
    program_id, member_id = member_of(call)
    async with call.app.transaction() as db:
        made = await exports.add(
            db,
            program_id,
            member_id,
            export_id=call.app.new_id("export"),
            requested_by=call.principal.subject,
            language=notices.language(call),
        )
        await auditing.record(call, db, "member.export", member_id, after={"export": made.id})
    return problem.reply(made, call.route.status)


async def get_export(call: Call) -> web.Response:
    """How far an export is, and where its file is when it is done."""
    caller = call.principal
    own = caller.subject if call.route.scope == OWN else None
    async with call.app.connection() as db:
        found = await exports.get(db, caller.program_id, call.params["export_id"], member_id=own)
    url = None
    if found.state == "done":
        url = await call.app.storage.url(
            exports.storage_key(caller.program_id, found.id),
            now_s=call.app.now_ms() // 1000,
            ttl_s=URL_TTL_S,
        )
    shown = ExportWithUrl(**msgspec.structs.asdict(found), download_url=url)
    return problem.reply(shown, headers=NO_STORE)


async def list_exports(call: Call) -> web.Response:
    """Exports, the newest first."""
    search = problem.decode_query(Search, call.query)
    async with call.app.connection() as db:
        found = await exports.page(
            db,
            call.principal.program_id,
            before=search.after("export"),
            limit=search.limit + 1,
            member_id=search.member_id,
        )
    return problem.reply(lists.page(found, search.limit))


async def start_erasure(call: Call) -> web.Response:
    """Have a member forgotten, for good; the erasure that there is already is answered again."""
    program_id, member_id = member_of(call)
    async with call.app.transaction() as db:
        made = await erasures.add(
            db,
            program_id,
            member_id,
            erasure_id=call.app.new_id("erasure"),
            requested_by=call.principal.subject,
        )
        await auditing.record(call, db, "member.erase", member_id, after={"erasure": made.id})
    return problem.reply(made, call.route.status)


async def get_erasure(call: Call) -> web.Response:
    """How far an erasure is."""
    async with call.app.connection() as db:
        return problem.reply(
            await erasures.get(db, call.principal.program_id, call.params["erasure_id"])
        )


async def list_erasures(call: Call) -> web.Response:
    """Erasures, the newest first."""
    search = problem.decode_query(Search, call.query)
    async with call.app.connection() as db:
        found = await erasures.page(
            db,
            call.principal.program_id,
            before=search.after("erasure"),
            limit=search.limit + 1,
            member_id=search.member_id,
        )
    return problem.reply(lists.page(found, search.limit))


async def download(call: Call) -> web.StreamResponse:
    """A file of the storage folder, for whoever has a ticket for it."""
    try:
        key = storage.redeem(call.app.ring, call.params["ticket"], call.app.now_ms() // 1000)
    except errors.BadTicket:
        raise errors.NotFound from None
    folder = call.app.storage
    path = folder.path(key) if isinstance(folder, FolderStorage) else Path("/nowhere")
    if not path.is_file():
        raise errors.NotFound
    headers = {
        "Content-Type": BYTES,
        "Content-Disposition": f'attachment; filename="{path.name}"',
        **NO_STORE,
    }
    return web.FileResponse(path, headers=headers)


STARTED: Final = "One that is under way or done is answered again."

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/members/{member_id}/export",
        handler=start_export,
        name="export_member",
        summary="Have all that is known of a member written into a file",
        scope="privacy:write",
        reply=Export,
        status=202,
        errors=(errors.MemberNotFound,),
        repeats=STARTED,
    ),
    Route(
        method="GET",
        path="/v1/exports",
        handler=list_exports,
        name="list_exports",
        summary="List exports of members, the newest first",
        scope="privacy:read",
        query=Search,
        reply=lists.Page[Export],
    ),
    Route(
        method="GET",
        path="/v1/exports/{export_id}",
        handler=get_export,
        name="get_export",
        summary="Read how far an export is, and where its file is",
        scope="privacy:read",
        reply=ExportWithUrl,
        errors=(errors.ExportNotFound, errors.StorageFailed),
        is_secret=True,
    ),
    Route(
        method="POST",
        path="/v1/members/{member_id}/erase",
        handler=start_erasure,
        name="erase_member",
        summary="Forget who a member is, for good; the ledger stays",
        scope="privacy:write",
        reply=Erasure,
        status=202,
        errors=(errors.MemberNotFound,),
        repeats=STARTED,
    ),
    Route(
        method="GET",
        path="/v1/erasures",
        handler=list_erasures,
        name="list_erasures",
        summary="List erasures of members, the newest first",
        scope="privacy:read",
        query=Search,
        reply=lists.Page[Erasure],
    ),
    Route(
        method="GET",
        path="/v1/erasures/{erasure_id}",
        handler=get_erasure,
        name="get_erasure",
        summary="Read how far an erasure is",
        scope="privacy:read",
        reply=Erasure,
        errors=(errors.ErasureNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/me/privacy/export",
        handler=start_export,
        name="export_me",
        summary="Have all that is known of the member who asks written into a file",
        scope=OWN,
        reply=Export,
        status=202,
        errors=(errors.MemberNotFound, errors.Forbidden),
        repeats=STARTED,
    ),
    Route(
        method="GET",
        path="/v1/me/privacy/exports/{export_id}",
        handler=get_export,
        name="get_my_export",
        summary="Read how far an export is, and where its file is",
        scope=OWN,
        reply=ExportWithUrl,
        errors=(errors.ExportNotFound, errors.StorageFailed),
        is_secret=True,
    ),
    Route(
        method="POST",
        path="/v1/me/privacy/erase",
        handler=start_erasure,
        name="erase_me",
        summary="Forget who the member is who asks, for good; the ledger stays",
        scope=OWN,
        reply=Erasure,
        status=202,
        errors=(errors.MemberNotFound, errors.Forbidden),
        repeats=STARTED,
    ),
    Route(
        method="GET",
        path=DOWNLOADS + "/{ticket}",
        handler=download,
        name="download_file",
        summary="Fetch a file for which a URL was given",
        reply=str,
        reply_type=BYTES,
        errors=(errors.NotFound,),
        is_secret=True,
    ),
)
