"""What the ledger holds for a conversion: a pure function of its row, so that each change of the
row moves the difference, however it came about.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from decimal import Decimal
from typing import Final

from core import offers, rates, wallet
from core.conversions import AMOUNT_MAX, EPOCH, FINAL, Conversion, Parked
from core.money import Money
from core.networks import Rules
from core.offers import NOTHING, Fixed, OfCommission, OfferConfig, OfSale, Terms, Used
from core.rates import Rate
from core.wallet import Account, Role

#: Where a member's cashback and our part of the commission stand.
_THEIRS: Final[dict[str, Role]] = {
    "pending": "pending",
    "approved": "available",
    "settled": "available",
}
_UNBOOKED: Final = frozenset({"awaiting_click", "currency_unknown", "amount_implausible"})
#: More than a transaction takes.
LOOK_AGAIN: Final = dt.timedelta(minutes=5)


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

    Terms and rates under which it was booked before go first. `used` is what the member has had of
    the offer before. Nobody gets more than the commission.
    """
    if found.parked == "awaiting_click":
        return found.replace(booked_currency=None, rate=None)
    target = found.booked_currency or currency
    known, terms = _rates(found, target, table), found.terms
    if terms is None and found.member_id is not None:
        terms = promised(rules, offer)
    rate = _rate(known, found.currency, target)
    sale_rate = _rate(known, found.sale_currency, target)
    is_of_sale = isinstance(terms and terms.cashback, OfSale) and found.sale_minor is not None
    if rate is None or (is_of_sale and sale_rate is None):
        return _parked(found, "currency_unknown")
    commission = Money(rates.convert(found.owed_minor, rate), target)
    if commission.amount_minor > AMOUNT_MAX:
        return _parked(found, "amount_implausible")
    is_shared = found.member_id is not None and found.review != "rejected"
    return found.replace(
        parked="unattributed" if found.attribution == "none" else None,
        booked_currency=target,
        booked_commission_minor=commission.amount_minor,
        booked_cashback_minor=(
            _share(found, terms, commission, sale_rate, used) if terms and is_shared else 0
        ),
        rate=f"{rate.rate:f}",
        terms=terms,
        rates=known,
    )


def stays(before: Conversion | None, after: Conversion) -> bool:
    """Whether what was booked stays as it is: nothing has changed that it follows from. What an
    operator has opened again counts anew towards a cap.
    """
    if before is None or before.booked_currency is None:
        return False
    is_reopened = before.state in FINAL and after.state not in FINAL
    return not is_reopened and _causes(before) == _causes(after)


def promised(rules: Rules, offer: OfferConfig | None) -> Terms:
    """What a member gets at present: as the offer says, or else the network's share."""
    if offer is not None and offer.cashback is not None:
        return Terms(cashback=offer.cashback, member_cap=offer.member_cap)
    return Terms(cashback=OfCommission(rules.cashback_bp) if rules.cashback_bp else None)


def booked(found: Conversion | None) -> wallet.Legs:
    """What stands in the ledger because of the conversion."""
    if found is None or found.booked_currency is None:
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


def _parked(found: Conversion, why: Parked) -> Conversion:
    """Waiting for a rate, whose coming wakes it. A rate that came while it was parked for the first
    time has neither been seen nor has seen it, so it is looked at once more by itself.
    """
    is_known = found.parked in _UNBOOKED
    again = found.next_try_at if is_known else found.updated_at + LOOK_AGAIN
    return found.replace(parked=why, booked_currency=None, rate=None, next_try_at=again)


def _causes(found: Conversion) -> tuple[object, ...]:
    return (
        *(found.owed_minor, found.currency, found.sale_minor, found.sale_currency),
        *(found.member_id, found.offer_id, found.review, found.parked, found.terms, found.rates),
    )


def _rates(found: Conversion, target: str, table: rates.Table) -> dict[str, str]:
    """The rates of the event's time for the currencies of its amounts, and those used before."""
    at = found.event_at or found.first_seen_at
    known = {}
    for source in filter(None, (found.currency, found.sale_currency)):
        rate = None if source == target else table.find(source, target, at)
        if rate is not None:
            known[_pair(source, target)] = f"{rate.rate:f}"
    return known | found.rates


def _rate(known: Mapping[str, str], source: str | None, target: str) -> Rate | None:
    text = "1" if source == target else known.get(_pair(source, target))
    return None if text is None else Rate(source or "", target, EPOCH, Decimal(text))


def _pair(source: str | None, target: str) -> str:
    return f"{source}/{target}"


def _share(
    found: Conversion, terms: Terms, commission: Money, sale_rate: Rate | None, used: Used
) -> int:
    if isinstance(terms.cashback, Fixed) and terms.cashback.currency != commission.currency:
        return 0
    sale = None
    if found.sale_minor is not None and sale_rate is not None:
        sale = Money(rates.convert(found.sale_minor, sale_rate), commission.currency)
    given = offers.share(terms, commission, sale, used).cashback.amount_minor
    return min(given, commission.amount_minor)
