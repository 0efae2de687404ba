"""User agents as real devices send them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import useragents

KIT = "AppleWebKit/537.36 (KHTML, like Gecko)"
IOS_KIT = "AppleWebKit/605.1.15 (KHTML, like Gecko)"
PIXEL = f"Mozilla/5.0 (Linux; Android 14; Pixel 8) {KIT}"
WINDOWS = f"Mozilla/5.0 (Windows NT 10.0; Win64; x64) {KIT}"
MAC = "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7)"
IPHONE = f"Mozilla/5.0 (iPhone; CPU iPhone OS 17_5 like Mac OS X) {IOS_KIT}"


@pytest.mark.parametrize(
    ("user_agent", "words"),
    [
        (f"{PIXEL} Chrome/126.0.0.0 Mobile Safari/537.36", "mobile android chrome"),
        (f"{PIXEL} Chrome/126.0.0.0 Mobile Safari/537.36 EdgA/125.0.0.0", "mobile android edge"),
        (f"{PIXEL} Chrome/125.0.0.0 Mobile Safari/537.36 OPR/82.0.0.0", "mobile android opera"),
        (
            (
                f"Mozilla/5.0 (Linux; Android 13; SM-S918B) {KIT} SamsungBrowser/25.0 "
                "Chrome/121.0.0.0 Mobile Safari/537.36"
            ),
            "mobile android samsung",
        ),
        (
            f"Mozilla/5.0 (Linux; Android 13; SM-X706B) {KIT} Chrome/126.0.0.0 Safari/537.36",
            "tablet android chrome",
        ),
        (
            "Mozilla/5.0 (Android 14; Mobile; rv:127.0) Gecko/127.0 Firefox/127.0",
            "mobile android firefox",
        ),
        (f"{IPHONE} Version/17.5 Mobile/15E148 Safari/604.1", "mobile ios safari"),
        (f"{IPHONE} CriOS/126.0.6478.54 Mobile/15E148 Safari/604.1", "mobile ios chrome"),
        (f"{IPHONE} FxiOS/127.0 Mobile/15E148 Safari/605.1.15", "mobile ios firefox"),
        (f"{IPHONE} Mobile/21F79 Instagram 335.0.0.20.93", "mobile ios other"),
        (
            (
                f"Mozilla/5.0 (iPad; CPU OS 16_6 like Mac OS X) {IOS_KIT} Version/16.6 "
                "Mobile/15E148 Safari/604.1"
            ),
            "tablet ios safari",
        ),
        (f"{WINDOWS} Chrome/126.0.0.0 Safari/537.36", "desktop windows chrome"),
        (f"{WINDOWS} Chrome/126.0.0.0 Safari/537.36 Edg/126.0.0.0", "desktop windows edge"),
        (f"{WINDOWS} Chrome/125.0.0.0 Safari/537.36 OPR/111.0.0.0", "desktop windows opera"),
        (f"{MAC} {IOS_KIT} Version/17.5 Safari/605.1.15", "desktop macos safari"),
        (f"{MAC} {KIT} Chrome/126.0.0.0 Safari/537.36", "desktop macos chrome"),
        (
            "Mozilla/5.0 (X11; Ubuntu; Linux x86_64; rv:127.0) Gecko/20100101 Firefox/127.0",
            "desktop linux firefox",
        ),
        (
            f"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) {KIT} Chrome/126.0.0.0 Safari/537.36",
            "desktop linux chrome",
        ),
        (
            f"Mozilla/5.0 (SMART-TV; Linux; Tizen 6.0) {KIT} Chrome/76.0 TV Safari/537.36",
            "other other chrome",
        ),
        ("Opera/9.80 (J2ME/MIDP; Opera Mini/7.1; U; en) Presto/2.12.423", "mobile other opera"),
        ("curl/8.5.0", "other other other"),
        ("", "other other other"),
    ],
)
def test_user_agent_is_read(user_agent: str, words: str) -> None:
    assert " ".join(useragents.parse(user_agent)) == words


@given(st.text())
def test_any_text_has_words(user_agent: str) -> None:
    assert all(useragents.parse(user_agent))
