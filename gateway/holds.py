"""`/v1/holds`: points or stamps set aside for a while, then captured, released or expired."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal

import msgspec
from aiohttp import web

from core import errors, ids
from core.programs import Amount
from db import awards, decisions
from gateway import answers, lookups
from gateway.app import Call, read, read_as
from gateway.awards import Line, MemberId
from web import problem
from web.routing import Route

Lifetime = Annotated[int, msgspec.Meta(ge=1, le=30 * 86_400)]
State = Literal["open", "captured", "released", "expired"]


class NewHold(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is set aside, and for how many seconds at the most."""

    member: MemberId
    kind: awards.Unit
    amount: Amount
    expires_in_s: Lifetime = 900
    reason: Line | None = None
    reference: Line | None = None


class Hold(msgspec.Struct, frozen=True, kw_only=True):
    """An open hold and the balance that is left besides it."""

    id: str
    member: str
    kind: awards.Unit
    amount: int
    balance: int
    state: State
    expires_at: dt.datetime
    reason: str | None
    reference: str | None
    created_at: dt.datetime
    sequence: int


class NewCapture(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of a hold is taken: all, if no amount is given. The rest is given back."""

    amount: Amount | None = None


class ClosedHold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold that was captured or released, and the balance after it."""

    id: str
    member: str
    kind: awards.Unit
    state: State
    captured: int
    released: int
    balance: int
    closed_at: dt.datetime
    sequence: int


class StoredHold(msgspec.Struct, frozen=True, kw_only=True):
    """A hold as it stands."""

    id: str
    member: str
    kind: awards.Unit
    amount: int
    is_open: bool
    created_at: dt.datetime


_new = msgspec.json.Decoder(NewHold)
_capture = msgspec.json.Decoder(NewCapture)


async def create(call: Call) -> web.Response:
    """Set points or stamps aside; the balance never goes below zero by it."""
    key = answers.required_key(call)
    new = await read_as(call, _new)
    app, caller, now_ms = call.app, call.principal, call.app.now_ms()
    ask = awards.Ask(
        op="hold",
        program=await app.rules.program(caller.program_id),
        caller=caller.subject,
        key=key,
        unit=new.kind,
        amount=new.amount,
        member_id=new.member,
        reason=new.reason,
        reference=new.reference,
        expires_in_s=new.expires_in_s,
    )
    decision = await lookups.settled(awards.decide(app.points, app.pool, ask, now_ms))
    hold = Hold(
        id=answers.event_id("hold", ask.where, decision),
        member=new.member,
        kind=new.kind,
        amount=new.amount,
        balance=decision.balance,
        state="open",
        expires_at=lookups.moment(decision.at_ms + 1000 * new.expires_in_s),
        reason=new.reason,
        reference=new.reference,
        created_at=lookups.moment(decision.at_ms),
        sequence=decision.sequence,
    )
    return answers.decided(hold, decision)


async def get(call: Call) -> web.Response:
    """One hold."""
    hold_id = call.params["hold_id"]
    found = await lookups.event(call, hold_id, "hold", errors.HoldNotFound)
    ref = ids.parse_event_id(hold_id, "hold")
    amount = await call.app.points.hold_amount(ref.partition, f"{ref.generation}-{ref.sequence}")
    return problem.reply(
        StoredHold(
            id=hold_id,
            member=found.member_id,
            kind=found.unit,
            amount=found.amount,
            is_open=amount is not None,
            created_at=lookups.moment(found.recorded_at_ms),
        )
    )


async def capture(call: Call) -> web.Response:
    """Take what a hold has set aside, or a part of it; the hold is closed."""
    body = await read(call)
    new = problem.decode(_capture, body) if body else NewCapture()
    return await _close(call, "capture", new.amount or 0)


async def release(call: Call) -> web.Response:
    """Give back what a hold has set aside."""
    return await _close(call, "release", 0)


async def _close(call: Call, op: Literal["capture", "release"], amount: int) -> web.Response:
    key = answers.required_key(call)
    hold_id = call.params["hold_id"]
    found = await lookups.event(call, hold_id, "hold", errors.HoldNotFound)
    ref = ids.parse_event_id(hold_id, "hold")
    app, caller, now_ms = call.app, call.principal, call.app.now_ms()
    ask = awards.Ask(
        op=op,
        program=await app.rules.program(caller.program_id),
        caller=caller.subject,
        key=key,
        unit=found.unit,
        amount=amount,
        partition=ref.partition,
        related=f"{ref.generation}-{ref.sequence}",
    )
    decision = await lookups.settled(awards.decide(app.points, app.pool, ask, now_ms))
    return answers.decided(_closed(hold_id, found, op, decision), decision, 200)


def _closed(
    hold_id: str,
    found: awards.Event,
    op: Literal["capture", "release"],
    decision: decisions.Decision,
) -> ClosedHold:
    is_capture = op == "capture"
    return ClosedHold(
        id=hold_id,
        member=found.member_id,
        kind=found.unit,
        state="captured" if is_capture else "released",
        captured=decision.amount if is_capture else 0,
        released=decision.remainder if is_capture else decision.amount,
        balance=decision.balance,
        closed_at=lookups.moment(decision.at_ms),
        sequence=decision.sequence,
    )


_REFUSALS = (
    errors.IdempotencyKeyMissing,
    errors.IdempotencyKeyInvalid,
    errors.IdempotencyKeyReused,
    errors.ProgramNotFound,
    errors.NotOpen,
    errors.OverCapacity,
)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/holds",
        handler=create,
        name="create_hold",
        summary="Set a member's points or stamps aside",
        scope="awards:write",
        body=NewHold,
        reply=Hold,
        status=201,
        errors=(
            *_REFUSALS,
            errors.MemberNotFound,
            errors.InsufficientBalance,
            errors.BalanceNegative,
        ),
        is_idempotent=True,
    ),
    Route(
        method="GET",
        path="/v1/holds/{hold_id}",
        handler=get,
        name="get_hold",
        summary="One hold",
        scope="awards:read",
        reply=StoredHold,
        errors=(errors.HoldNotFound, errors.NotOpen),
    ),
    Route(
        method="POST",
        path="/v1/holds/{hold_id}/capture",
        handler=capture,
        name="capture_hold",
        summary="Take what a hold has set aside",
        scope="awards:write",
        body=NewCapture,
        reply=ClosedHold,
        errors=(
            *_REFUSALS,
            errors.HoldNotFound,
            errors.HoldNotOpen,
            errors.CaptureTooLarge,
        ),
        is_idempotent=True,
    ),
    Route(
        method="POST",
        path="/v1/holds/{hold_id}/release",
        handler=release,
        name="release_hold",
        summary="Give back what a hold has set aside",
        scope="awards:write",
        reply=ClosedHold,
        errors=(*_REFUSALS, errors.HoldNotFound, errors.HoldNotOpen),
        is_idempotent=True,
    ),
)
