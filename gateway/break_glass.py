"""`/v1/admin/break-glass`: how an admin gets at a program's data, and how everybody hears of it.

What is given is an access token of its own: for one program, for at most an hour, void as soon as
the admin's session ends or anybody ends the access. It and each call with it are written into the
audit logs of the program and of the installation, the program's owners get a mail, a metric and a
warning say so.
"""

from __future__ import annotations

import logging
from typing import Annotated, Final, Literal

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, roles, tokens
from core.sessions import BREAK_GLASS_S
from db import break_glass, notifications, operators, revocations
from db.break_glass import Glass
from db.notifications import New
from db.pg import Db
from gateway import auditing, lists
from gateway.app import Call, read_as
from web import metrics, problem
from web.routing import Route

log = logging.getLogger(__name__)

MINUTES_MAX: Final = BREAK_GLASS_S // 60

Reason = Annotated[str, Meta(min_length=10, max_length=500, pattern=r"^[^\x00-\x1f\x7f]+$(?!\n)")]
Minutes = Annotated[int, Meta(ge=1, le=MINUTES_MAX)]


class NewGlass(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Into which program an admin has to look, why, and for how long."""

    program_id: Annotated[str, Meta(max_length=64)]
    reason: Reason
    minutes: Minutes = MINUTES_MAX


class GlassWithToken(Glass, frozen=True, kw_only=True):
    """An access, and the token for it."""

    access_token: str
    token_type: Literal["Bearer"]
    expires_in: int

    def __repr__(self) -> str:
        return f"GlassWithToken({self.id})"


_new = msgspec.json.Decoder(NewGlass)


async def open_one(call: Call) -> web.Response:
    """Let the admin into the program, and tell everybody."""
    new = await read_as(call, _new)
    caller, app = call.principal, call.app
    if caller.role != "admin":
        raise errors.Forbidden("Only an admin who has signed in can be held to a reason.")
    async with app.transaction() as db:
        glass = await break_glass.add(
            db,
            app.new_id("glass"),
            program_id=new.program_id,
            operator_id=caller.subject,
            reason=new.reason,
            minutes=new.minutes,
        )
        after = {"reason": glass.reason, "minutes": new.minutes}
        await auditing.record_in_both(
            call, db, glass.program_id, "break_glass.open", glass.id, after
        )
        await _tell_owners(call, db, glass, new.minutes)
    metrics.break_glass.labels("opened").inc()
    log.warning("break-glass %s: %s into %s", glass.id, glass.operator_id, glass.program_id)
    token = tokens.issue(
        app.ring,
        program_id=glass.program_id,
        subject=caller.subject,
        scopes=roles.BREAK_GLASS,
        now_s=app.now_ms() // 1000,
        ttl_s=60 * new.minutes,
        token_id=glass.id,
        role="admin",
        session_id=caller.session_id,
        has_second_factor=caller.has_second_factor,
    )
    granted = GlassWithToken(
        **msgspec.structs.asdict(glass),
        access_token=token,
        token_type="Bearer",  # noqa: S106 - the word of RFC 6750
        expires_in=60 * new.minutes,
    )
    return problem.reply(granted, call.route.status)


async def list_all(call: Call) -> web.Response:
    """All accesses, the latest first."""
    window = problem.decode_query(lists.Window, call.query)
    before = window.after("glass")
    async with call.app.connection() as db:
        found = await break_glass.page(db, before=before, limit=window.limit + 1)
    return problem.reply(lists.page(found, window.limit))


async def end(call: Call) -> web.Response:
    """End an access, one's own or somebody else's; its token is void in every process at once."""
    app = call.app
    until_s = app.now_ms() // 1000 + BREAK_GLASS_S + 2 * tokens.LEEWAY_S
    async with app.transaction() as db:
        glass = await break_glass.end(db, call.params["glass_id"])
        await revocations.add(db, [glass.id], until_s)
        await auditing.record_in_both(call, db, glass.program_id, "break_glass.end", glass.id)
    await app.revocations.announce([glass.id], until_s)
    metrics.break_glass.labels("ended").inc()
    log.warning("break-glass %s has ended", glass.id)
    return web.Response(status=204)


async def _tell_owners(call: Call, db: Db, glass: Glass, minutes: int) -> None:
    ring = call.app.ring
    for owner in await operators.owners(db, ring, glass.program_id):
        new = New(
            program_id=glass.program_id,
            recipient_kind="operator",
            recipient_id=owner.id,
            channel="email",
            address=owner.email,
            template="break_glass",
            language=owner.language,
            variables={
                "operator": glass.operator_id,
                "reason": glass.reason,
                "minutes": minutes,
            },
            dedupe_key=f"{glass.id}:{owner.id}",
        )
        await notifications.add(db, ring, new)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/admin/break-glass",
        handler=open_one,
        name="open_break_glass",
        summary="Let an admin into a program's data for at most an hour, loudly",
        scope=tokens.PLATFORM,
        body=NewGlass,
        reply=GlassWithToken,
        status=201,
        errors=(errors.ProgramNotFound, errors.Forbidden),
        is_secret=True,
        repeats="Each access is one of its own, and each is told.",
    ),
    Route(
        method="GET",
        path="/v1/admin/break-glass",
        handler=list_all,
        name="list_break_glass",
        summary="List accesses of admins to programs, the latest first",
        scope=tokens.PLATFORM,
        query=lists.Window,
        reply=lists.Page[Glass],
    ),
    Route(
        method="DELETE",
        path="/v1/admin/break-glass/{glass_id}",
        handler=end,
        name="end_break_glass",
        summary="End an access of an admin to a program",
        scope=tokens.PLATFORM,
        status=204,
        errors=(errors.GlassNotFound,),
        repeats="The second time there is nothing to end.",
    ),
)
