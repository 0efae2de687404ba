"""Money: whole minor units of one currency. Nothing here knows a fraction or a float."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Annotated, Final

import msgspec

BASIS_POINTS: Final = 10_000

# ISO 4217, where it is not two.
_PLACES: Final = {
    **dict.fromkeys(("BIF", "CLP", "DJF", "GNF", "ISK", "JPY", "KMF", "KRW", "PYG"), 0),
    **dict.fromkeys(("RWF", "UGX", "UYI", "VND", "VUV", "XAF", "XOF", "XPF"), 0),
    **dict.fromkeys(["BHD", "IQD", "JOD", "KWD", "LYD", "OMR", "TND"], 3),
}
_SYMBOLS: Final = {"INR": "₹", "EUR": "€", "USD": "$", "GBP": "£", "JPY": "¥"}

Currency = Annotated[str, msgspec.Meta(pattern=r"^[A-Z]{3}$(?!\n)", description="ISO 4217")]


class Money(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """An amount in the currency's smallest unit: paisa, cent, yen."""

    amount_minor: int
    currency: Currency


def split(money: Money, weights: Sequence[int]) -> list[Money]:
    """Shares in proportion to `weights` that sum to `money` exactly; weight 0 gets nothing.

    Each share ends where its part of the running total ends, rounded down: so nothing is lost and
    no share is a whole minor unit away from its exact value.
    """
    total = sum(weights)
    if total <= 0 or min(weights) < 0:
        raise ValueError("weights must not be negative, and not all zero")
    ends = [money.amount_minor * end // total for end in accumulate(weights, initial=0)]
    return [Money(end - start, money.currency) for start, end in pairwise(ends)]


def cashback(commission: Money, share_bp: int) -> Money:
    """The member's share of a commission, rounded down; the rest is the platform's margin."""
    if commission.amount_minor < 0 or share_bp < 0:
        raise ValueError("a commission and a share are not negative: reverse the postings instead")
    return Money(commission.amount_minor * share_bp // BASIS_POINTS, commission.currency)


def plain(money: Money) -> str:
    """The amount as files have it, without a currency: `1500.00`, `-3.50`, `800`."""
    places = _PLACES.get(money.currency, 2)
    sign = "-" if money.amount_minor < 0 else ""
    whole, part = divmod(abs(money.amount_minor), 10**places)
    return f"{sign}{whole}" + (f".{part:0{places}}" if places else "")


def text(money: Money) -> str:
    """The amount as people read it, the same in every language: `₹1500.00`, `CHF 3.50`, `¥800`."""
    symbol = _SYMBOLS.get(money.currency, f"{money.currency} ")
    sign = "-" if money.amount_minor < 0 else ""
    return f"{sign}{symbol}{plain(Money(abs(money.amount_minor), money.currency))}"
