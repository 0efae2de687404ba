"""What our own click log says of a claim, and what follows from it under a program's policy.

accept           all that can be checked speaks for it
send_to_network  something does, something does not: the network has to look
reject           nothing does, or the network has answered already
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from core import errors, offers
from core.classes import ClassName
from core.money import Money
from core.offers import Fixed, OfferConfig, OfSale, Used

Verdict = Literal["accept", "send_to_network", "reject"]
Reason = Literal[
    "proved",
    "no_click",
    "not_an_offer",
    "click_not_human",
    "order_before_click",
    "order_too_late",
    "claim_too_late",
    "click_reported",
    "order_reported",
    "no_cashback",
    "click_suspect",
    "order_too_soon",
    "other_order",
    "later_click",
    "same_device",
    "currency_unknown",
    "amount_above_maximum",
    "cashback_unknown",
    "amount_needs_two",
]

#: What members are told in their own lists: the rest would tell how fraud is found.
TOLD: Final = frozenset({
    *("no_click", "not_an_offer", "order_before_click", "order_too_late", "claim_too_late"),
    *("click_reported", "order_reported", "no_cashback"),
})  # fmt: skip

RECENT: Final = dt.timedelta(days=30)
OLDEST: Final = dt.timedelta(days=2 * 366)


class Policy(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """How a program treats claims. In `shadow` mode operators decide, and see what the rules
    propose; in `automatic` mode the rules decide. A click can be claimed for `window_days`, an
    order from `wait_hours` after it on, because networks take their time. Orders above
    `max_order_minor`, in the program's currency, are never accepted without an operator. What is
    accepted stands in the member's `pending` money until the network reports it, or at once in
    `available`.
    """

    mode: Literal["shadow", "automatic"] = "shadow"
    window_days: Annotated[int, Meta(ge=1, le=365)] = 45
    wait_hours: Annotated[int, Meta(ge=0, le=90 * 24)] = 72
    max_order_minor: Annotated[int, Meta(ge=0, le=10**15)] = 1_000_000
    claims_per_30_days: Annotated[int, Meta(ge=1, le=1_000)] = 5
    credit: Literal["pending", "available"] = "pending"


class Facts(msgspec.Struct, frozen=True, kw_only=True):
    """What our own records say. Times are seconds; what is not known is null.

    `refusal` is what the offer says of a purchase at that time, `least_s` and `most_s` what the
    network does. `has_other_order`: the click was reported, with another order or with one that
    cannot be told from this. `later_click` is the member's own on another offer of the merchant,
    between click and order. The order's value and the cashback are minor units of the program's
    currency; `needs_two` is for cashback that two operators have to approve.
    """

    clicked_at: dt.datetime | None = None
    hit_class: ClassName | None = None
    offer_id: str | None = None
    order_after_s: int | None = None
    claim_after_s: int | None = None
    refusal: str = ""
    least_s: int = 0
    most_s: int = 0
    is_click_reported: bool = False
    is_order_reported: bool = False
    has_other_order: bool = False
    later_click: str | None = None
    is_device_shared: bool = False
    order_value_minor: int | None = None
    cashback_minor: int | None = None
    needs_two: bool = False


class Decision(NamedTuple):
    """What follows, and why."""

    verdict: Verdict
    reasons: list[Reason]


def decide(facts: Facts, policy: Policy) -> Decision:
    """What the facts say of a claim."""
    if facts.clicked_at is None:
        return Decision("reject", ["no_click"])
    if against := list(_against(facts, policy)):
        return Decision("reject", against)
    if doubts := list(_doubts(facts, policy)):
        return Decision("send_to_network", doubts)
    return Decision("accept", ["proved"])


def check_time(policy: Policy, ordered_at: dt.datetime, now: dt.datetime) -> None:
    """ClaimTooEarly while the network may still report the order, InvalidRequest for an order of
    the future, or of long ago."""
    if not now - OLDEST <= ordered_at <= now:
        detail = "The order has not been placed yet, or is older than any claim can be."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/ordered_at"}])
    if now - ordered_at < dt.timedelta(hours=policy.wait_hours):
        raise errors.ClaimTooEarly(
            f"Claim it {policy.wait_hours} hours after the order at the earliest; until then the "
            "network may still report it."
        )


def check_count(policy: Policy, recent: int) -> None:
    """TooManyClaims when the member has filed enough in the last 30 days."""
    if recent >= policy.claims_per_30_days:
        raise errors.TooManyClaims


def cashback_minor(
    offer: OfferConfig | None, order: Money | None, currency: str, used: Used
) -> int | None:
    """What the offer gives for an order, in the program's `currency`, as `order` is; None when only
    the network's commission would tell."""
    if offer is None:
        return None
    match offer.cashback:
        case OfSale() if order is not None:
            pass
        case Fixed() if offer.cashback.currency == currency:
            pass
        case _:
            return None
    return offers.share(offer, Money(0, currency), order, used).cashback.amount_minor


def _against(facts: Facts, policy: Policy) -> Iterator[Reason]:
    if facts.offer_id is None:
        yield "not_an_offer"
    if facts.hit_class not in ("human", "suspect"):
        yield "click_not_human"
    if facts.order_after_s is not None and facts.order_after_s < 0:
        yield "order_before_click"
    elif facts.refusal in ("too_late", "outside_window") or _above(
        facts.order_after_s, facts.most_s
    ):
        yield "order_too_late"
    if _above(facts.claim_after_s, policy.window_days * 86_400):
        yield "claim_too_late"
    if facts.is_click_reported:
        yield "click_reported"
    if facts.is_order_reported:
        yield "order_reported"
    if facts.cashback_minor == 0:
        yield "no_cashback"


def _doubts(facts: Facts, policy: Policy) -> Iterator[Reason]:
    if facts.hit_class == "suspect":
        yield "click_suspect"
    if facts.refusal == "too_soon" or not _above(facts.order_after_s, facts.least_s - 1):
        yield "order_too_soon"
    if facts.has_other_order:
        yield "other_order"
    if facts.later_click is not None:
        yield "later_click"
    if facts.is_device_shared:
        yield "same_device"
    if facts.order_value_minor is None:
        yield "currency_unknown"
    elif facts.order_value_minor > policy.max_order_minor:
        yield "amount_above_maximum"
    if facts.cashback_minor is None:
        yield "cashback_unknown"
    elif facts.needs_two:
        yield "amount_needs_two"


def _above(seconds: int | None, limit_s: int) -> bool:
    return seconds is not None and seconds > limit_s
