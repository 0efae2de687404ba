"""Missing-cashback claims: what a claim is, which step may follow which, and what the ledger holds.

    opened → accepted → settled | declined
     │  │      ↑
     │  └→ sent ┴→ settled | declined      the network was asked
     └→ rejected

A conversion of the claim's order settles it, whatever was decided before, unless it was rejected;
one that the network itself rejects declines it. Of one click there may be several orders: a
conversion that may be of another one leaves the claim to a person. No step leads backward.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Container, Iterable
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from core import errors, money, wallet
from core.claim_rules import TOLD, Facts, Verdict
from core.conversions import FINAL, Conversion
from core.money import Money
from core.texts import builtin
from core.wallet import Account

State = Literal["opened", "sent", "accepted", "rejected", "settled", "declined"]
Step = Literal["accept", "send_to_network", "reject", "settle", "decline"]
Match = Literal["same", "other", "unclear"]

#: By so much, in 1/100 of a percent, a sale may differ from what the member has paid, as by taxes
#: or shipping; and the network's time from the member's, because some know the day only.
TOLERANCE_BP: Final = 200
NEAR: Final = dt.timedelta(days=1)

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


class Purchase(NamedTuple):
    """What a member has bought, by the number that the shop gave it."""

    order_id: str
    paid: Money
    ordered_at: dt.datetime


def check(step: Step, act: Act, *, is_named: bool = False) -> None:
    """InvalidRequest for a step without the reason that it needs, or with an amount that it does
    not have; or for one that names a conversion, unless that settles the claim."""
    if is_named and step != "settle":
        raise _invalid("A conversion settles a claim.", "/conversion")
    if step in EXPLAINED and act.reason is None:
        raise _invalid("Say why; the member is told.", "/reason")
    if (step not in GIVING or is_named) and act.amount_minor is not None:
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


def answered(
    claim: Claim,
    found: Iterable[Conversion],
    at: dt.datetime,
    taken: Container[str | None] = frozenset(),
) -> Claim:
    """The claim after what networks report of its order: settled by the first conversion that is
    booked, or declined by one that the network rejects. Its credit ends with either. `taken` are
    the conversions that have answered claims."""
    if claim.conversion_id is not None or claim.state in ("rejected", "declined"):
        return claim
    for one in found:
        is_said = one.state in FINAL or _is_booked(one)
        if is_said and is_answer(claim, one, is_taken=one.id in taken):
            return _ended(claim, one, at)
    return claim


def answered_by(claim: Claim, found: Conversion, act: Act) -> Claim:
    """The claim after a person has said that a conversion of its member is its order; ClaimNotOpen,
    Conflict for a conversion that is not booked."""
    if claim.conversion_id is not None or claim.state in ("rejected", "declined"):
        raise errors.ClaimNotOpen(f"The claim is {claim.state}.")
    if found.state in FINAL or not _is_booked(found):
        raise errors.Conflict("The conversion is not booked: it gives the member nothing.")
    after = _ended(claim, found, act.at)
    return msgspec.structs.replace(after, reason=act.reason or claim.reason)


def is_answer(claim: Claim, found: Conversion, *, is_taken: bool = False) -> bool:
    """Whether a conversion is the claim's order; `is_taken`: it has answered another claim."""
    is_click = claim.click_id is not None and found.click_id == claim.click_id
    if found.member_id != claim.member_id or not (
        is_click or (found.order_id is not None and found.merchant_id == claim.merchant_id)
    ):
        return False
    return compared(purchase(claim), found, is_taken=is_taken) == "same"


def purchase(claim: Claim) -> Purchase:
    """What was bought, as the claim says."""
    paid = Money(claim.order_minor, claim.order_currency)
    return Purchase(claim.order_id, paid, claim.ordered_at)


def compared(made: Purchase, found: Conversion, *, is_taken: bool = False) -> Match:
    """Whether a conversion of one click is a purchase: by the order's number, if the network gives
    one, else by amount and time together, which leave a doubt where they do not agree, or where
    they have answered another claim before."""
    if found.order_id is not None:
        return "same" if order_key(found.order_id) == order_key(made.order_id) else "other"
    if is_taken or found.sale_minor is None or found.event_at is None:
        return "unclear"
    apart_minor = abs(found.sale_minor - made.paid.amount_minor)
    is_amount = apart_minor * money.BASIS_POINTS <= made.paid.amount_minor * TOLERANCE_BP
    is_time = abs(found.event_at - made.ordered_at) <= NEAR
    is_same = is_amount and is_time and found.sale_currency == made.paid.currency
    return "same" if is_same else "unclear"


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


def _is_booked(found: Conversion) -> bool:
    return found.booked_currency is not None and found.parked is None


def _ended(claim: Claim, found: Conversion, at: dt.datetime) -> Claim:
    state: State = "declined" if found.state in FINAL else "settled"
    return msgspec.structs.replace(
        claim,
        state=state,
        credit_minor=claim.credit_minor if claim.state in GIVEN else None,
        # What an operator wrote of an earlier step is not why the network declines.
        reason=None if state == "declined" else claim.reason,
        conversion_id=found.id,
        updated_at=at,
    )


def _invalid(detail: str, pointer: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": pointer}])
