"""Sessions of people: going on with one, ending it, and seeing where one is signed in."""

from __future__ import annotations

import os
from typing import Annotated, Final

import msgspec
from aiohttp import web

from core import errors, sessions
from db import mfa
from db import sessions as stored
from db.sessions import Reused, Shown
from gateway import auditing, lists, signin
from gateway.app import Call, read_as
from gateway.signin import Grant
from web import problem
from web.routing import Route

#: What members and operators may do with what is their own.
OWN: Final = "me self"


class Refresh(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The refresh token that came last."""

    refresh_token: Annotated[str, msgspec.Meta(min_length=1, max_length=200)]

    def __repr__(self) -> str:
        return "Refresh(…)"


_refresh = msgspec.json.Decoder(Refresh)


async def refresh(call: Call) -> web.Response:
    """Trade a refresh token for new tokens. One that was used before ends the session."""
    app = call.app
    used = sessions.parse((await read_as(call, _refresh)).refresh_token)
    following = sessions.follow(used, os.urandom(sessions.SECRET_BYTES))
    ended: list[str] = []
    async with app.transaction() as db:
        found = await stored.rotate(db, used, following, app.lifetimes, signin.network(call))
        if isinstance(found, Reused):
            ended = await stored.revoke(
                db, found.session.subject_id, used.session_id, app.lifetimes
            )
            await signin.record(call, db, found.session, "session.reuse")
    if isinstance(found, Reused):
        signin.count("refresh", "reused")
        await signin.end(app, ended)
        raise errors.TokenRevoked("The refresh token was used before, so its session has ended.")
    signin.count("refresh", "granted")
    return problem.reply(signin.granted(app, found, following), headers=signin.FRESH)


async def log_out(call: Call) -> web.Response:
    """End this session."""
    return await _end_one(call, call.principal.session_id)


async def end(call: Call) -> web.Response:
    """End one of one's own sessions."""
    return await _end_one(call, call.params["session_id"])


async def _end_one(call: Call, session_id: str) -> web.Response:
    app = call.app
    async with app.transaction() as db:
        ended = await stored.revoke(db, call.principal.subject, session_id, app.lifetimes)
        if not ended:
            raise errors.SessionNotFound
        await auditing.record(call, db, "session.end", session_id)
    await signin.end(app, ended)
    return web.Response(status=204)


async def log_out_everywhere(call: Call) -> web.Response:
    """End all of one's own sessions, this one too."""
    app = call.app
    async with app.transaction() as db:
        # First: a sign-in that is being completed has its session before this goes on.
        await mfa.give_up(db, call.principal.subject)
        ended = await stored.revoke_all(db, call.principal.subject, app.lifetimes)
        await auditing.record(call, db, "session.end_all", call.principal.subject)
    await signin.end(app, ended)
    return web.Response(status=204)


async def list_all(call: Call) -> web.Response:
    """One's own living sessions, oldest first."""
    window = problem.decode_query(lists.Window, call.query)
    caller, after = call.principal, window.after("session")
    async with call.app.connection() as db:
        found = await stored.page(
            db, caller.subject, caller.session_id, after=after, limit=window.limit + 1
        )
    return problem.reply(lists.page(found, window.limit))


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/auth/refresh",
        handler=refresh,
        name="refresh",
        summary="Trade a refresh token for new tokens; each is good once",
        body=Refresh,
        reply=Grant,
        is_secret=True,
        repeats="A refresh token that comes twice ends its session: the client signs in again.",
        errors=(
            errors.TokenInvalid,
            errors.TokenExpired,
            errors.SessionTooOld,
            errors.TokenRevoked,
            errors.Unavailable,
            errors.OutcomeUnknown,
        ),
    ),
    Route(
        method="POST",
        path="/v1/auth/logout",
        handler=log_out,
        name="log_out",
        summary="End this session",
        scope=OWN,
        repeats="What has ended stays ended.",
        status=204,
        errors=(errors.SessionNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/auth/logout-everywhere",
        handler=log_out_everywhere,
        name="log_out_everywhere",
        summary="End all of one's own sessions",
        scope=OWN,
        repeats="What has ended stays ended.",
        status=204,
    ),
    Route(
        method="GET",
        path="/v1/sessions",
        handler=list_all,
        name="list_sessions",
        summary="List one's own sessions, oldest first",
        scope=OWN,
        query=lists.Window,
        reply=lists.Page[Shown],
    ),
    Route(
        method="DELETE",
        path="/v1/sessions/{session_id}",
        handler=end,
        name="end_session",
        summary="End one of one's own sessions",
        scope=OWN,
        status=204,
        errors=(errors.SessionNotFound,),
    ),
)
