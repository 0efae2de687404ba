"""`/v1/admin/claims`: what the rules propose, what operators decide, and how often they agree."""

from __future__ import annotations

import csv
import datetime as dt
import io
from collections.abc import AsyncIterator, Iterable
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import claims, errors, money, withdrawals
from core.claim_rules import Policy, Verdict
from core.claims import Act, Claim, State, Step
from core.links import Line, Ref
from db import claim_policies, conversions, programs
from db import claims as stored
from db.claim_policies import Agreement
from db.claims import Wanted
from db.pg import Db
from gateway import auditing, lists
from gateway.app import Call, read_as
from gateway.audits import CSV, FORMULA
from gateway.claims import Amount, Id, ShownClaim, said, shown
from gateway.lookups import moment
from web import problem
from web.routing import Route

CLAIMS_A_TURN: Final = 1_000
DAY: Final = dt.timedelta(days=1)
# What networks ask for; the click id is what went into their own sub-id parameter.
COLUMNS: Final = (
    *("claim_id", "network_id", "merchant_id", "click_id", "sub_id", "clicked_at", "order_id"),
    *("amount", "currency", "ordered_at"),
)

Reason = Annotated[Line, Meta(min_length=1)]


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which claims are asked for."""

    member_id: Id | None = None
    state: State | None = None
    proposal: Verdict | None = None
    merchant_id: Ref | None = None
    click_id: Id | None = None
    is_reported: bool | None = None


class Export(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Claims of which state."""

    state: State = "sent"


class Span(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How far to look back."""

    days: Annotated[int, Meta(ge=1, le=365)] = 90


class ClaimDecision(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A step, and why; the member is told the reason of `reject` and `decline`. `accept` and
    `settle` give `amount_minor`, or what was given before, or what our records say. `settle` with
    the `conversion` that is the claim's order gives nothing: that conversion does.
    """

    decision: Step
    reason: Reason | None = None
    amount_minor: Amount | None = None
    conversion: Id | None = None


class ClaimSummary(msgspec.Struct, frozen=True, kw_only=True):
    """How operators decided, by what was proposed; `agreement_bp` is how often they did what was
    proposed, in 1/100 of a percent, and null while they have decided nothing.
    """

    mode: str
    decided: int
    agreed: int
    agreement_bp: int | None
    proposals: list[Agreement]


_decision = msgspec.json.Decoder(ClaimDecision)
_policy = msgspec.json.Decoder(Policy)


async def list_all(call: Call) -> web.Response:
    """The program's claims, the newest first, each with what is proposed."""
    search = problem.decode_query(Search, call.query)
    wanted = Wanted(
        member_id=search.member_id,
        state=search.state,
        proposal=search.proposal,
        merchant_id=search.merchant_id,
        click_id=search.click_id,
        is_reported=search.is_reported,
    )
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.principal.program_id,
            before=search.after("claim"),
            limit=search.limit + 1,
            wanted=wanted,
        )
    return problem.reply(lists.page([shown(call, one) for one in found], search.limit))


async def decide(call: Call) -> web.Response:
    """Accept a claim, send it to the network, reject it; or say what the network has said. Above
    the program's threshold two persons accept it; the first is noted.
    """
    wanted = await read_as(call, _decision)
    program_id, claim_id = call.principal.program_id, call.params["claim_id"]
    async with call.app.transaction() as db:
        program = await programs.get(db, program_id)
        policy = await claim_policies.get(db, program_id)
        act = Act(
            by=call.principal.subject,
            at=moment(call.app.now_ms()),
            reason=wanted.reason,
            amount_minor=wanted.amount_minor,
            credited_to=policy.credit,
        )
        claims.check(wanted.decision, act, is_named=wanted.conversion is not None)
        before = await stored.lock(db, program_id, claim_id)
        if wanted.conversion is not None:
            mine = before.member_id
            found = await conversions.get(db, program_id, wanted.conversion, member_id=mine)
            after = await stored.settle_by(db, call.app.ring, before, found, act)
        else:
            rules = program.settings.withdrawals
            after = await _step(call, db, before, wanted.decision, act, rules)
        step = "accept_first" if after.state == before.state else wanted.decision
        await auditing.record(call, db, f"claim.{step}", claim_id, said(before), said(after))
    return problem.reply(shown(call, after))


async def _step(
    call: Call, db: Db, before: Claim, step: Step, act: Act, rules: withdrawals.Rules
) -> Claim:
    is_person = call.principal.role != "app"
    claims.check_giver(before, step, act.by, is_person=is_person)
    is_new = step in claims.GIVING and before.state not in claims.GIVEN
    if is_new and withdrawals.needs_two(rules, claims.credit_minor(before, act)):
        if not is_person:
            raise errors.Forbidden("Above the program's threshold operators decide, signed in.")
        # Two accept one amount: another one begins anew.
        is_other = claims.credit_minor(before, act) != before.credit_minor
        if before.first_accepted_by is None or is_other:
            return await stored.accept_first(db, before, step, act)
        if before.first_accepted_by == act.by:
            raise errors.SecondApproverNeeded
    return await stored.take(db, call.app.ring, before, step, act)


async def summary(call: Call) -> web.Response:
    """How often operators did what was proposed: whether automatic mode would be safe."""
    span = problem.decode_query(Span, call.query)
    program_id = call.principal.program_id
    since = moment(call.app.now_ms()) - span.days * DAY
    async with call.app.connection() as db:
        policy = await claim_policies.get(db, program_id)
        found = await claim_policies.agreement(db, program_id, since)
    decided, agreed = sum(one.decided for one in found), sum(one.agreed for one in found)
    return problem.reply(
        ClaimSummary(
            mode=policy.mode,
            decided=decided,
            agreed=agreed,
            agreement_bp=agreed * money.BASIS_POINTS // decided if decided else None,
            proposals=found,
        )
    )


async def get_policy(call: Call) -> web.Response:
    """How the program treats claims."""
    async with call.app.connection() as db:
        return problem.reply(await claim_policies.get(db, call.principal.program_id))


async def put_policy(call: Call) -> web.Response:
    """Replace it; what was filed before stays as it was decided."""
    policy = await read_as(call, _policy)
    program_id, now = call.principal.program_id, moment(call.app.now_ms())
    async with call.app.transaction() as db:
        before = await claim_policies.get(db, program_id)
        await claim_policies.put(db, program_id, policy, call.principal.subject, now)
        await auditing.record(call, db, "claim_policy.put", program_id, before, policy)
    return problem.reply(policy)


async def export(call: Call) -> web.Response:
    """Claims as a table, the newest first; a slow reader keeps no connection to PostgreSQL."""
    wanted = problem.decode_query(Export, call.query)
    turns = _turns(call, Wanted(state=wanted.state))
    # PostgreSQL may be away: found out before the answer begins.
    first: list[Claim] = await anext(turns, [])

    async def body() -> AsyncIterator[bytes]:
        yield _csv([COLUMNS]) + _csv(map(_cells, first))
        async for found in turns:
            yield _csv(map(_cells, found))

    return web.Response(body=body(), content_type=CSV)


async def _turns(call: Call, wanted: Wanted) -> AsyncIterator[list[Claim]]:
    before = ""
    while True:
        async with call.app.connection() as db:
            found = await stored.page(
                db, call.principal.program_id, before=before, limit=CLAIMS_A_TURN, wanted=wanted
            )
        if not found:
            return
        before = found[-1].id
        yield found


def _cells(one: Claim) -> list[str]:
    clicked = "" if one.clicked_at is None else one.clicked_at.isoformat()
    cells = [
        *(one.id, one.network_id or "", one.merchant_id or "", one.click_id or ""),
        *(one.click_id or "", clicked, one.order_id),
        *(money.plain(money.Money(one.order_minor, one.order_currency)), one.order_currency),
        one.ordered_at.isoformat(),
    ]
    return ["'" + cell if cell.startswith(FORMULA) else cell for cell in cells]


def _csv(rows: Iterable[Iterable[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()


PATH: Final = "/v1/admin/claims"
ONCE: Final = "A step is taken once; a repeat is refused, and changes nothing."

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path=PATH,
        handler=list_all,
        name="list_claims_to_decide",
        summary="List claims with what is proposed, the newest first",
        scope="conversions:read",
        query=Search,
        reply=lists.Page[ShownClaim],
    ),
    Route(
        method="GET",
        path=f"{PATH}/summary",
        handler=summary,
        name="get_claim_summary",
        summary="How often operators decided as was proposed",
        scope="conversions:read",
        query=Span,
        reply=ClaimSummary,
    ),
    Route(
        method="GET",
        path=f"{PATH}/export.csv",
        handler=export,
        name="export_claims",
        summary="What networks ask for, of the claims that they are asked about",
        scope="conversions:read",
        query=Export,
        reply=str,
        reply_type=CSV,
    ),
    Route(
        method="GET",
        path=f"{PATH}/policy",
        handler=get_policy,
        name="get_claim_policy",
        summary="Read how the program treats claims",
        scope="conversions:read",
        reply=Policy,
    ),
    Route(
        method="PUT",
        path=f"{PATH}/policy",
        handler=put_policy,
        name="put_claim_policy",
        summary="Say how the program treats claims",
        scope="withdrawals:write",
        body=Policy,
        reply=Policy,
    ),
    Route(
        method="POST",
        path=f"{PATH}/{{claim_id}}/decide",
        handler=decide,
        name="decide_claim",
        summary="Accept a claim, send it to the network, reject it; settle or decline it",
        scope="withdrawals:write",
        body=ClaimDecision,
        reply=ShownClaim,
        errors=(
            *(errors.ClaimNotFound, errors.ClaimNotOpen, errors.Conflict),
            *(errors.SecondApproverNeeded, errors.Forbidden, errors.ConversionNotFound),
        ),
        repeats=ONCE,
    ),
)
