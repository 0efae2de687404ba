"""`/v1/claims`: members say which purchase no network has reported, and what shows it.

A member sees and files what is the member's own; operators see all of the program.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import claim_rules, errors
from core.claim_rules import Facts, Verdict
from core.claims import Act, Claim, OrderId, State
from core.links import Ref, Time
from core.money import Currency, Money
from db import claim_evidence, claim_facts, claim_policies, members, programs
from db import claims as stored
from db.claim_evidence import Content, Evidence
from db.claim_facts import Eligible, Order
from db.claims import New, Wanted
from db.pg import Db
from gateway import answers, auditing, lists, notices
from gateway.app import Call, read, read_as
from gateway.lookups import moment
from gateway.privacy import OWN
from web import problem
from web.routing import Route

EVIDENCE_MAX: Final = 20
READ: Final = f"{OWN} conversions:read"
WRITE: Final = f"{OWN} members:write"

Amount = Annotated[int, Meta(gt=0, le=10**15)]
Id = Annotated[str, Meta(max_length=64)]
Text = Annotated[str, Meta(min_length=1, max_length=2_000, pattern=r"^[^\x00]*$(?!\n)")]
# The program's own name of a file: nothing of ours fetches it.
Receipt = Annotated[str, Meta(pattern=r"^[!-~]{1,1024}$(?!\n)")]


class ClaimSearch(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose clicks, and of which merchant: a member asks for its own, everybody else names one."""

    member: Ref | None = None
    merchant_id: Ref | None = None
    limit: lists.Limit = 50


class EligibleClicks(msgspec.Struct, frozen=True):
    """Clicks that can be claimed, the latest first."""

    data: list[Eligible]


class NewClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A purchase that was not reported: by its click, or by its merchant, whose last click before
    the order is then found. Amounts are minor units. `text` says more.
    """

    member: Ref | None = None
    click_id: Id | None = None
    merchant_id: Ref | None = None
    order_id: OrderId
    amount_minor: Amount
    currency: Currency
    ordered_at: Time
    text: Text | None = None


class NewEvidence(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What shows the purchase: a text, or where the program keeps the receipt, or both."""

    text: Text | None = None
    receipt: Receipt | None = None


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which claims are asked for."""

    member_id: Id | None = None
    state: State | None = None


class ShownClaim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim. `conversion` is the network's answer, with whose cashback the credit ends. What is
    proposed, why, and who decided is told to operators only, and so are reasons that would tell how
    fraud is found.
    """

    id: str
    member: str
    state: State
    click_id: str | None
    offer: str | None
    merchant: str | None
    order_id: str
    amount_minor: int
    order_currency: str
    ordered_at: dt.datetime
    credit_minor: int | None
    currency: str
    credited_to: str | None
    decision: Verdict | None
    reasons: list[str]
    reason: str | None
    conversion: str | None
    network: str | None
    proposal: Verdict | None
    facts: Facts | None
    estimate_minor: int | None
    decided_by: str | None
    accepted_by: list[str]
    opened_by: str | None
    decided_at: dt.datetime | None
    opened_at: dt.datetime
    updated_at: dt.datetime


class ClaimWithEvidence(ShownClaim, frozen=True, kw_only=True):
    """A claim, and what was said for it, oldest first. `reports` are the conversions of its
    click and its order, for operators, who find out which one it is where that is not clear.
    """

    evidence: list[Evidence]
    reports: list[str]


_search = msgspec.json.Decoder(ClaimSearch)
_new = msgspec.json.Decoder(NewClaim)
_evidence = msgspec.json.Decoder(NewEvidence)


async def eligible(call: Call) -> web.Response:
    """The clicks on offers that can still be claimed."""
    wanted = await read_as(call, _search)
    program_id, member_id = call.principal.program_id, _member(call, wanted.member)
    async with call.app.connection() as db:
        if not await members.exists(db, program_id, member_id):
            raise errors.MemberNotFound
        found = await claim_facts.eligible(
            db,
            program_id,
            member_id,
            merchant_id=wanted.merchant_id,
            policy=await claim_policies.get(db, program_id),
            now=moment(call.app.now_ms()),
            limit=wanted.limit,
        )
    return problem.reply(EligibleClicks(found))


async def create(call: Call) -> web.Response:
    """File a claim; in the policy's automatic mode it is decided at once."""
    answers.required_key(call)
    body = await read(call)
    new = problem.decode(_new, body)
    if (new.click_id is None) == (new.merchant_id is None):
        raise errors.InvalidRequest("Name the click by click_id, or the merchant by merchant_id.")
    order = Order(
        _member(call, new.member),
        new.order_id,
        Money(new.amount_minor, new.currency),
        new.ordered_at,
    )
    claim_id, evidence_id = call.app.new_id("claim"), call.app.new_id("evidence")
    filed = New(claim_id, new.click_id, new.merchant_id, order, notices.language(call))

    async def work(db: Db) -> ShownClaim:
        act, ring = _act(call), call.app.ring
        program = await programs.get(db, call.principal.program_id)
        policy = await claim_policies.get(db, program.id)
        made = await stored.file(db, ring, program, policy, filed, act)
        if new.text is not None:
            content = Content(new.text, None)
            await claim_evidence.add(db, ring, made, evidence_id, content, by=act.by, at=act.at)
        await auditing.record(call, db, "claim.open", made.id, after=said(made))
        return shown(call, made)

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """Claims, the newest first: a member's own, or the program's."""
    search = problem.decode_query(Search, call.query)
    own = _own(call)
    wanted = Wanted(member_id=search.member_id if own is None else own, state=search.state)
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.principal.program_id,
            before=search.after("claim"),
            limit=search.limit + 1,
            wanted=wanted,
        )
    return problem.reply(lists.page([shown(call, one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """One claim, with what was said for it."""
    async with call.app.connection() as db:
        found = await stored.get(db, *_named(call), member_id=_own(call))
        evidence = await claim_evidence.of_claim(db, call.app.ring, found)
        known: list[claim_facts.Reported] = []
        if _own(call) is None:
            named = (found.click_id, found.order_id, found.merchant_id)
            known = await claim_facts.reported(db, found.program_id, *named)
    values = msgspec.structs.asdict(shown(call, found))
    shown_evidence = [_shown_evidence(call, one) for one in evidence]
    reports = [one.found.id for one in known]
    return problem.reply(ClaimWithEvidence(**values, evidence=shown_evidence, reports=reports))


async def add_evidence(call: Call) -> web.Response:
    """Say more for a claim that nobody has decided, or that the network was asked about."""
    body = await read(call)
    new = problem.decode(_evidence, body)
    if new.text is None and new.receipt is None:
        raise errors.InvalidRequest("Give a text or a receipt.")
    evidence_id = call.app.new_id("evidence")

    async def work(db: Db) -> Evidence:
        act, ring = _act(call), call.app.ring
        claim = await stored.lock_to_write(db, *_named(call), _own(call))
        if claim.state not in ("opened", "sent"):
            raise errors.ClaimNotOpen(f"The claim is {claim.state}.")
        if await claim_evidence.count(db, claim) >= EVIDENCE_MAX:
            raise errors.Conflict(f"A claim has at most {EVIDENCE_MAX} pieces of evidence.")
        content = Content(new.text, new.receipt)
        added = await claim_evidence.add(
            db, ring, claim, evidence_id, content, by=act.by, at=act.at
        )
        await auditing.record(call, db, "claim.add_evidence", claim.id, after={"id": added.id})
        return added

    return await answers.once(call, body, work)


def shown(call: Call, one: Claim) -> ShownClaim:
    """A claim as the caller may see it."""
    is_operator = _own(call) is None
    is_told = is_operator or one.decision == "reject"
    # What only the first of two operators has accepted is not given yet.
    is_given = one.state not in ("opened", "sent")
    accepted = (one.first_accepted_by, one.accepted_by)
    return ShownClaim(
        id=one.id,
        member=one.member_id,
        state=one.state,
        click_id=one.click_id,
        offer=one.offer_id,
        merchant=one.merchant_id,
        order_id=one.order_id,
        amount_minor=one.order_minor,
        order_currency=one.order_currency,
        ordered_at=one.ordered_at,
        credit_minor=one.credit_minor if is_operator or is_given else None,
        currency=one.currency,
        credited_to=one.credited_to,
        decision=one.decision,
        reasons=[
            code for code in one.reasons if is_told and (is_operator or code in claim_rules.TOLD)
        ],
        reason=one.reason if is_operator or one.state in ("rejected", "declined") else None,
        conversion=one.conversion_id,
        network=one.network_id if is_operator else None,
        proposal=one.proposal if is_operator else None,
        facts=one.facts if is_operator else None,
        estimate_minor=one.estimate_minor if is_operator else None,
        decided_by=one.decided_by if is_operator else None,
        accepted_by=[by for by in accepted if by is not None and is_operator],
        opened_by=one.opened_by if is_operator else None,
        decided_at=one.decided_at,
        opened_at=one.opened_at,
        updated_at=one.updated_at,
    )


def _shown_evidence(call: Call, one: Evidence) -> Evidence:
    is_told = _own(call) in (None, one.added_by)
    return one if is_told else msgspec.structs.replace(one, added_by=None)


def said(one: Claim) -> dict[str, object]:
    """What the audit log keeps of a claim."""
    return {
        "state": one.state,
        "proposal": one.proposal,
        "decision": one.decision,
        "click": one.click_id,
        "credit_minor": one.credit_minor,
        "currency": one.currency,
        "reason": one.reason,
        "conversion": one.conversion_id,
    }


def _member(call: Call, named: str | None) -> str:
    """Whose claims they are; Forbidden for another member's, InvalidRequest for nobody's."""
    caller = call.principal
    if caller.role == "member":
        if named not in {None, caller.subject}:
            raise errors.Forbidden("Members claim for themselves.")
        return caller.subject
    if named is None:
        detail = "Name the member whose claim it is."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/member"}])
    return named


def _act(call: Call) -> Act:
    return Act(by=call.principal.subject, at=moment(call.app.now_ms()))


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["claim_id"]


def _own(call: Call) -> str | None:
    """The member who asks; None for whoever sees all."""
    caller = call.principal
    return caller.subject if caller.role == "member" else None


PATH: Final = "/v1/claims/{claim_id}"

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/claims/eligible",
        handler=eligible,
        name="list_eligible_clicks",
        summary="The clicks on offers that can still be claimed",
        scope=WRITE,
        body=ClaimSearch,
        reply=EligibleClicks,
        errors=(errors.MemberNotFound, errors.Forbidden),
        repeats="It only reads.",
    ),
    Route(
        method="POST",
        path="/v1/claims",
        handler=create,
        name="create_claim",
        summary="Claim cashback for a purchase that no network has reported",
        scope=WRITE,
        body=NewClaim,
        reply=ShownClaim,
        status=201,
        errors=(
            *(errors.MemberNotFound, errors.ClickNotFound, errors.MerchantNotFound),
            *(errors.Forbidden, errors.MemberBanned, errors.ClaimTooEarly, errors.TooManyClaims),
            *(errors.OrderClaimed, errors.ClickClaimed, errors.Conflict, errors.RequestInFlight),
        ),
        is_idempotent=True,
    ),
    Route(
        method="GET",
        path="/v1/claims",
        handler=list_all,
        name="list_claims",
        summary="List claims, the newest first: a member's own, or the program's",
        scope=READ,
        query=Search,
        reply=lists.Page[ShownClaim],
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_claim",
        summary="Read a claim, with what was said for it",
        scope=READ,
        reply=ClaimWithEvidence,
        errors=(errors.ClaimNotFound,),
    ),
    Route(
        method="POST",
        path=f"{PATH}/evidence",
        handler=add_evidence,
        name="add_claim_evidence",
        summary="Say more for a claim: a text, or where the receipt is",
        scope=WRITE,
        body=NewEvidence,
        reply=Evidence,
        status=201,
        errors=(
            *(errors.ClaimNotFound, errors.ClaimNotOpen, errors.Conflict),
            *(errors.MemberNotFound, errors.RequestInFlight),
        ),
        is_idempotent=True,
        is_key_optional=True,
    ),
)
