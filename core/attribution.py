"""Whose conversion it is. The click id proves itself; the click's row says whose click it was."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import NamedTuple

from core import clickid, conversions
from core.conversions import Conversion, Word
from core.errors import ForgedClickId
from core.networks import Rules

RETRY_FIRST = dt.timedelta(seconds=5)
RETRY_MAX = dt.timedelta(hours=1)


class Click(NamedTuple):
    """What is stored of a click."""

    link_id: str | None
    offer_id: str | None
    merchant_id: str | None
    member_id: str | None


def proved(found: Conversion, keys: Mapping[int, bytes]) -> clickid.ClickId | None:
    """The click id, if it is one of ours for this program."""
    if found.click_id is None:
        return None
    try:
        return clickid.verify(found.click_id, found.program_id, keys)
    except ForgedClickId:
        return None


def decide(
    found: Conversion,
    click_id: clickid.ClickId | None,
    click: Click | None,
    rules: Rules,
    now: dt.datetime,
    patience: dt.timedelta,
) -> tuple[Conversion, Word | None]:
    """The conversion with its owner, or parked until the click's row is there; with the word that
    says more than that it was accepted.
    """
    if click_id is None:
        return _nobodys(found, "no click id of ours came with it"), None
    taken_s = _seconds_from(click_id, found)
    if taken_s > rules.window_days * 86_400:
        return _nobodys(found, "it came after the window of its click"), "above_window"
    if click is None:
        age = now - found.first_seen_at
        if age >= patience:
            return _nobodys(found, "the row of its click never came"), "unknown_click"
        wait = min(max(age, RETRY_FIRST), RETRY_MAX)
        waiting = found.replace(parked="awaiting_click", next_try_at=now + wait)
        return waiting, "awaiting_click"
    owned = found.replace(
        parked=None,
        next_try_at=None,
        attribution="click",
        reasons=["its click id proves itself"],
        click_id=click_id.text,
        link_id=click.link_id,
        offer_id=click.offer_id,
        merchant_id=click.merchant_id,
        member_id=click.member_id,
    )
    if taken_s < rules.click_min_s and found.review is None:
        why = "it came too soon after its click"
        return owned.replace(review="held", reasons=[*owned.reasons, why]), "below_min_ctit"
    return owned, None


def _nobodys(found: Conversion, why: str) -> Conversion:
    return found.replace(
        parked="unattributed", next_try_at=None, attribution="none", reasons=[why], member_id=None
    )


def _seconds_from(click_id: clickid.ClickId, found: Conversion) -> float:
    at = found.event_at or found.first_seen_at
    return (at - conversions.moment(click_id.ms)).total_seconds()
