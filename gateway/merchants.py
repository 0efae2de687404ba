"""`/v1/merchants`: the shops that links lead to."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from core import errors
from core.links import Ref
from core.merchants import MerchantConfig
from db import merchants, offers
from db.merchants import Merchant
from db.pg import Db
from gateway import answers, auditing, lists, patches
from gateway.app import Call, read, read_as
from web import problem
from web.routing import Route

#: Members see the catalogue too, as far as it is active.
READ: Final = "me offers:read programs:read"


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which merchants are asked for."""

    external_id: Ref | None = None


MerchantPatch = patches.patch_of(MerchantConfig)
_new = msgspec.json.Decoder(MerchantConfig)
_patch = msgspec.json.Decoder(MerchantPatch)


async def create(call: Call) -> web.Response:
    """Store a merchant."""
    body = await read(call)
    new = problem.decode(_new, body)
    program_id = call.principal.program_id

    async def work(db: Db) -> Merchant:
        made = await merchants.add(db, program_id, call.app.new_id("merchant"), new)
        await auditing.record(call, db, "merchant.create", made.id, after=new)
        return made

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """The program's merchants, oldest first."""
    search = problem.decode_query(Search, call.query)
    program_id, after = call.principal.program_id, search.after("merchant")
    async with call.app.connection() as db:
        found = await merchants.page(
            db,
            program_id,
            after=after,
            limit=search.limit + 1,
            external_id=search.external_id,
            state="active" if call.principal.role == "member" else None,
        )
    return problem.reply(lists.page(found, search.limit))


async def get(call: Call) -> web.Response:
    """One merchant."""
    async with call.app.connection() as db:
        found = await merchants.get(db, call.principal.program_id, call.params["merchant_id"])
    if call.principal.role == "member" and found.state != "active":
        raise errors.MerchantNotFound
    return problem.reply(found)


async def change(call: Call) -> web.Response:
    """Change the given fields."""
    wanted = patches.changes(await read_as(call, _patch))
    program_id, merchant_id = call.principal.program_id, call.params["merchant_id"]
    async with call.app.transaction() as db:
        before = await merchants.lock(db, program_id, merchant_id)
        config = msgspec.structs.replace(before, **wanted)
        after = await merchants.change(db, program_id, merchant_id, config)
        if after.name != before.name:
            await offers.index(db, program_id, [merchant_id])
        await auditing.record(call, db, "merchant.change", merchant_id, before, after)
    await call.app.catalogue.announce(program_id)
    return problem.reply(after)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/merchants",
        handler=create,
        name="create_merchant",
        summary="Store a merchant",
        scope="programs:write",
        body=MerchantConfig,
        reply=Merchant,
        status=201,
        errors=(errors.ExternalIdTaken, errors.ProgramNotFound, errors.CategoryNotFound),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/merchants",
        handler=list_all,
        name="list_merchants",
        summary="List merchants, oldest first",
        scope=READ,
        query=Search,
        reply=lists.Page[Merchant],
    ),
    Route(
        method="GET",
        path="/v1/merchants/{merchant_id}",
        handler=get,
        name="get_merchant",
        summary="Read a merchant",
        scope=READ,
        reply=Merchant,
        errors=(errors.MerchantNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/merchants/{merchant_id}",
        handler=change,
        name="change_merchant",
        summary="Change the given fields of a merchant",
        scope="programs:write",
        body=MerchantPatch,
        reply=Merchant,
        errors=(errors.MerchantNotFound, errors.ExternalIdTaken, errors.CategoryNotFound),
    ),
)
