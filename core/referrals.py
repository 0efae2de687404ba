"""Referrals: a member brings another one by a code, and both get something for the first purchase.

    claimed → rewarded ⇄ reversed       or `qualified`, where there is no money to give
            → refused

A purchase qualifies when it is approved, in time and large enough. What was given is taken back
when nothing that qualifies is left, and given again when there is something again. A refusal is for
good. What a review alone has suspended is given again without asking whether it may be, as
long as it can be released: what a person has rejected cannot.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Final, Literal, NamedTuple

import msgspec

from core import base32, errors, rates
from core.conversions import Conversion
from core.programs import ReferralRules
from core.rates import Rate
from core.wallet import Account

State = Literal["claimed", "qualified", "rewarded", "refused", "reversed"]
Reason = Literal[
    "closed", "budget_exhausted", "referrer_cap", "referrer_gone", "member_gone", "same_person"
]

ENTROPY_BYTES: Final = 5
LENGTH: Final = 8
#: What counts towards caps, and is taken back when nothing that qualifies is left.
GIVEN: Final[frozenset[State]] = frozenset({"qualified", "rewarded"})
#: What a purchase can still qualify.
OPEN: Final[frozenset[State]] = frozenset({"claimed", "reversed"})

_SEPARATORS: Final = re.compile(r"[\s-]")
# Letters that the alphabet leaves out, because they look like these digits.
_LIKE: Final = str.maketrans("oil", "011")
# Their mailboxes have dots in any places, or none.
_DOTLESS: Final = frozenset({"gmail.com", "googlemail.com"})


class Referral(msgspec.Struct, frozen=True, kw_only=True):
    """Who came by whose code, and what was promised for it, in minor units of a currency."""

    id: str
    program_id: str
    member_id: str
    referrer_id: str
    version: int
    state: State
    reason: Reason | None = None
    currency: str
    referrer_minor: int
    referee_minor: int
    minimum_commission_minor: int
    minimum_sale_minor: int
    qualifies_until: dt.datetime
    conversion_id: str | None = None
    claimed_at: dt.datetime
    qualified_at: dt.datetime | None = None
    updated_at: dt.datetime

    @property
    def total_minor(self) -> int:
        """What both get together."""
        return self.referrer_minor + self.referee_minor

    @property
    def is_suspended(self) -> bool:
        """Whether it was taken back because of a review of its purchase alone, which may still
        release it."""
        return self.state == "reversed" and self.conversion_id is not None


class Claim(NamedTuple):
    """What is known of a claim before it is made; `is_spent`: nothing is left to give for it."""

    joined_at: dt.datetime
    is_referred: bool
    has_bought: bool
    is_same_person: bool
    is_loop: bool
    is_spent: bool


class Given(NamedTuple):
    """How often, and how much, a referrer was given within the time of the cap; and what the
    program has given to all, ever."""

    times: int
    referrer_minor: int
    spent_minor: int


class Standing(NamedTuple):
    """How things stand when a purchase qualifies."""

    is_member_here: bool
    is_referrer_here: bool
    is_same_person: bool
    given: Given


def new_code(entropy: bytes) -> str:
    """A code from ENTROPY_BYTES random bytes, easy to read out and to type."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"expected {ENTROPY_BYTES} bytes of entropy, got {len(entropy)}")
    return base32.encode(int.from_bytes(entropy), LENGTH).upper()


def spelled(text: str) -> str:
    """The one spelling of a code that somebody typed; ReferralCodeNotFound for what is none."""
    code = _SEPARATORS.sub("", text).lower().translate(_LIKE)
    if len(code) != LENGTH or not set(code) <= set(base32.ALPHABET):
        raise errors.ReferralCodeNotFound
    return code.upper()


def mailbox(address: str) -> str:
    """What two addresses have in common that lead to one mailbox or phone."""
    local, at, domain = address.rpartition("@")
    if not at:
        return address
    local = local.partition("+")[0] or local
    if domain in _DOTLESS:
        return f"{local.replace('.', '')}@gmail.com"
    return f"{local}@{domain}"


def check_claim(rules: ReferralRules, claim: Claim, now: dt.datetime) -> None:
    """ReferralsClosed, AlreadyReferred, SelfReferral, ReferralLoop, ReferralTooLate."""
    if not rules.is_open(now):
        raise errors.ReferralsClosed
    if claim.is_same_person:
        raise errors.SelfReferral
    if claim.is_referred:
        raise errors.AlreadyReferred
    if claim.is_loop:
        raise errors.ReferralLoop
    if claim.has_bought or now > claim.joined_at + dt.timedelta(days=rules.claim_days):
        raise errors.ReferralTooLate
    if claim.is_spent:
        raise errors.ReferralsClosed


def counts(one: Referral, found: Conversion) -> bool:
    """Whether a conversion is a purchase that qualifies the referral."""
    return would_count(one, found) and found.review not in {"held", "rejected"}


def would_count(one: Referral, found: Conversion) -> bool:
    """Whether it qualifies the referral, or would do so without a review."""
    is_approved = found.state in {"approved", "settled"}
    return (
        found.member_id == one.member_id
        and is_approved
        and found.booked_currency == one.currency
        and found.booked_commission_minor >= max(one.minimum_commission_minor, 1)
        and sale_minor(found) >= one.minimum_sale_minor
        and bought_at(found) <= one.qualifies_until
    )


def first(one: Referral, found: Iterable[Conversion]) -> Conversion | None:
    """The earliest of the purchases that qualify the referral."""
    fitting = [each for each in found if counts(one, each)]
    return min(fitting, key=lambda each: (bought_at(each), each.id), default=None)


def bought_at(found: Conversion) -> dt.datetime:
    """When the member bought, as far as the network has said."""
    return found.event_at or found.first_seen_at


def sale_minor(found: Conversion) -> int:
    """The sale in the booked currency; 0 when no rate for it is known to the conversion."""
    if found.sale_minor is None or found.booked_currency is None:
        return 0
    if found.sale_currency == found.booked_currency:
        return found.sale_minor
    if found.sale_currency is None or found.sale_currency != found.currency or not found.rate:
        return 0
    rate = Rate(found.sale_currency, found.booked_currency, bought_at(found), Decimal(found.rate))
    return rates.convert(found.sale_minor, rate)


def limit(
    rules: ReferralRules, given: Given, referrer_minor: int, total_minor: int
) -> Reason | None:
    """What forbids to give so much on top of what was given, if anything does."""
    if rules.cap_count is not None and given.times >= rules.cap_count:
        return "referrer_cap"
    if rules.cap_minor is not None and given.referrer_minor + referrer_minor > rules.cap_minor:
        return "referrer_cap"
    if rules.budget_minor is not None and given.spent_minor + total_minor > rules.budget_minor:
        return "budget_exhausted"
    return None


def refusal(rules: ReferralRules, one: Referral, standing: Standing) -> Reason | None:
    """Why nothing is given for a referral that qualifies, if there is a reason."""
    if not rules.is_on and not one.is_suspended:
        return "closed"
    if not standing.is_referrer_here:
        return "referrer_gone"
    if not standing.is_member_here:
        return "member_gone"
    if standing.is_same_person:
        return "same_person"
    if one.is_suspended:
        return None
    return limit(rules, standing.given, one.referrer_minor, one.total_minor)


def since(rules: ReferralRules, now: dt.datetime) -> dt.datetime | None:
    """From when on rewards count towards a referrer's cap; None for ever."""
    return None if rules.cap_days is None else now - dt.timedelta(days=rules.cap_days)


def source(one: Referral) -> Account:
    """The account that rewards come from, whose balance is what they were, below zero."""
    return Account("referral", one.currency)


def sides(one: Referral) -> tuple[tuple[Account, int], tuple[Account, int]]:
    """Who gets how much: the referrer, then the member who came."""
    return (
        (Account("available", one.currency, one.referrer_id), one.referrer_minor),
        (Account("available", one.currency, one.member_id), one.referee_minor),
    )


def legs(one: Referral, sign: Literal[1, -1] = 1) -> dict[Account, int]:
    """The money that is given, or taken back; nothing where there is none to give."""
    moved = Counter({account: sign * minor for account, minor in sides(one)})
    moved[source(one)] = -sign * one.total_minor
    return {account: leg for account, leg in moved.items() if leg}
