"""Whose conversion it is. The click id proves itself; the click's row says whose click it was.

Without a click id of ours a report may still name a member, an offer, a merchant or a coupon. The
last human click that fits gets the conversion if there is no doubt about the member: it is named,
or it alone has clicked on the one offer that has the coupon. Nobody is guessed.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from core import classes, clickid, conversions, offers
from core.conversions import Attribution, Conversion, Word
from core.errors import ForgedClickId
from core.networks import Rules
from core.offers import OfferConfig
from core.providers.affiliate.report import Report

RETRY_FIRST = dt.timedelta(seconds=5)
RETRY_MAX = dt.timedelta(hours=1)
#: By so much times of networks may be before our own: some know the day only, or another zone.
EARLY: Final = dt.timedelta(days=1)
#: What may stand in a report in place of a click id.
NAMING: Final = ("member", "offer", "merchant", "coupon")


class Click(NamedTuple):
    """What is stored of a click."""

    link_id: str | None
    offer_id: str | None
    merchant_id: str | None
    member_id: str | None
    hit_class: int = classes.HUMAN


class Candidate(NamedTuple):
    """A human click that a conversion without a click id may have come from."""

    click_id: str
    clicked_at: dt.datetime
    click: Click


class Candidates(NamedTuple):
    """The latest first. `is_all`: there are no more; `is_exclusive`: one offer has the coupon."""

    clicks: Sequence[Candidate] = ()
    is_all: bool = True
    is_exclusive: bool = False


def proved(found: Conversion, keys: Mapping[int, bytes]) -> clickid.ClickId | None:
    """The click id, if it is one of ours for this program."""
    if found.click_id is None:
        return None
    try:
        return clickid.verify(found.click_id, found.program_id, keys)
    except ForgedClickId:
        return None


def credible(report: Report, program_id: str, keys: Mapping[int, bytes]) -> tuple[Report, bool]:
    """What of a report with a click id may say whose it is, and whether that id was forged.

    The click id gets its one spelling, because networks change the case of letters. Beside a forged
    one nothing counts: whoever wrote the one can have written the rest. Beside what does not even
    look like one of ours the rest counts, if there is any.
    """
    text = report.click_id or ""
    try:
        own = clickid.verify(text, program_id, keys)
    except ForgedClickId:
        is_forged = clickid.has_form(text) or not any(getattr(report, name) for name in NAMING)
        changes = dict.fromkeys(("click_id", *NAMING) if is_forged else ("click_id",))
        return msgspec.structs.replace(report, **changes), is_forged
    return msgspec.structs.replace(report, click_id=own.text), False


def decide(
    found: Conversion,
    click_id: clickid.ClickId | None,
    click: Click | None,
    rules: Rules,
    now: dt.datetime,
    patience: dt.timedelta,
    offer: OfferConfig | None = None,
) -> tuple[Conversion, Word | None]:
    """The conversion with its owner, or parked until the click's row is there; with the word that
    says more than that it was accepted. `offer` is that of the click's link.
    """
    if click_id is None:
        return _nobodys(found, "no click id of ours came with it"), None
    clicked_at = conversions.moment(click_id.ms)
    if _after(found, clicked_at) > dt.timedelta(days=rules.window_days):
        return _nobodys(found, "it came after the window of its click"), "above_window"
    if click is None:
        age = now - found.first_seen_at
        if age >= patience:
            return _nobodys(found, "the row of its click never came"), "unknown_click"
        wait = min(max(age, RETRY_FIRST), RETRY_MAX)
        waiting = found.replace(parked="awaiting_click", next_try_at=now + wait)
        return waiting, "awaiting_click"
    if click.hit_class == classes.TEST:
        return _nobodys(found, "its click was a test"), "test"
    if offer is not None and refusal(found, offer, clicked_at) in {"too_late", "outside_window"}:
        return _nobodys(found, "it came after the window of its offer"), "above_window"
    owned = _owned(found, click, "click", "its click id proves itself")
    return _doubted(owned.replace(click_id=click_id.text), clicked_at, click, rules, offer)


def guess(
    found: Conversion,
    known: Candidates,
    rules: Rules,
    given: Mapping[str, OfferConfig],
) -> tuple[Conversion, Word | None]:
    """The same for a conversion without a click id, from the clicks that fit its hints; `given` has
    their offers.
    """
    inside = [one for one in known.clicks if _is_inside(found, one, given)]
    how = _certain(found, known._replace(clicks=inside))
    if how is None:
        why = "of the clicks that it may have come from none is certain"
        is_none = not inside and known.is_all
        return _nobodys(found, "no click fits what came with it" if is_none else why), None
    last = inside[0]
    why = f"it names the {how}, and this is the last click that fits"
    owned = _owned(found, last.click, how, why).replace(click_id=last.click_id)
    offer = given.get(last.click.offer_id or "")
    return _doubted(owned, last.clicked_at, last.click, rules, offer)


def barred(found: Conversion) -> Conversion:
    """The conversion as nobody's: whose it would be is banned."""
    return _nobodys(found, "its member is banned")


def refusal(found: Conversion, offer: OfferConfig, clicked_at: dt.datetime) -> str:
    """Why the offer does not take the conversion for a click at this moment (`offers.refusal`)."""
    return offers.refusal(offer, _ms(clicked_at), _ms(clicked_at + _after(found, clicked_at)))


def happened(found: Conversion) -> dt.datetime:
    """When the member bought, as far as it is known."""
    return found.event_at or found.first_seen_at


def latest(at: dt.datetime) -> dt.datetime:
    """The last moment that a time of somebody else may stand for: networks and shops mostly say the
    second, where we know the millisecond."""
    return at.replace(microsecond=at.microsecond or 999_999)


def since_click(clicked_at: dt.datetime, at: dt.datetime) -> dt.timedelta:
    """How long after its click something was, by a time of somebody else. What was in the second of
    the click, as far as that says, was not before it."""
    taken = at - clicked_at
    return max(taken, dt.timedelta()) if clicked_at <= latest(at) else taken


def _after(found: Conversion, clicked_at: dt.datetime) -> dt.timedelta:
    taken = happened(found) - clicked_at
    return max(taken, dt.timedelta()) if taken >= -EARLY else taken


def _certain(found: Conversion, known: Candidates) -> Attribution | None:
    """By what it is certain whose it is, if it is."""
    members = {one.click.member_id for one in known.clicks}
    places = {one.click.offer_id for one in known.clicks}
    if len(members) != 1 or None in members:
        return None
    if found.hints.member:
        is_placed = bool(found.hints.offer or found.hints.merchant) or len(places) == 1
        return "member" if is_placed else None
    return "coupon" if known.is_exclusive and known.is_all else None


def _is_inside(found: Conversion, one: Candidate, given: Mapping[str, OfferConfig]) -> bool:
    offer = given.get(one.click.offer_id or "")
    return offer is None or refusal(found, offer, one.clicked_at) in {"", "too_soon"}


def _owned(found: Conversion, click: Click, how: Attribution, why: str) -> Conversion:
    is_same = (found.member_id, found.offer_id) == (click.member_id, click.offer_id)
    return found.replace(
        parked=None,
        next_try_at=None,
        attribution=how,
        reasons=[why],
        link_id=click.link_id,
        offer_id=click.offer_id,
        merchant_id=click.merchant_id,
        member_id=click.member_id,
        terms=found.terms if is_same else None,
    )


def _doubted(
    owned: Conversion,
    clicked_at: dt.datetime,
    click: Click,
    rules: Rules,
    offer: OfferConfig | None,
) -> tuple[Conversion, Word | None]:
    """Held for review, if something about it is strange and nobody has looked yet."""
    refused = "" if offer is None else refusal(owned, offer, clicked_at)
    doubts: list[tuple[str, Word]] = []
    if click.hit_class != classes.HUMAN:
        name = classes.NAMES[click.hit_class]
        doubts.append((f"its click was no human's, but: {name}", "held_for_review"))
    taken = _after(owned, clicked_at)
    if taken < dt.timedelta():
        doubts.append(("it came before its click", "below_min_ctit"))
    elif taken < dt.timedelta(seconds=rules.click_min_s) or refused == "too_soon":
        doubts.append(("it came too soon after its click", "below_min_ctit"))
    if not doubts or owned.review is not None:
        return owned, None
    reasons = [*owned.reasons, *(why for why, _ in doubts)]
    return owned.replace(review="held", reasons=reasons), doubts[-1][1]


def _nobodys(found: Conversion, why: str) -> Conversion:
    return found.replace(
        parked="unattributed",
        next_try_at=None,
        attribution="none",
        reasons=[why],
        member_id=None,
        terms=None,
    )


def _ms(at: dt.datetime) -> int:
    return (at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
