"""What the ledger holds for a conversion: a pure function of its row, so that each change of the
row moves the difference, however it came about.
"""

from __future__ import annotations

from typing import Final

from core import money, offers, rates, wallet
from core.conversions import Conversion
from core.money import Money
from core.networks import Rules
from core.offers import NOTHING, Fixed, OfferConfig, Used
from core.wallet import Account, Role

#: Where a member's cashback and our part of the commission stand.
_THEIRS: Final[dict[str, Role]] = {
    "pending": "pending",
    "approved": "available",
    "settled": "available",
}
_UNBOOKED: Final = frozenset({"awaiting_click", "currency_unknown"})


def valued(
    found: Conversion,
    rules: Rules,
    currency: str,
    table: rates.Table,
    offer: OfferConfig | None = None,
    used: Used = NOTHING,
) -> Conversion:
    """The conversion with its commission in the program's currency and the member's part of it, as
    its offer says, or else its network; or parked until a rate for it is known.

    `used` is what the member has had of the offer before. Nobody gets more than the commission.
    """
    if found.parked == "awaiting_click":
        return found.replace(booked_currency=None, rate=None)
    rate = None
    if found.currency is not None:
        rate = table.find(found.currency, currency, found.event_at or found.first_seen_at)
    if rate is None:
        return found.replace(parked="currency_unknown", booked_currency=None, rate=None)
    commission = Money(rates.convert(found.owed_minor, rate), currency)
    is_shared = found.member_id is not None and found.review != "rejected"
    share = _share(found, rules, commission, table, offer, used) if is_shared else 0
    return found.replace(
        parked="unattributed" if found.attribution == "none" else None,
        booked_currency=currency,
        booked_commission_minor=commission.amount_minor,
        booked_cashback_minor=share,
        rate=f"{rate.rate:f}",
    )


def _share(
    found: Conversion,
    rules: Rules,
    commission: Money,
    table: rates.Table,
    offer: OfferConfig | None,
    used: Used,
) -> int:
    if offer is None or offer.cashback is None:
        return money.cashback(commission, rules.cashback_bp).amount_minor
    fixed = offer.cashback
    if isinstance(fixed, Fixed) and fixed.currency != commission.currency:
        return 0
    sale, rate = None, None
    if found.sale_minor is not None and found.sale_currency is not None:
        at = found.event_at or found.first_seen_at
        rate = table.find(found.sale_currency, commission.currency, at)
    if rate is not None:
        sale = Money(rates.convert(found.sale_minor or 0, rate), commission.currency)
    given = offers.share(offer, commission, sale, used).cashback.amount_minor
    return min(given, commission.amount_minor)


def booked(found: Conversion | None) -> wallet.Legs:
    """What stands in the ledger because of the conversion."""
    if found is None or found.booked_currency is None or found.parked in _UNBOOKED:
        return {}
    if found.state in ("rejected", "reversed") or not found.booked_commission_minor:
        return {}
    currency, commission = found.booked_currency, found.booked_commission_minor
    share = found.booked_cashback_minor
    source = Account("receivable", currency, network_id=found.network_id)
    if found.state == "settled":
        source = Account("settled", currency)
    legs: dict[Account, int] = {source: -commission}
    is_held = found.review == "held"
    if share and found.member_id is not None:
        role = _THEIRS[found.state]
        role = "review" if is_held and role == "available" else role
        legs[Account(role, currency, found.member_id)] = share
    if commission > share:
        ours: Role = "expected" if is_held or found.state == "pending" else "margin"
        legs[Account(ours, currency)] = commission - share
    return legs


def became_available(before: Conversion | None, after: Conversion) -> int:
    """By how much a change made a member's available money more, in minor units."""
    if after.member_id is None or after.booked_currency is None:
        return 0
    account = Account("available", after.booked_currency, after.member_id)
    return max(booked(after).get(account, 0) - booked(before).get(account, 0), 0)
