"""`/v1/categories`: the tree in which merchants and offers are filed."""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from core import categories, errors
from core.categories import Category, CategoryConfig, Node
from db import categories as stored
from db.pg import Db
from gateway import answers, auditing, patches
from gateway.app import Call, read, read_as
from web import problem
from web.routing import Route

#: Members see the catalogue too.
READ: Final = "me offers:read"
WRITE: Final = "offers:write"
PLACED: Final = (errors.CategoryNotFound, errors.CategorySlugTaken, errors.CategoryCycle)


class Tree(msgspec.Struct, frozen=True):
    """All categories: the roots, each with what is below it."""

    data: list[Node]


CategoryPatch = patches.patch_of(CategoryConfig)
_new = msgspec.json.Decoder(CategoryConfig)
_patch = msgspec.json.Decoder(CategoryPatch)


async def create(call: Call) -> web.Response:
    """Store a category."""
    body = await read(call)
    new = problem.decode(_new, body)
    program_id = call.principal.program_id

    async def work(db: Db) -> Category:
        made = await stored.add(db, program_id, call.app.new_id("category"), new)
        await auditing.record(call, db, "category.create", made.id, after=new)
        return made

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """The whole tree."""
    async with call.app.connection() as db:
        found = await stored.all_of(db, call.principal.program_id)
    return problem.reply(Tree(categories.tree(found)))


async def get(call: Call) -> web.Response:
    """One category."""
    async with call.app.connection() as db:
        return problem.reply(
            await stored.get(db, call.principal.program_id, call.params["category_id"])
        )


async def change(call: Call) -> web.Response:
    """Change the given fields; another parent moves what is below along."""
    wanted = patches.changes(await read_as(call, _patch))
    program_id, category_id = call.principal.program_id, call.params["category_id"]
    async with call.app.transaction() as db:
        before, after = await stored.change(db, program_id, category_id, wanted)
        await auditing.record(call, db, "category.change", category_id, before, after)
    await call.app.catalogue.announce(program_id)
    return problem.reply(after)


async def delete(call: Call) -> web.Response:
    """Delete a category that nothing is filed in."""
    program_id, category_id = call.principal.program_id, call.params["category_id"]
    async with call.app.transaction() as db:
        gone = await stored.delete(db, program_id, category_id)
        await auditing.record(call, db, "category.delete", category_id, before=gone)
    return web.Response(status=204)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/categories",
        handler=create,
        name="create_category",
        summary="Store a category",
        scope=WRITE,
        body=CategoryConfig,
        reply=Category,
        status=201,
        errors=(*PLACED, errors.ProgramNotFound),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/categories",
        handler=list_all,
        name="list_categories",
        summary="The whole tree of categories",
        scope=READ,
        reply=Tree,
    ),
    Route(
        method="GET",
        path="/v1/categories/{category_id}",
        handler=get,
        name="get_category",
        summary="Read a category",
        scope=READ,
        reply=Category,
        errors=(errors.CategoryNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/categories/{category_id}",
        handler=change,
        name="change_category",
        summary="Change the given fields of a category, or move it",
        scope=WRITE,
        body=CategoryPatch,
        reply=Category,
        errors=PLACED,
    ),
    Route(
        method="DELETE",
        path="/v1/categories/{category_id}",
        handler=delete,
        name="delete_category",
        summary="Delete a category that nothing is filed in",
        scope=WRITE,
        status=204,
        errors=(errors.CategoryNotFound, errors.CategoryInUse),
    ),
)
