"""`/v1/me`: what a signed-in person sees and changes of their own, and the keys of the tokens."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec
from aiohttp import web

from core import errors, jwks
from core.names import Name
from core.roles import Role
from db import contacts, credentials, members, operators
from db.contacts import MemberContact
from db.pg import Db
from gateway import patches
from gateway.app import Call, read_as
from gateway.sessions import OWN
from web import problem
from web.routing import Route

#: For how long a verifier elsewhere may keep the key set.
KEYS_FRESH: Final = {"Cache-Control": "public, max-age=300"}


class Profile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What people may change of themselves. Contacts have routes of their own."""

    name: Name | None = None


class Me(msgspec.Struct, frozen=True, kw_only=True):
    """A member or an operator, as they see themselves."""

    id: str
    role: Role
    program_id: str | None
    name: str | None
    contacts: list[MemberContact]
    has_password: bool
    created_at: dt.datetime


ProfilePatch = patches.patch_of(Profile)
_patch = msgspec.json.Decoder(ProfilePatch)


async def get(call: Call) -> web.Response:
    """Who is signed in."""
    async with call.app.connection() as db:
        return problem.reply(await _me(call, db))


async def change(call: Call) -> web.Response:
    """Change the given fields."""
    wanted = patches.changes(await read_as(call, _patch))
    caller = call.principal
    async with call.app.transaction() as db:
        if caller.role == "member":
            await members.change(db, call.app.ring, caller.program_id, caller.subject, wanted)
        else:
            if wanted.get("name", "") is None:
                raise errors.InvalidRequest("An operator has a name.")
            await operators.change(db, call.app.ring, _own_program(call), caller.subject, wanted)
        found = await _me(call, db)
    return problem.reply(found)


async def keys(call: Call) -> web.Response:
    """The public keys with which our tokens can be verified."""
    return problem.reply(jwks.key_set(call.app.ring), headers=KEYS_FRESH)


async def _me(call: Call, db: Db) -> Me:
    caller, ring = call.principal, call.app.ring
    has_password = await credentials.of_subject(db, caller.subject) is not None
    if caller.role == "member":
        member = await members.get(db, ring, caller.program_id, caller.subject)
        found = await contacts.of_member(db, ring, caller.program_id, member.id)
        return Me(
            id=member.id,
            role="member",
            program_id=caller.program_id,
            name=member.name,
            contacts=found,
            has_password=has_password,
            created_at=member.created_at,
        )
    operator = await operators.get(db, ring, _own_program(call), caller.subject)
    return Me(
        id=operator.id,
        role=operator.role,
        program_id=operator.program_id,
        name=operator.name,
        # Whoever has a password came by an invitation to this address.
        contacts=[MemberContact("email", operator.email, None)],
        has_password=has_password,
        created_at=operator.created_at,
    )


def _own_program(call: Call) -> str | None:
    """The program that an operator belongs to; an admin to none, whichever the header names."""
    return None if call.principal.is_platform else call.principal.program_id


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/me",
        handler=get,
        name="get_me",
        summary="Who is signed in",
        scope=OWN,
        reply=Me,
        errors=(errors.MemberNotFound, errors.OperatorNotFound),
    ),
    Route(
        method="PATCH",
        path="/v1/me",
        handler=change,
        name="change_me",
        summary="Change the given fields of one's own",
        scope=OWN,
        body=ProfilePatch,
        reply=Me,
        errors=(errors.MemberNotFound, errors.OperatorNotFound),
    ),
    Route(
        method="GET",
        path="/.well-known/jwks.json",
        handler=keys,
        name="jwks",
        summary="The public keys with which our tokens can be verified",
        reply=jwks.KeySet,
    ),
)
