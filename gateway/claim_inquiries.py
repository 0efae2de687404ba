"""`/v1/admin/claims/{claim_id}/inquiry`: how the network of a claim was asked."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec
from aiohttp import web

from core import errors
from db import claims, inquiries
from db.inquiries import Way
from gateway.app import Call
from web import problem
from web.routing import Route

PATH: Final = "/v1/admin/claims/{claim_id}/inquiry"


class ShownInquiry(msgspec.Struct, frozen=True, kw_only=True):
    """By which way the network was asked, and its own id of that, if it gives one. No way: it is
    still to be asked, or `wanted_at` is null too, and it need not be. `file`: send it the file of
    claims. `problem` is why it was not asked by its API, or not yet.
    """

    way: Way | None = None
    reference: str | None = None
    problem: str | None = None
    wanted_at: dt.datetime | None = None
    asked_at: dt.datetime | None = None


async def get(call: Call) -> web.Response:
    """How it was asked."""
    program_id, claim_id = call.principal.program_id, call.params["claim_id"]
    async with call.app.connection() as db:
        await claims.get(db, program_id, claim_id)
        found = await inquiries.get(db, program_id, claim_id)
    if found is None:
        return problem.reply(ShownInquiry())
    return problem.reply(ShownInquiry(**msgspec.structs.asdict(found)))


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_claim_inquiry",
        summary="Read how the network of a claim was asked",
        scope="conversions:read",
        reply=ShownInquiry,
        errors=(errors.ClaimNotFound,),
    ),
)
