"""Conversions: what a network reports of one transaction, put together from all its reports.

States go forward only: pending, approved, settled; rejected and reversed are final, unless an
operator opens the conversion again. Reports come late, twice, and in any order: one that the
network made before the one that we know changes nothing.
"""

from __future__ import annotations

import datetime as dt
import hashlib
from collections.abc import Mapping
from typing import Any, Final, Literal, NamedTuple, Self

import msgspec

from core.errors import ConversionNotOpen
from core.networks import Dedupe
from core.offers import Terms
from core.providers.affiliate.report import Report, Status

State = Literal["pending", "approved", "settled", "rejected", "reversed"]
Parked = Literal["awaiting_click", "currency_unknown", "amount_implausible", "unattributed"]
Review = Literal["held", "released", "rejected"]
#: How we know whose conversion it is: by the click id, the member or the coupon that came with it;
#: `none` means that we do not, '' that nobody looked yet.
Attribution = Literal["", "click", "member", "coupon", "none"]

Word = Literal[
    "accepted",
    "updated",
    "duplicate",
    "stale",
    "awaiting_click",
    "unknown_click",
    "bad_mac",
    "bad_token",
    "bad_signature",
    "ip_denied",
    "below_min_ctit",
    "above_window",
    "currency_unknown",
    "status_unknown",
    "amount_implausible",
    "held_for_review",
    "malformed",
    "failed",
    "disabled",
    "test",
]

RANKS: Final[Mapping[str, int]] = {"pending": 0, "approved": 1, "settled": 2}
FINAL: Final = frozenset({"rejected", "reversed"})
#: Found by what came with a report instead of a click id.
GUESSED: Final = frozenset({"member", "coupon"})
EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
#: More than anybody pays for a purchase, in minor units of any currency.
AMOUNT_MAX: Final = 10**15


class Hints(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What says whose a conversion is where no click id of ours does: the id of a member, what the
    network calls an offer and a merchant, and the coupon that was used.
    """

    member: str = ""
    offer: str = ""
    merchant: str = ""
    coupon: str = ""


NO_HINTS: Final = Hints()


class Conversion(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion as it is stored; amounts are minor units. `commission_minor` is what reports
    say, `corrected_minor` what corrections and additions make of it. `terms` and `rates`, those by
    `USD/INR`, are those under which it was first booked.
    """

    id: str
    program_id: str
    network_id: str
    txn_id: str
    event: str
    version: int
    state: State
    parked: Parked | None = None
    review: Review | None = None
    status_word: str = ""
    order_id: str | None = None
    sale_minor: int | None = None
    sale_currency: str | None = None
    commission_minor: int = 0
    corrected_minor: int = 0
    counted: list[str] = []
    currency: str | None = None
    event_at: dt.datetime | None = None
    reported_at: dt.datetime | None = None
    click_id: str | None = None
    link_id: str | None = None
    offer_id: str | None = None
    merchant_id: str | None = None
    member_id: str | None = None
    attribution: Attribution = ""
    reasons: list[str] = []
    hints: Hints = NO_HINTS
    terms: Terms | None = None
    rates: dict[str, str] = {}
    booked_currency: str | None = None
    booked_commission_minor: int = 0
    booked_cashback_minor: int = 0
    rate: str | None = None
    next_try_at: dt.datetime | None = None
    first_seen_at: dt.datetime
    updated_at: dt.datetime
    approved_at: dt.datetime | None = None
    settled_at: dt.datetime | None = None
    reversed_at: dt.datetime | None = None

    @property
    def owed_minor(self) -> int:
        """The commission after all corrections, never below zero."""
        return max(self.commission_minor + self.corrected_minor, 0)

    @property
    def own_click_id(self) -> str | None:
        """The click of ours by which it is known whose it is, however that was found."""
        return None if self.attribution in {"", "none"} else self.click_id

    def replace(self, **changes: Any) -> Self:
        """The same with these fields changed; without a booked currency nothing is booked."""
        if changes.get("booked_currency", "") is None:
            changes |= {"booked_commission_minor": 0, "booked_cashback_minor": 0}
        return msgspec.structs.replace(self, **changes)


class Key(NamedTuple):
    """Which conversion of a network a report is about."""

    txn_id: str
    event: str


class Item(NamedTuple):
    """A report, and the id of the call that it came with, if it came with one."""

    report: Report
    source: str = ""


class Verdict(NamedTuple):
    """What became of a report, and of which conversion."""

    word: Word
    conversion_id: str | None = None
    detail: str = ""


def key(report: Report, dedupe: Dedupe, source: str) -> Key:
    """The conversion that a report is about; `source` names the call that brought it, if any."""
    if dedupe == "new_each" and not report.correction_id:
        return Key(report.txn_id, f"{report.event}#{source or said(report)}")
    if dedupe == "by_event_id" and report.event:
        return Key(report.event, "")
    return Key(report.txn_id, report.event)


def said(report: Report) -> str:
    """Equal for reports that say the same."""
    values = (
        *(report.status, report.commission_minor, report.sale_minor, report.currency),
        *(report.event_at_ms, report.updated_at_ms, report.correction_id),
    )
    return hashlib.blake2s(repr(values).encode(), digest_size=8).hexdigest()


def begin(found: Key, report: Report, ids: tuple[str, str, str], now: dt.datetime) -> Conversion:
    """A conversion of which nothing is known yet; `ids`: its own, its program's, its network's."""
    own, program_id, network_id = ids
    return Conversion(
        id=own,
        program_id=program_id,
        network_id=network_id,
        txn_id=found.txn_id,
        event=found.event,
        version=0,
        state="pending",
        click_id=report.click_id,
        first_seen_at=now,
        updated_at=now,
    )


def take(before: Conversion, report: Report, dedupe: Dedupe, now: dt.datetime) -> Conversion | Word:
    """The conversion after the report, or why the report changes nothing."""
    if report.status == "unknown":
        return "status_unknown"
    is_new = before.version == 0
    if _is_mixed(before, report, dedupe):
        return "amount_implausible"
    if report.correction_id:
        return _added(before, report, f"c:{report.correction_id}", now)
    if dedupe == "increment":
        return _added(before, report, f"i:{said(report)}", now)
    if is_stale(before, report):
        named = _identified(before, report)
        return "stale" if named == before else named.replace(updated_at=now)
    if dedupe in ("reject", "new_each") and not is_new and not _is_only_corrected(before):
        return "duplicate"
    state = reached(before.state, report.status)
    after = _closed(_reported(before, report, state, dedupe, now))
    if not is_new and _content(after) == _content(before):
        return "stale" if _is_backward(before.state, report.status) else "duplicate"
    return after


def is_stale(before: Conversion, report: Report) -> bool:
    """Whether the network made the report before the one that is known; times of one kind are
    compared."""
    if before.reported_at is not None and report.updated_at_ms is not None:
        return moment(report.updated_at_ms) < before.reported_at
    if before.event_at is not None and report.event_at_ms is not None:
        return moment(report.event_at_ms) < before.event_at
    return False


def reached(state: State, status: Status) -> State:
    """The state after a network says `status`."""
    if state in FINAL or status == "unknown":
        return state
    if status in ("rejected", "reversed"):
        return "rejected" if state == "pending" and status == "rejected" else "reversed"
    return status if RANKS[status] > RANKS[state] else state


def reopened(before: Conversion, now: dt.datetime) -> Conversion:
    """An operator opens a conversion that was final; ConversionNotOpen for others."""
    if before.state not in FINAL:
        raise ConversionNotOpen
    return before.replace(state="pending", reversed_at=None, updated_at=now)


def renewed(before: Conversion, now: dt.datetime) -> Conversion:
    """An operator has an open conversion looked at anew: what is nobody's is attributed once more,
    and offer, network and rates count as they are now; ConversionNotOpen for others.
    """
    if before.state in FINAL:
        raise ConversionNotOpen
    attribution: Attribution = "" if before.attribution == "none" else before.attribution
    return before.replace(attribution=attribution, terms=None, rates={}, updated_at=now)


def refused(before: Conversion, now: dt.datetime) -> Conversion:
    """An operator rejects a conversion, or takes it back; ConversionNotOpen once that is done."""
    if before.state in FINAL:
        raise ConversionNotOpen
    state: State = "rejected" if before.state == "pending" else "reversed"
    return before.replace(state=state, reversed_at=now, updated_at=now)


def moment(ms: int) -> dt.datetime:
    """Unix milliseconds as a moment."""
    return EPOCH + dt.timedelta(milliseconds=ms)


def event_type(before: Conversion | None, after: Conversion) -> str | None:
    """What endpoints are told of the change, if anything."""
    if before is None:
        return "conversion.created"
    if before.state == after.state:
        return None
    return {
        "approved": "conversion.approved",
        "rejected": "conversion.declined",
        "reversed": "conversion.reversed",
    }.get(after.state)


def _reported(
    before: Conversion, report: Report, state: State, dedupe: Dedupe, now: dt.datetime
) -> Conversion:
    commission = _either(report.commission_minor, before.commission_minor) or 0
    sale = _either(report.sale_minor, before.sale_minor)
    if dedupe == "keep_max":
        commission = max(commission, before.commission_minor)
        sale = max(sale or 0, before.sale_minor or 0) if sale is not None else None
    return _moved(before, report, state, now).replace(
        commission_minor=commission,
        sale_minor=sale,
        sale_currency=report.sale_currency or before.sale_currency,
    )


def _added(before: Conversion, report: Report, name: str, now: dt.datetime) -> Conversion | Word:
    """A correction, or one of several reports whose amounts are added; each counts once."""
    if name in before.counted:
        return "duplicate"
    corrected = before.corrected_minor + (report.commission_minor or 0)
    if abs(corrected) > AMOUNT_MAX:
        return "amount_implausible"
    state = before.state if report.correction_id else reached(before.state, report.status)
    after = before if report.correction_id else _moved(before, report, state, now)
    return _closed(
        after.replace(
            corrected_minor=corrected,
            counted=[*before.counted, name],
            currency=before.currency or report.currency,
            updated_at=now,
        )
    )


def _moved(before: Conversion, report: Report, state: State, now: dt.datetime) -> Conversion:
    # A currency without an amount is not that of the amount that is known.
    is_said = report.commission_minor is not None or before.currency is None
    return _identified(before, report).replace(
        state=state,
        status_word=report.status_word or before.status_word,
        order_id=report.order_id or before.order_id,
        currency=(report.currency if is_said else None) or before.currency,
        event_at=_later(before.event_at, report.event_at_ms),
        reported_at=_later(before.reported_at, report.updated_at_ms),
        updated_at=now,
    )


def _identified(before: Conversion, report: Report) -> Conversion:
    """With the click id and the hints that the report adds to what is known; whose it is has to be
    found out then. A click id goes before all else.
    """
    has_click = report.click_id is not None and (
        before.click_id is None or before.attribution in GUESSED
    )
    known = before.hints
    hints = Hints(
        member=known.member or report.member or "",
        offer=known.offer or report.offer or "",
        merchant=known.merchant or report.merchant or "",
        coupon=known.coupon or report.coupon or "",
    )
    has_hint = hints != known and before.click_id is None and before.attribution == "none"
    return before.replace(
        click_id=report.click_id if has_click else before.click_id,
        hints=hints,
        attribution="" if has_click or has_hint else before.attribution,
    )


def _is_mixed(before: Conversion, report: Report, dedupe: Dedupe) -> bool:
    """Whether amounts of two currencies would be added up, or compared."""
    is_kept = dedupe == "keep_max"
    if is_kept and _differ(report.sale_currency, before.sale_currency):
        return True
    is_added = bool(report.correction_id or before.corrected_minor) or dedupe == "increment"
    return (is_kept or is_added) and _differ(report.currency, before.currency)


def _differ(new: str | None, old: str | None) -> bool:
    return new is not None and old is not None and new != old


def _closed(found: Conversion) -> Conversion:
    """Taken back once nothing is left of it; and when it reached its state."""
    state = found.state
    if found.corrected_minor < 0 and found.commission_minor > 0 and not found.owed_minor:
        state = "reversed"
    at = found.updated_at
    return found.replace(
        state=state,
        approved_at=found.approved_at or (at if state in ("approved", "settled") else None),
        settled_at=found.settled_at or (at if state == "settled" else None),
        reversed_at=found.reversed_at or (at if state in FINAL else None),
    )


def _is_only_corrected(found: Conversion) -> bool:
    return not found.status_word and not found.commission_minor and bool(found.counted)


def _is_backward(state: State, status: Status) -> bool:
    if status in FINAL:
        return False
    return state in FINAL or RANKS[status] < RANKS[state]


def _content(found: Conversion) -> Conversion:
    return found.replace(updated_at=EPOCH, status_word="")


def _either(new: int | None, old: int | None) -> int | None:
    return old if new is None else new


def _later(old: dt.datetime | None, ms: int | None) -> dt.datetime | None:
    if ms is None:
        return old
    new = moment(ms)
    return new if old is None else max(old, new)
