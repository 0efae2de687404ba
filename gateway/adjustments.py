"""`/v1/adjustments`: money that operators give, take, or write off by hand.

Up to the threshold of withdrawals it moves at once; above it a second operator has to approve.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import adjustments, errors
from core.adjustments import Kind, State
from core.links import Line
from core.withdrawals import Money
from db import adjustments as stored
from db import programs
from db.adjustments import Act, Adjustment
from db.pg import Db
from gateway import answers, auditing, lists
from gateway.app import Call, read
from gateway.lookups import moment
from web import problem
from web.routing import Route

Amount = Annotated[int, Meta(ge=-(10**15), le=10**15)]
Reason = Annotated[Line, Meta(min_length=1)]
Id = Annotated[str, Meta(max_length=64)]


class NewAdjustment(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What the member's available balance is to change by, in minor units of the program's
    currency, and why; the member sees the reason.
    """

    member: Id
    amount_minor: Amount
    reason: Reason
    kind: Kind = "promotion"
    ticket: Annotated[Line, Meta(min_length=1)] | None = None


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which adjustments are asked for."""

    member_id: Id | None = None
    state: State | None = None


class ShownAdjustment(msgspec.Struct, frozen=True, kw_only=True):
    """An adjustment, who proposed it, and who decided about it."""

    id: str
    member: str
    kind: Kind
    amount_minor: int
    currency: str
    reason: str
    ticket: str | None
    state: State
    proposed_by: str
    decided_by: str | None
    created_at: dt.datetime
    decided_at: dt.datetime | None


_new = msgspec.json.Decoder(NewAdjustment)


async def create(call: Call) -> web.Response:
    """Move money by hand, or propose it where a second operator is needed."""
    answers.required_key(call)
    body = await read(call)
    new = problem.decode(_new, body)
    adjustments.check(new.kind, new.amount_minor)
    adjustment_id = call.app.new_id("adjustment")

    async def work(db: Db) -> ShownAdjustment:
        program = await programs.get(db, call.principal.program_id)
        needs_two = adjustments.needs_two(program.settings.withdrawals, new.amount_minor)
        if needs_two:
            _check_person(call)
        made = await stored.propose(
            db,
            program.id,
            adjustment_id,
            kind=new.kind,
            about=Money(new.member, new.amount_minor, program.currency),
            reason=new.reason,
            ticket=new.ticket,
            act=_act(call),
        )
        if not needs_two:
            made = await stored.post(db, made, _act(call))
        await _record(call, db, "propose" if needs_two else "post", made)
        return _shown(made)

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """Adjustments, the newest first."""
    search = problem.decode_query(Search, call.query)
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.principal.program_id,
            before=search.after("adjustment"),
            limit=search.limit + 1,
            member_id=search.member_id,
            state=search.state,
        )
    return problem.reply(lists.page([_shown(one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """One adjustment."""
    async with call.app.connection() as db:
        found = await stored.get(db, call.principal.program_id, call.params["adjustment_id"])
    return problem.reply(_shown(found))


async def approve(call: Call) -> web.Response:
    """Another operator lets the money move."""
    async with call.app.transaction() as db:
        before = await _lock(call, db)
        _check_person(call)
        if before.proposed_by == call.principal.subject:
            raise errors.SecondApproverNeeded
        after = await stored.post(db, before, _act(call))
        await _record(call, db, "approve", after)
    return problem.reply(_shown(after))


async def drop(call: Call) -> web.Response:
    """Give a proposal up."""
    async with call.app.transaction() as db:
        after = await stored.drop(db, await _lock(call, db), _act(call))
        await _record(call, db, "drop", after)
    return problem.reply(_shown(after))


async def _lock(call: Call, db: Db) -> Adjustment:
    return await stored.lock(db, call.principal.program_id, call.params["adjustment_id"])


def _check_person(call: Call) -> None:
    """Of two keys nobody can tell whether two persons hold them."""
    if call.principal.role == "app":
        raise errors.Forbidden("Above the program's threshold operators decide, signed in.")


async def _record(call: Call, db: Db, verb: str, one: Adjustment) -> None:
    said = {
        "member": one.member_id,
        "kind": one.kind,
        "amount_minor": one.amount_minor,
        "currency": one.currency,
        "reason": one.reason,
        "ticket": one.ticket,
        "state": one.state,
    }
    await auditing.record(call, db, f"adjustment.{verb}", one.id, after=said)


def _act(call: Call) -> Act:
    return Act(call.principal.subject, moment(call.app.now_ms()))


def _shown(one: Adjustment) -> ShownAdjustment:
    values = msgspec.structs.asdict(one)
    del values["program_id"]
    return ShownAdjustment(member=values.pop("member_id"), **values)


PATH: Final = "/v1/adjustments/{adjustment_id}"
MOVING: Final = (errors.BalanceNegative, errors.InsufficientBalance, errors.Conflict)
ONCE: Final = "A proposal is decided once; a repeat is refused, and changes nothing."

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/adjustments",
        handler=create,
        name="create_adjustment",
        summary="Give a member money, take it, or write a debt off",
        scope="withdrawals:write",
        body=NewAdjustment,
        reply=ShownAdjustment,
        status=201,
        errors=(errors.MemberNotFound, errors.Forbidden, *MOVING, errors.RequestInFlight),
        is_idempotent=True,
    ),
    Route(
        method="GET",
        path="/v1/adjustments",
        handler=list_all,
        name="list_adjustments",
        summary="List adjustments, the newest first",
        scope="withdrawals:read",
        query=Search,
        reply=lists.Page[ShownAdjustment],
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_adjustment",
        summary="Read an adjustment",
        scope="withdrawals:read",
        reply=ShownAdjustment,
        errors=(errors.AdjustmentNotFound,),
    ),
    Route(
        method="POST",
        path=f"{PATH}/approve",
        handler=approve,
        name="approve_adjustment",
        summary="A second operator lets the money move",
        scope="withdrawals:approve",
        reply=ShownAdjustment,
        errors=(
            errors.AdjustmentNotFound,
            errors.AdjustmentNotOpen,
            errors.MemberNotFound,
            errors.SecondApproverNeeded,
            errors.Forbidden,
            *MOVING,
        ),
        repeats=ONCE,
    ),
    Route(
        method="POST",
        path=f"{PATH}/drop",
        handler=drop,
        name="drop_adjustment",
        summary="Give a proposal up",
        scope="withdrawals:write",
        reply=ShownAdjustment,
        errors=(errors.AdjustmentNotFound, errors.AdjustmentNotOpen),
        repeats=ONCE,
    ),
)
