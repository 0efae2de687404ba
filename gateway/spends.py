"""`/v1/spends`: members use points or stamps; a balance never goes below zero by it."""

from __future__ import annotations

import datetime as dt

import msgspec
from aiohttp import web

from core import errors
from core.programs import Amount
from db import awards
from gateway import answers, lookups
from gateway.app import Call, read_as
from gateway.awards import Line, MemberId
from web.routing import Route


class NewSpend(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a member spends, and on what."""

    member: MemberId
    kind: awards.Unit
    amount: Amount
    reason: Line | None = None
    reference: Line | None = None


class Spend(msgspec.Struct, frozen=True, kw_only=True):
    """A spend and the balance after it."""

    id: str
    member: str
    kind: awards.Unit
    amount: int
    balance: int
    reason: str | None
    reference: str | None
    created_at: dt.datetime
    sequence: int


_new = msgspec.json.Decoder(NewSpend)


async def create(call: Call) -> web.Response:
    """Spend points or stamps; the answer is final."""
    key = answers.required_key(call)
    new = await read_as(call, _new)
    app, caller, now_ms = call.app, call.principal, call.app.now_ms()
    ask = awards.Ask(
        op="spend",
        program=await app.rules.program(caller.program_id),
        caller=caller.subject,
        key=key,
        unit=new.kind,
        amount=new.amount,
        member_id=new.member,
        reason=new.reason,
        reference=new.reference,
    )
    decision = await lookups.settled(awards.decide(app.points, app.pool, ask, now_ms))
    spend = Spend(
        id=answers.event_id("spend", ask.where, decision),
        member=new.member,
        kind=new.kind,
        amount=new.amount,
        balance=decision.balance,
        reason=new.reason,
        reference=new.reference,
        created_at=lookups.moment(decision.at_ms),
        sequence=decision.sequence,
    )
    return answers.decided(spend, decision)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/spends",
        handler=create,
        name="create_spend",
        summary="Spend a member's points or stamps",
        scope="awards:write",
        body=NewSpend,
        reply=Spend,
        status=201,
        errors=(
            errors.IdempotencyKeyMissing,
            errors.IdempotencyKeyInvalid,
            errors.IdempotencyKeyReused,
            errors.MemberNotFound,
            errors.ProgramNotFound,
            errors.InsufficientBalance,
            errors.BalanceNegative,
            errors.NotOpen,
            errors.OverCapacity,
        ),
        is_idempotent=True,
    ),
)
