"""Quiet hours across midnight and across changes of the clocks, and tokens that cannot be made."""

from __future__ import annotations

import base64
import datetime as dt
import zoneinfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import fields, preferences
from core.errors import BadField
from core.preferences import Unsubscribe
from tests.conftest import RING

NIGHT = (22 * 60, 7 * 60)
WISH = Unsubscribe("prg_1", "mem_1", "account", "email")
NONCE = bytes(fields.NONCE_BYTES)


def ms(text: str, zone: str) -> int:
    at = dt.datetime.fromisoformat(text).replace(tzinfo=zoneinfo.ZoneInfo(zone))
    return int(at.timestamp() * 1000)


@pytest.mark.parametrize(
    ("zone", "now", "hours", "until"),
    [
        ("Asia/Kolkata", "2026-11-24 22:00", NIGHT, "2026-11-25 07:00"),
        ("Asia/Kolkata", "2026-11-24 23:59", NIGHT, "2026-11-25 07:00"),
        ("Asia/Kolkata", "2026-11-25 06:58", NIGHT, "2026-11-25 07:00"),
        ("Asia/Kolkata", "2026-11-25 07:00", NIGHT, None),
        ("Asia/Kolkata", "2026-11-24 21:59", NIGHT, None),
        ("Asia/Kolkata", "2026-11-24 13:30", (13 * 60, 15 * 60), "2026-11-24 15:00"),
        ("Asia/Kolkata", "2026-11-24 15:00", (13 * 60, 15 * 60), None),
        ("Asia/Kolkata", "2026-11-24 12:59", (13 * 60, 15 * 60), None),
        # The night in which the clocks are put forward is an hour shorter, and the other longer.
        ("Europe/Berlin", "2026-03-28 22:30", NIGHT, "2026-03-29 07:00"),
        ("Europe/Berlin", "2026-10-24 22:30", NIGHT, "2026-10-25 07:00"),
        ("UTC", "2026-12-31 23:30", NIGHT, "2027-01-01 07:00"),
    ],
)
def test_quiet_hours_end_on_the_clock_of_the_place(
    zone: str, now: str, hours: tuple[int, int], until: str | None
) -> None:
    expected = None if until is None else ms(until, zone)
    assert preferences.quiet_until_ms(*hours, zone, ms(now, zone)) == expected


def test_the_zone_counts() -> None:
    at = ms("2026-11-24 20:00", "UTC")
    assert preferences.quiet_until_ms(*NIGHT, "UTC", at) is None
    assert preferences.quiet_until_ms(*NIGHT, "Asia/Kolkata", at) == ms(
        "2026-11-25 07:00", "Asia/Kolkata"
    )


@given(
    st.integers(0, 1439),
    st.integers(0, 1439),
    st.integers(0, 4_000_000_000_000),
    st.sampled_from(["UTC", "Asia/Kolkata", "Europe/Berlin", "America/Lima", "Pacific/Apia"]),
)
def test_quiet_hours_end_within_days_and_not_at_once(
    begins: int, ends: int, now_ms: int, zone: str
) -> None:
    if begins == ends:
        return
    until_ms = preferences.quiet_until_ms(begins, ends, zone, now_ms)
    assert until_ms is None or 60_000 <= until_ms - now_ms <= 2 * 86_400_000


def test_clocks_are_read_and_written() -> None:
    for text in ("00:00", "07:30", "23:59"):
        assert preferences.clock(preferences.minute(text)) == text


def test_a_token_says_whose_wish_it_carries() -> None:
    text = preferences.token(RING, WISH, NONCE)
    assert preferences.read_token(RING, text) == WISH
    assert "mem_1" not in text


def test_a_token_that_was_changed_is_none() -> None:
    text = preferences.token(RING, WISH, NONCE)
    raw = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
    for at in range(len(raw)):
        changed = raw[:at] + bytes((raw[at] ^ 1,)) + raw[at + 1 :]
        with pytest.raises(BadField):
            preferences.read_token(RING, base64.urlsafe_b64encode(changed).rstrip(b"=").decode())


@pytest.mark.parametrize("text", ["", "x", "AAAA", "=", "ü", "A" * 600, "../../etc", "AQ", "AQI"])
def test_a_text_that_is_no_token_is_none(text: str) -> None:
    with pytest.raises(BadField):
        preferences.read_token(RING, text)


def test_what_was_sealed_for_something_else_is_no_token() -> None:
    sealed = fields.seal(RING, '["prg_1","mem_1","account","email"]', "member.profile:x", NONCE)
    with pytest.raises(BadField):
        preferences.read_token(RING, base64.urlsafe_b64encode(sealed).decode())


def test_security_cannot_be_unsubscribed_from() -> None:
    text = preferences.token(RING, Unsubscribe("prg_1", "mem_1", "security", "email"), NONCE)
    with pytest.raises(BadField):
        preferences.read_token(RING, text)
