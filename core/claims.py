"""Missing-cashback claims: what a claim is, which step may follow which, and what the ledger holds.

    opened → accepted → settled | declined
     │  │      ↑
     │  └→ sent ┴→ settled | declined      the network was asked
     └→ rejected

A conversion of the claim's click or order settles it, whatever was decided before, unless it was
rejected; one that the network itself rejects declines it. No step leads backward.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from core import errors, wallet
from core.claim_rules import TOLD, Facts, Verdict
from core.conversions import FINAL, Conversion
from core.texts import builtin
from core.wallet import Account

State = Literal["opened", "sent", "accepted", "rejected", "settled", "declined"]
Step = Literal["accept", "send_to_network", "reject", "settle", "decline"]

#: Who decides by the policy alone.
AUTOMATIC: Final = "automatic"

NEXT: Final[dict[State, dict[Step, State]]] = {
    "opened": {"accept": "accepted", "send_to_network": "sent", "reject": "rejected"},
    "sent": {"accept": "accepted", "settle": "settled", "decline": "declined"},
    "accepted": {"settle": "settled", "decline": "declined"},
    "rejected": {},
    "settled": {},
    "declined": {},
}
#: Steps that decide what was proposed about.
DECIDING: Final = frozenset({"accept", "send_to_network", "reject"})
#: Steps that give money.
GIVING: Final = frozenset({"accept", "settle"})
#: States in which there is a credit.
GIVEN: Final = frozenset({"accepted", "settled"})
#: Steps that a member is told a reason for.
EXPLAINED: Final = frozenset({"reject", "decline"})

# As shops write them; the same one in other letters, or without its `#`, is the same order.
OrderId = Annotated[str, Meta(pattern=r"^#?[!\"$-~]([ -~]{0,98}[!-~])?$(?!\n)")]


class Claim(msgspec.Struct, frozen=True, kw_only=True):
    """A claim as it is stored; amounts are minor units. `estimate_minor` is the cashback by our own
    records, `credit_minor` what was given for it, or what the first of two operators has accepted,
    both in `currency`. `reason` is what an operator
    said. `conversion_id` is the network's answer, with which the credit ends.
    """

    id: str
    program_id: str
    member_id: str
    state: State
    version: int
    click_id: str | None
    clicked_at: dt.datetime | None
    offer_id: str | None
    merchant_id: str | None
    network_id: str | None
    order_id: str
    order_minor: int
    order_currency: str
    ordered_at: dt.datetime
    proposal: Verdict
    reasons: list[str]
    facts: Facts
    currency: str
    estimate_minor: int | None = None
    credit_minor: int | None = None
    credited_to: Literal["pending", "available"] | None = None
    decision: Verdict | None = None
    decided_by: str | None = None
    decided_at: dt.datetime | None = None
    first_accepted_by: str | None = None
    accepted_by: str | None = None
    reason: str | None = None
    conversion_id: str | None = None
    language: str
    opened_by: str
    opened_at: dt.datetime
    updated_at: dt.datetime


class Act(msgspec.Struct, frozen=True, kw_only=True):
    """Who takes a step, when, why, and how much is given where."""

    by: str
    at: dt.datetime
    reason: str | None = None
    amount_minor: int | None = None
    credited_to: Literal["pending", "available"] = "pending"


def check(step: Step, act: Act) -> None:
    """InvalidRequest for a step without the reason that it needs, or with an amount that it does
    not have."""
    if step in EXPLAINED and act.reason is None:
        raise _invalid("Say why; the member is told.", "/reason")
    if step not in GIVING and act.amount_minor is not None:
        raise _invalid("Nothing is given with this step.", "/amount_minor")


def is_filed_for(claim: Claim) -> bool:
    """Whether somebody else has filed it for the member."""
    return claim.opened_by != claim.member_id


def check_giver(claim: Claim, step: Step, by: str, *, is_person: bool) -> None:
    """Forbidden, SecondApproverNeeded: whoever files claims for members gives no money by that; a
    person who may decide does, and another one."""
    if step not in GIVING or not is_filed_for(claim):
        return
    if not is_person:
        raise errors.Forbidden("For what was filed for a member operators give money, signed in.")
    if by == claim.opened_by:
        raise errors.SecondApproverNeeded("Whoever has filed it for the member gives no money.")


def after(before: Claim, step: Step, act: Act) -> Claim:
    """The claim after a step; ClaimNotOpen when it cannot be taken, InvalidRequest when nobody has
    said how much is given."""
    reached = NEXT[before.state].get(step)
    if reached is None:
        raise errors.ClaimNotOpen(f"The claim is {before.state}.")
    claim = msgspec.structs.replace(
        before, state=reached, reason=act.reason or before.reason, updated_at=act.at
    )
    if step in GIVING:
        claim = msgspec.structs.replace(claim, credit_minor=credit_minor(before, act))
    elif before.state not in GIVEN:
        claim = msgspec.structs.replace(claim, credit_minor=None)
    if step == "accept":
        first = before.first_accepted_by
        claim = msgspec.structs.replace(
            claim,
            credited_to=act.credited_to,
            first_accepted_by=None if first == act.by else first,
            accepted_by=act.by,
        )
    if step in DECIDING and before.decision is None:
        decision: Verdict = step  # type: ignore[assignment]  # DECIDING has the verdicts
        claim = msgspec.structs.replace(
            claim, decision=decision, decided_by=act.by, decided_at=act.at
        )
    return claim


def credit_minor(claim: Claim, act: Act) -> int:
    """What a step gives: what was given before, or is named, or the first of two operators has
    accepted, or our own estimate; InvalidRequest when there is none."""
    if claim.state in GIVEN and claim.credit_minor:
        return claim.credit_minor
    for amount_minor in (act.amount_minor, claim.credit_minor, claim.estimate_minor):
        if amount_minor:
            return amount_minor
    raise _invalid("How much it is cannot be told from our records: say it.", "/amount_minor")


def answered(claim: Claim, found: Iterable[Conversion], at: dt.datetime) -> Claim:
    """The claim after what networks report: settled by the first conversion that is booked, or
    declined by one that the network rejects. Its credit ends with either."""
    if claim.conversion_id is not None or claim.state in ("rejected", "declined"):
        return claim
    for one in found:
        if not is_about(claim, one):
            continue
        if one.state in FINAL and _is_other_order(claim, one):
            continue
        if one.state in FINAL or (one.booked_currency is not None and one.parked is None):
            state: State = "declined" if one.state in FINAL else "settled"
            credit = claim.credit_minor if claim.state in GIVEN else None
            # What an operator wrote of an earlier step is not why the network declines.
            reason = None if state == "declined" else claim.reason
            return msgspec.structs.replace(
                claim,
                state=state,
                credit_minor=credit,
                reason=reason,
                conversion_id=one.id,
                updated_at=at,
            )
    return claim


def explanation(claim: Claim) -> str:
    """Why a claim was not accepted, as its member is told: in the words of the operator, or in ours
    in the member's language, without what would tell how fraud is found."""
    if claim.reason is not None:
        return claim.reason
    told = [code for code in claim.reasons if code in TOLD]
    codes = ["declined"] if claim.state == "declined" else told or ["other"]
    return builtin.claim_reasons(codes, claim.language)


def booked(claim: Claim | None) -> wallet.Legs:
    """What stands in the ledger because of a claim: nothing once the network has answered."""
    if claim is None or claim.conversion_id is not None or not claim.credit_minor:
        return {}
    if claim.state not in GIVEN:
        return {}
    role: wallet.Role = "available" if claim.state == "settled" else claim.credited_to or "pending"
    return {
        Account("claims_float", claim.currency): -claim.credit_minor,
        Account(role, claim.currency, claim.member_id): claim.credit_minor,
    }


def order_key(order_id: str) -> str:
    """Equal for spellings of one order."""
    return order_id.strip().lstrip("#").lower()


def is_about(claim: Claim, found: Conversion) -> bool:
    """Whether a conversion is of the claim's click or order."""
    if found.member_id != claim.member_id:
        return False
    if claim.click_id is not None and found.click_id == claim.click_id:
        return True
    return (
        found.order_id is not None
        and order_key(found.order_id) == order_key(claim.order_id)
        and found.merchant_id == claim.merchant_id
    )


def _is_other_order(claim: Claim, found: Conversion) -> bool:
    """Of one click there may be several orders: that one was rejected says nothing of another."""
    return found.order_id is not None and order_key(found.order_id) != order_key(claim.order_id)


def _invalid(detail: str, pointer: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": pointer}])
