"""`/v1/admin/fraud/cases`: conversions that fraud rules hit, until an operator decides."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors
from core.conversions import Review
from core.conversions import State as ConversionState
from core.fraud import CaseState, Step
from db import fraud_cases as stored
from db import networks
from db.fraud_cases import Seen, ShownHit, Wanted
from db.pg import Db
from gateway import auditing, bans, lists, signin
from gateway.app import Call, read_as
from gateway.conversions import Reason
from gateway.postbacks import act
from web import problem
from web.routing import Route

Id = Annotated[str, Meta(max_length=64)]


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which cases are asked for."""

    state: CaseState | None = None
    member_id: Id | None = None
    conversion_id: Id | None = None


class ShownFraudCase(msgspec.Struct, frozen=True, kw_only=True):
    """A case. `cashback_minor` is what was at stake when it was opened. `decided_by` is a rule's id
    when that decided. A case that is decided says why in `reason`.
    """

    id: str
    state: CaseState
    conversion: str
    conversion_state: ConversionState
    review: Review | None
    network: str
    member: str | None
    currency: str | None
    cashback_minor: int
    hits: list[ShownHit]
    decided_by: str | None
    reason: str | None
    opened_at: dt.datetime
    decided_at: dt.datetime | None


_reason = msgspec.json.Decoder(Reason)


async def list_all(call: Call) -> web.Response:
    """Cases, the newest first."""
    search = problem.decode_query(Search, call.query)
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.principal.program_id,
            before=search.after("fraud_case"),
            limit=search.limit + 1,
            wanted=Wanted(search.state, search.member_id, search.conversion_id),
        )
    return problem.reply(lists.page([_shown(one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """One case."""
    async with call.app.connection() as db:
        return problem.reply(_shown(await stored.get(db, *_named(call))))


async def release(call: Call) -> web.Response:
    """Let the member have the cashback."""
    return await _decide(call, "release")


async def reject(call: Call) -> web.Response:
    """Keep the cashback from the member, or take it back."""
    return await _decide(call, "reject")


async def ban(call: Call) -> web.Response:
    """Ban the member whose conversion it is, and reject the case if it is open."""
    wanted = await read_as(call, _reason)
    program_id, case_id = _named(call)
    async with call.app.transaction() as db:
        before = await stored.get(db, program_id, case_id)
        if before.member_id is None:
            raise errors.MemberNotFound
        # The network first, as whoever takes its reports does; then the member.
        await networks.lock(db, program_id, before.network_id)
        said: dict[str, object] = {"reason": wanted.reason, "case": case_id}
        _, ended = await bans.begin(call, db, before.member_id, said)
        after = before
        if before.state == "open":
            after = await _step(call, db, before, "reject", wanted.reason)
    await signin.end(call.app, ended)
    return problem.reply(_shown(after))


async def _decide(call: Call, step: Step) -> web.Response:
    wanted = await read_as(call, _reason)
    program_id, case_id = _named(call)
    async with call.app.transaction() as db:
        before = await stored.get(db, program_id, case_id)
        after = await _step(call, db, before, step, wanted.reason)
    return problem.reply(_shown(after))


async def _step(call: Call, db: Db, before: Seen, step: Step, reason: str) -> Seen:
    program_id = call.principal.program_id
    after = await stored.decide(db, call.app.ring, before, program_id, step, reason, act(call))
    old, new = ({"state": one.state, "review": one.review} for one in (before, after))
    said = {**new, "conversion": after.conversion_id, "reason": reason}
    await auditing.record(call, db, f"fraud_case.{step}", before.id, old, said)
    return after


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["case_id"]


def _shown(one: Seen) -> ShownFraudCase:
    return ShownFraudCase(
        id=one.id,
        state=one.state,
        conversion=one.conversion_id,
        conversion_state=one.conversion_state,
        review=one.review,
        network=one.network_id,
        member=one.member_id,
        currency=one.currency,
        cashback_minor=one.cashback_minor,
        hits=one.hits,
        decided_by=one.decided_by,
        reason=one.reason,
        opened_at=one.opened_at,
        decided_at=one.decided_at,
    )


PATH: Final = "/v1/admin/fraud/cases/{case_id}"
ONCE: Final = "A case is decided once; a repeat is refused, and changes nothing."
_STEPPED: Final = (errors.FraudCaseNotFound, errors.FraudCaseNotOpen)

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/admin/fraud/cases",
        handler=list_all,
        name="list_fraud_cases",
        summary="List fraud cases, the newest first",
        scope="conversions:read",
        query=Search,
        reply=lists.Page[ShownFraudCase],
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_fraud_case",
        summary="Read a fraud case, with the rules that hit",
        scope="conversions:read",
        reply=ShownFraudCase,
        errors=(errors.FraudCaseNotFound,),
    ),
    Route(
        method="POST",
        path=f"{PATH}/release",
        handler=release,
        name="release_fraud_case",
        summary="Let the member have the cashback",
        scope="conversions:write",
        body=Reason,
        reply=ShownFraudCase,
        errors=_STEPPED,
        repeats=ONCE,
    ),
    Route(
        method="POST",
        path=f"{PATH}/reject",
        handler=reject,
        name="reject_fraud_case",
        summary="Keep the cashback from the member, or take it back",
        scope="conversions:write",
        body=Reason,
        reply=ShownFraudCase,
        errors=_STEPPED,
        repeats=ONCE,
    ),
    Route(
        method="POST",
        path=f"{PATH}/ban",
        handler=ban,
        name="ban_fraud_case",
        summary="Ban the member, and reject the case if it is open",
        scope="conversions:write",
        body=Reason,
        reply=ShownFraudCase,
        errors=(*_STEPPED, errors.MemberNotFound),
        repeats="Who is banned stays so; a second time changes nothing.",
    ),
)
