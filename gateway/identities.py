"""`/v1/me/identities`: with which providers a member signs in."""

from __future__ import annotations

import msgspec
from aiohttp import web

from core import errors
from db import identities
from db.identities import Identity
from gateway import auditing, notices, social
from gateway.app import Call, read_as
from web import problem
from web.routing import Route


class Identities(msgspec.Struct, frozen=True):
    """All of a member's, at most one for each provider."""

    data: list[Identity]


async def list_all(call: Call) -> web.Response:
    """The caller's own."""
    caller = call.principal
    async with call.app.connection() as db:
        found = await identities.of_member(db, call.app.ring, caller.program_id, caller.subject)
    return problem.reply(Identities(found))


async def link(call: Call) -> web.Response:
    """Link the identity that the code stands for; the caller signs in with it from now on."""
    app, caller = call.app, call.principal
    body = await read_as(call, social.REDEEM)
    proof = await social.proved(app, body, caller.program_id)
    if proof.provider != call.params["provider"]:
        raise errors.SignInCodeInvalid
    identity_id = app.new_id("identity")
    async with app.transaction() as db:
        linked = await identities.link(
            db, app.ring, proof, identity_id=identity_id, member_id=caller.subject
        )
        after = {"provider": proof.provider}
        await auditing.record(call, db, "identity.link", caller.subject, after=after)
        await notices.send(call, db, caller.subject, caller.program_id, "sign_in_added")
    return problem.reply(linked, call.route.status)


async def unlink(call: Call) -> web.Response:
    """Forget the caller's identity of the provider, and its tokens."""
    app, caller, provider = call.app, call.principal, call.params["provider"]
    async with app.transaction() as db:
        await identities.unlink(
            db, caller.program_id, caller.subject, provider, usable=app.providers
        )
        before = {"provider": provider}
        await auditing.record(call, db, "identity.unlink", caller.subject, before=before)
    return web.Response(status=204)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/me/identities",
        handler=list_all,
        name="list_my_identities",
        summary="List the providers that the member signs in with",
        scope="me",
        reply=Identities,
    ),
    Route(
        method="POST",
        path="/v1/me/identities/{provider}",
        handler=link,
        name="link_identity",
        summary="Link the identity that the code stands for",
        scope="me",
        body=social.Redeem,
        reply=Identity,
        status=201,
        errors=(
            errors.SignInCodeInvalid,
            errors.IdentityTaken,
            errors.ProviderLinked,
            errors.MemberNotFound,
        ),
        repeats="The code is good once; linking what is linked changes nothing.",
    ),
    Route(
        method="DELETE",
        path="/v1/me/identities/{provider}",
        handler=unlink,
        name="unlink_identity",
        summary="Unlink an identity; the last way to sign in stays",
        scope="me",
        status=204,
        errors=(errors.IdentityNotFound, errors.LastSignInWay),
    ),
)
