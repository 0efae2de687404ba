"""`/v1/members/{id}/ban`: members who are banned, and may come back.

No conversion becomes theirs, nothing is paid to them, and they do not sign in. What is on the books
stays there.
"""

from __future__ import annotations

from typing import Final

import msgspec
from aiohttp import web

from core import errors
from db import members, mfa, sessions
from db.members import Member
from db.pg import Db
from gateway import auditing, signin
from gateway.app import Call, read_as
from gateway.conversions import Reason
from gateway.lookups import moment
from web import problem
from web.routing import Route

_reason = msgspec.json.Decoder(Reason)


async def ban(call: Call) -> web.Response:
    """Ban a member; the reason stands in the audit log."""
    wanted = await read_as(call, _reason)
    async with call.app.transaction() as db:
        member, ended = await begin(call, db, call.params["member_id"], _said(wanted))
    await signin.end(call.app, ended)
    return problem.reply(member)


async def unban(call: Call) -> web.Response:
    """Let a member come back; what was not credited meanwhile stays so."""
    wanted = await read_as(call, _reason)
    program_id, member_id = call.principal.program_id, call.params["member_id"]
    async with call.app.transaction() as db:
        member, is_new = await members.ban(db, call.app.ring, program_id, member_id, None)
        if is_new:
            await auditing.record(call, db, "member.unban", member_id, after=_said(wanted))
    return problem.reply(member)


async def begin(
    call: Call, db: Db, member_id: str, said: dict[str, object]
) -> tuple[Member, list[str]]:
    """Ban a member in the caller's transaction, and record what was said; MemberNotFound. Whoever
    commits it tells all processes which sessions have ended."""
    app, at = call.app, moment(call.app.now_ms())
    member, is_new = await members.ban(db, app.ring, call.principal.program_id, member_id, at)
    if not is_new:
        return member, []
    ended = await sessions.revoke_all(db, member_id, app.lifetimes)
    await mfa.give_up(db, member_id)
    await auditing.record(call, db, "member.ban", member_id, after=said)
    return member, ended


def _said(wanted: Reason) -> dict[str, object]:
    return {"reason": wanted.reason}


_SAME: Final = "A second time changes nothing."

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/members/{member_id}/ban",
        handler=ban,
        name="ban_member",
        summary="Ban a member: nothing is credited or paid, and nobody signs in",
        scope="conversions:write",
        body=Reason,
        reply=Member,
        errors=(errors.MemberNotFound,),
        repeats=_SAME,
    ),
    Route(
        method="POST",
        path="/v1/members/{member_id}/unban",
        handler=unban,
        name="unban_member",
        summary="Let a banned member come back",
        scope="conversions:write",
        body=Reason,
        reply=Member,
        errors=(errors.MemberNotFound,),
        repeats=_SAME,
    ),
)
