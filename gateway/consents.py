"""`…/consents`: what a member said about a purpose, recorded by the member or for the member."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors
from db import consents, members
from db.consents import Consent, Said
from gateway import auditing, lists
from gateway.app import Call, read_as
from gateway.privacy import OWN, member_of
from web import problem
from web.routing import Route


class Consents(msgspec.Struct, frozen=True):
    """What counts now, one answer a purpose."""

    data: list[Consent]


_said = msgspec.json.Decoder(Said)
_purpose = Annotated[str, Meta(pattern=r"^[a-z][a-z0-9_]{0,63}$")]


async def list_latest(call: Call) -> web.Response:
    """What the member consents to now."""
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        await members.get(db, call.app.ring, program_id, member_id)
        found = await consents.latest(db, program_id, member_id)
    return problem.reply(Consents(found))


async def list_history(call: Call) -> web.Response:
    """All answers of the member about a purpose, the newest first."""
    window = problem.decode_query(lists.Window, call.query)
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        await members.get(db, call.app.ring, program_id, member_id)
        found = await consents.page(
            db,
            program_id,
            member_id,
            _purpose_of(call),
            before=window.after("consent"),
            limit=window.limit + 1,
        )
    return problem.reply(lists.page(found, window.limit))


async def record(call: Call) -> web.Response:
    """Record an answer; it counts from now on, and those before it stay on record. The same answer
    again changes nothing.
    """
    said = await read_as(call, _said)
    purpose = _purpose_of(call)
    program_id, member_id = member_of(call)
    async with call.app.transaction() as db:
        stored = await consents.add(
            db,
            program_id,
            member_id,
            consent_id=call.app.new_id("consent"),
            purpose=purpose,
            said=said,
            recorded_by=call.principal.subject,
        )
        await auditing.record(
            call, db, "consent.record", member_id, after={"purpose": purpose, **_shown(said)}
        )
    return problem.reply(stored)


def _purpose_of(call: Call) -> str:
    try:
        return msgspec.convert(call.params["purpose"], _purpose)
    except msgspec.ValidationError:
        raise errors.InvalidRequest(
            "A purpose is a word of lower-case letters, digits and underscores."
        ) from None


def _shown(said: Said) -> dict[str, object]:
    return {"is_given": said.is_given}


def _routes(base: str, prefix: str, *, read: str, write: str, whose: str) -> tuple[Route, ...]:
    return (
        Route(
            method="GET",
            path=f"{base}/consents",
            handler=list_latest,
            name=f"list_{prefix}consents",
            summary=f"List what {whose} consents to now",
            scope=read,
            reply=Consents,
            errors=(errors.MemberNotFound,),
        ),
        Route(
            method="GET",
            path=f"{base}/consents/{{purpose}}",
            handler=list_history,
            name=f"list_{prefix}consent_history",
            summary=f"List all answers of {whose} about a purpose, the newest first",
            scope=read,
            query=lists.Window,
            reply=lists.Page[Consent],
            errors=(errors.MemberNotFound,),
        ),
        Route(
            method="PUT",
            path=f"{base}/consents/{{purpose}}",
            handler=record,
            name=f"record_{prefix}consent",
            summary=f"Record what {whose} says about a purpose",
            scope=write,
            body=Said,
            reply=Consent,
            errors=(errors.MemberNotFound,),
        ),
    )


ROUTES: tuple[Route, ...] = (
    *_routes(
        "/v1/members/{member_id}",
        "member_",
        read="privacy:read",
        write="privacy:write",
        whose="a member",
    ),
    *_routes("/v1/me/privacy", "my_", read=OWN, write=OWN, whose="the member who asks"),
)
