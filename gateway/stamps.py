"""`/v1/stamps`: an award of one to five stamps, as a till gives them, by the rules for stamps."""

from __future__ import annotations

from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from db import awards as decided
from gateway import answers, awards
from gateway.app import Call, read_as
from web.routing import Route

Count = Annotated[int, Meta(ge=1, le=5)]


class NewStamps(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How many stamps whom. `occurred_at` is when they were earned, if not now."""

    member: awards.MemberId
    count: Count = 1
    reason: awards.Line | None = None
    reference: awards.Line | None = None
    occurred_at: awards.Moment | None = None


_new = msgspec.json.Decoder(NewStamps)


async def create(call: Call) -> web.Response:
    """Give stamps; the answer is final, and the same as that of an award of so many stamps."""
    key = answers.required_key(call)
    new = await read_as(call, _new)
    app, caller, now_ms = call.app, call.principal, call.app.now_ms()
    wanted = awards.NewAward(
        member=new.member,
        kind="stamps",
        amount=new.count,
        reason=new.reason,
        reference=new.reference,
        occurred_at=new.occurred_at,
    )
    program = await app.rules.program(caller.program_id)
    ask = awards.draft(program, caller.subject, key, wanted, now_ms)
    decision = await awards.settled(app, ask, now_ms, decided.place(app.points, ask, now_ms))
    return answers.decided(awards.award(ask, decision), decision)


ROUTES: tuple[Route, ...] = (
    msgspec.structs.replace(
        awards.CREATE,
        path="/v1/stamps",
        handler=create,
        name="create_stamps",
        summary="Give a member one to five stamps",
        body=NewStamps,
    ),
)
