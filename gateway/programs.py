"""`/v1/programs`: staff make programs; a program's own token sees and changes its own."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors
from core.names import Name
from core.programs import ProgramSettings, zone
from db import programs
from db.pg import Db
from db.programs import Program
from gateway import answers, auditing, lists, patches
from gateway.app import Call, read, read_as
from web import problem
from web.routing import Route

Currency = Annotated[str, Meta(pattern=r"^[A-Z]{3}$(?!\n)")]
TimeZone = Annotated[str, Meta(min_length=1, max_length=64)]


class NewProgram(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A program to be made; its days are those of its time zone, an IANA name."""

    name: Annotated[Name, Meta(min_length=1)]
    currency: Currency
    time_zone: TimeZone = "UTC"
    settings: ProgramSettings = ProgramSettings()


ProgramPatch = patches.patch_of(NewProgram)
_new = msgspec.json.Decoder(NewProgram)
_patch = msgspec.json.Decoder(ProgramPatch)


async def create(call: Call) -> web.Response:
    """Make a program."""
    body = await read(call)
    new = problem.decode(_new, body)
    _check_zone(new.time_zone)

    async def work(db: Db) -> Program:
        made = await programs.add(
            db,
            call.app.new_id("program"),
            name=new.name,
            currency=new.currency,
            time_zone=new.time_zone,
            settings=new.settings,
        )
        await auditing.record(call, db, "program.create", made.id, after=new, program_id=made.id)
        return made

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """All programs, oldest first."""
    window = problem.decode_query(lists.Window, call.query)
    after = window.after("program")
    async with call.app.connection() as db:
        found = await programs.page(db, after=after, limit=window.limit + 1)
    return problem.reply(lists.page(found, window.limit))


async def get(call: Call) -> web.Response:
    """One program."""
    program_id = _visible(call)
    async with call.app.connection() as db:
        return problem.reply(await programs.get(db, program_id))


async def change(call: Call) -> web.Response:
    """Change the given fields; `settings` is replaced as a whole."""
    program_id = _visible(call)
    patch = await read_as(call, _patch)
    wanted = patches.changes(patch)
    if "time_zone" in wanted:
        _check_zone(wanted["time_zone"])
    async with call.app.transaction() as db:
        before = await programs.lock(db, program_id)
        after = await programs.change(db, program_id, wanted)
        await auditing.record(
            call, db, "program.change", program_id, before, after, program_id=program_id
        )
    return problem.reply(after)


def _visible(call: Call) -> str:
    program_id = call.params["program_id"]
    caller = call.principal
    if not caller.is_platform and program_id != caller.program_id:
        raise errors.ProgramNotFound
    return program_id


def _check_zone(name: str) -> None:
    try:
        zone(name)
    except (KeyError, ValueError, OSError):
        detail = "The time zone is unknown."
        where = {"detail": detail, "pointer": "/time_zone"}
        raise errors.InvalidRequest(detail, errors=[where]) from None


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/programs",
        handler=create,
        name="create_program",
        summary="Make a program",
        scope="platform:admin",
        body=NewProgram,
        reply=Program,
        status=201,
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/programs",
        handler=list_all,
        name="list_programs",
        summary="List programs, oldest first",
        scope="platform:admin",
        query=lists.Window,
        reply=lists.Page[Program],
    ),
    Route(
        method="GET",
        path="/v1/programs/{program_id}",
        handler=get,
        name="get_program",
        summary="Read a program",
        scope="programs:read",
        reply=Program,
        errors=(errors.ProgramNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/programs/{program_id}",
        handler=change,
        name="change_program",
        summary="Change the given fields of a program",
        scope="programs:write",
        body=ProgramPatch,
        reply=Program,
        errors=(errors.ProgramNotFound,),
    ),
)
