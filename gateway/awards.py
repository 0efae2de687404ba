"""`/v1/awards`: points and stamps for members, one by one or up to 1,000 at once, and back."""

from __future__ import annotations

import asyncio
import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web

from core import errors, ids
from core.programs import Amount, Program
from db import awards, decisions, keys
from gateway import answers, bulk, lookups
from gateway.app import App, Call, read
from web import problem
from web.routing import Route

Line = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
MemberId = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
# `(?!\n)`: a `$` alone would let a trailing newline through.
Key = Annotated[str, msgspec.Meta(pattern=r"^[ -~]{1,255}$(?!\n)")]
Moment = Annotated[dt.datetime, msgspec.Meta(tz=True)]
EARLIEST: Final = dt.datetime(2000, 1, 1, tzinfo=dt.UTC)
AHEAD: Final = dt.timedelta(minutes=5)


class NewAward(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What is awarded to whom. `occurred_at` is when it was earned, if not now."""

    member: MemberId
    kind: awards.Unit
    amount: Amount
    reason: Line | None = None
    reference: Line | None = None
    occurred_at: Moment | None = None


class NewAwardItem(NewAward, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """An award of a batch, with the idempotency key of its own."""

    idempotency_key: Key


class Award(msgspec.Struct, frozen=True, kw_only=True):
    """An award and the balance after it. `sequence` counts within the member's partition."""

    id: str
    member: str
    kind: awards.Unit
    amount: int
    balance: int
    reason: str | None
    reference: str | None
    occurred_at: dt.datetime
    created_at: dt.datetime
    sequence: int


class StoredAward(msgspec.Struct, frozen=True, kw_only=True):
    """An award as it was decided."""

    id: str
    member: str
    kind: awards.Unit
    amount: int
    reason: str | None
    reference: str | None
    occurred_at: dt.datetime
    created_at: dt.datetime


class NewReversal(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How much of an award is taken back: all that is left of it, if no amount is given."""

    amount: Amount | None = None
    reason: Line | None = None


class Reversal(msgspec.Struct, frozen=True, kw_only=True):
    """A reversal, and the balance after it, which may be negative."""

    id: str
    award: str
    member: str
    kind: awards.Unit
    amount: int
    balance: int
    reason: str | None
    created_at: dt.datetime
    sequence: int


decoder: Final = msgspec.json.Decoder(NewAward)
_new_item = msgspec.json.Decoder(NewAwardItem)
_new_items = msgspec.json.Decoder(bulk.Items[NewAwardItem])
_reversal = msgspec.json.Decoder(NewReversal)


async def create(call: Call) -> web.Response:
    """Award points or stamps; the answer is final. `hot.py` does the same for plain requests."""
    key = answers.required_key(call)
    new = problem.decode(decoder, await read(call), quotes=quotes)
    app, caller, now_ms = call.app, call.principal, call.app.now_ms()
    program = await app.rules.program(caller.program_id)
    ask = draft(program, caller.subject, key, new, now_ms)
    decision = await settled(app, ask, now_ms, awards.place(app.points, ask, now_ms))
    return answers.decided(award(ask, decision), decision)


async def settled(
    app: App, ask: awards.Ask, now_ms: int, placed: asyncio.Future[decisions.Outcome]
) -> decisions.Decision:
    """The decision about what was placed, or the refusal as an error."""
    return await lookups.settled(awards.settle(app.points, app.pool, ask, now_ms, placed))


async def create_many(call: Call) -> web.Response:
    """Award to up to 1,000 members; each item is decided by itself and answered in its place."""
    body = await read(call)
    app, caller, now_ms = call.app, call.principal, call.app.now_ms()
    program = await app.rules.program(caller.program_id)

    def drafted(new: NewAwardItem) -> awards.Ask:
        return draft(program, caller.subject, new.idempotency_key, new, now_ms)

    drafts = bulk.drafts_at_once(body, _new_items, _item_quotes, drafted)
    if drafts is None:
        drafts = bulk.drafts(body, _new_item, drafted)
    placed = [_place(call, draft, now_ms) for draft in drafts]
    made = [
        _settled_now(ask, future) or await _settle(call, ask, now_ms, future)
        for ask, future in placed
    ]
    return problem.reply(bulk.Answers(made))


def quotes(new: NewAward) -> int:
    """The quotation marks of an award's body, if no member stands in it twice."""
    return 10 + 4 * (3 - (new.reason, new.reference, new.occurred_at).count(None))


def _item_quotes(new: NewAwardItem) -> int:
    return 4 + quotes(new)


Placed = asyncio.Future[decisions.Outcome] | errors.StampgateError


def _place(
    call: Call, draft: awards.Ask | errors.StampgateError, now_ms: int
) -> tuple[awards.Ask | None, Placed]:
    if isinstance(draft, errors.StampgateError):
        return None, draft
    try:
        return draft, awards.place(call.app.points, draft, now_ms)
    except errors.StampgateError as error:
        return draft, error


def _settled_now(ask: awards.Ask | None, placed: Placed) -> bulk.ItemAnswer[Award] | None:
    """The answer to what Redis has granted already; one call of it grants many."""
    if ask is None or isinstance(placed, errors.StampgateError) or not placed.done():
        return None
    outcome = None if placed.exception() else placed.result()
    if outcome is None or outcome.status > decisions.REPLAYED:
        return None
    decision = outcome.decision()
    return bulk.answer(award(ask, decision), is_replay=decision.is_replay)


async def _settle(
    call: Call, ask: awards.Ask | None, now_ms: int, placed: Placed
) -> bulk.ItemAnswer[Award]:
    if ask is None or isinstance(placed, errors.StampgateError):
        return bulk.answer(placed)
    try:
        decision = await settled(call.app, ask, now_ms, placed)
    except errors.StampgateError as error:
        return bulk.answer(error)
    return bulk.answer(award(ask, decision), is_replay=decision.is_replay)


async def get(call: Call) -> web.Response:
    """One award, also one that was decided a moment ago."""
    award_id = call.params["award_id"]
    found = await _find(call, award_id)
    return problem.reply(
        StoredAward(
            id=award_id,
            member=found.member_id,
            kind=found.unit,
            amount=found.amount,
            reason=found.reason,
            reference=found.reference,
            occurred_at=lookups.moment(found.occurred_at_ms),
            created_at=lookups.moment(found.recorded_at_ms),
        )
    )


async def reverse(call: Call) -> web.Response:
    """Take an award back, in whole or in part; the balance may become negative."""
    key = answers.required_key(call)
    body = await read(call)
    new = problem.decode(_reversal, body) if body else NewReversal()
    app, caller, now_ms = call.app, call.principal, call.app.now_ms()
    award_id = call.params["award_id"]
    found = await _find(call, award_id)
    ref = ids.parse_event_id(award_id, "award")
    ask = awards.Ask(
        op="reverse",
        program=await app.rules.program(caller.program_id),
        caller=caller.subject,
        key=key,
        unit=found.unit,
        amount=new.amount or 0,
        member_id=found.member_id,
        reason=new.reason,
        related=f"{ref.generation}-{ref.sequence}",
        bound=found.amount,
    )
    decision = await lookups.settled(awards.decide(app.points, app.pool, ask, now_ms))
    reversal = Reversal(
        id=answers.event_id("reversal", ask.where, decision),
        award=award_id,
        member=ask.member_id,
        kind=ask.unit,
        amount=decision.amount,
        balance=decision.balance,
        reason=ask.reason,
        created_at=lookups.moment(decision.at_ms),
        sequence=decision.sequence,
    )
    return answers.decided(reversal, decision)


async def _find(call: Call, award_id: str) -> awards.Event:
    return await lookups.event(call, award_id, "award", errors.AwardNotFound)


def draft(program: Program, caller: str, key: str, new: NewAward, now_ms: int) -> awards.Ask:
    """What a new award asks to be decided; InvalidRequest."""
    occurred_at_ms = None if new.occurred_at is None else _occurred(new.occurred_at, now_ms)
    where = ids.partition_of(program.id, new.member, keys.AWARD_PARTITIONS)
    return awards.Ask(
        "award", program, caller, key, new.kind, new.amount, new.member, where, new.reason,
        new.reference, occurred_at_ms,
    )  # fmt: skip


def _occurred(at: dt.datetime, now_ms: int) -> int:
    if not EARLIEST <= at <= lookups.moment(now_ms) + AHEAD:
        detail = "occurred_at must lie between the year 2000 and now."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/occurred_at"}])
    return (at - lookups.EPOCH) // dt.timedelta(milliseconds=1)


def award(ask: awards.Ask, decision: decisions.Decision) -> Award:
    """The answer to what was decided."""
    created_at = lookups.moment(decision.at_ms)
    return Award(
        id=answers.event_id("award", ask.where, decision),
        member=ask.member_id,
        kind=ask.unit,
        amount=ask.amount,
        balance=decision.balance,
        reason=ask.reason,
        reference=ask.reference,
        occurred_at=(
            created_at if ask.occurred_at_ms is None else lookups.moment(ask.occurred_at_ms)
        ),
        created_at=created_at,
        sequence=decision.sequence,
    )


_REFUSALS = (
    errors.IdempotencyKeyMissing,
    errors.IdempotencyKeyInvalid,
    errors.IdempotencyKeyReused,
    errors.MemberNotFound,
    errors.ProgramNotFound,
    errors.LimitReached,
    errors.BudgetExhausted,
    errors.BalanceTooLarge,
    errors.NotOpen,
    errors.OverCapacity,
)

CREATE: Final = Route(
    method="POST",
    path="/v1/awards",
    handler=create,
    name="create_award",
    summary="Award points or stamps to a member",
    scope="awards:write",
    body=NewAward,
    reply=Award,
    status=201,
    errors=_REFUSALS,
    is_idempotent=True,
)

ROUTES: tuple[Route, ...] = (
    CREATE,
    Route(
        method="POST",
        path="/v1/awards/batch",
        handler=create_many,
        name="create_awards",
        summary="Award to up to 1,000 members, with an answer for each",
        scope="awards:write",
        body=bulk.Items[NewAwardItem],
        reply=bulk.Answers[Award],
        errors=(errors.ProgramNotFound,),
        body_limit=bulk.BODY_LIMIT,
        repeats="Each item has a key of its own.",
    ),
    Route(
        method="GET",
        path="/v1/awards/{award_id}",
        handler=get,
        name="get_award",
        summary="One award",
        scope="awards:read",
        reply=StoredAward,
        errors=(errors.AwardNotFound,),
    ),
    Route(
        method="POST",
        path="/v1/awards/{award_id}/reverse",
        handler=reverse,
        name="reverse_award",
        summary="Take an award back, in whole or in part",
        scope="awards:write",
        body=NewReversal,
        reply=Reversal,
        status=201,
        errors=(*_REFUSALS, errors.AwardNotFound, errors.ReversalTooLarge),
        is_idempotent=True,
    ),
)
