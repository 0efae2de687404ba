"""Device, system and browser from a user agent: coarse words for rules and statistics."""

from __future__ import annotations

import functools
import re
from typing import Literal, NamedTuple

Device = Literal["mobile", "tablet", "desktop", "other"]
System = Literal["ios", "android", "windows", "macos", "linux", "other"]
Browser = Literal["chrome", "safari", "firefox", "edge", "opera", "samsung", "other"]

# What is looked at and remembered of a user agent: it is the visitor's text, so it has a bound.
LENGTH_MAX = 512

_TELEVISION = re.compile(r"smart-?tv|googletv|appletv|hbbtv|bravia|crkey|web0s|aft[a-z]{1,2} build")
_TABLET = re.compile(r"ipad|tablet|playbook|kindle|silk(?!.*mobile)|android(?!.*mobile)")
_MOBILE = re.compile(r"mobi|iphone|ipod|windows phone|opera mini")
# In order: Android says Linux too, iOS says Mac OS X, a Windows phone says all of them.
_SYSTEMS: tuple[tuple[System, re.Pattern[str]], ...] = (
    ("other", re.compile(r"windows phone|tizen|web0s|kaios")),
    ("ios", re.compile(r"iphone|ipad|ipod")),
    ("android", re.compile(r"android")),
    ("windows", re.compile(r"windows")),
    ("macos", re.compile(r"macintosh|mac os x")),
    ("linux", re.compile(r"linux|x11|cros")),
)
# In order: nearly all claim to be Safari, and those on Chromium to be Chrome as well.
_BROWSERS: tuple[tuple[Browser, re.Pattern[str]], ...] = (
    ("edge", re.compile(r"\bedg(?:e|a|ios)?/")),
    ("opera", re.compile(r"\b(?:opr|opera|opios|opt)\b")),
    ("samsung", re.compile(r"\bsamsungbrowser/")),
    ("firefox", re.compile(r"\b(?:firefox|fxios)/")),
    ("chrome", re.compile(r"\b(?:chrome|crios|chromium)/")),
    ("safari", re.compile(r"\bversion/[0-9.]+.*\bsafari/")),
)


class Agent(NamedTuple):
    """What a user agent says of itself."""

    device: Device
    system: System
    browser: Browser


UNKNOWN = Agent("other", "other", "other")


def parse(user_agent: str) -> Agent:
    """The agent's words; remembered for the most recent few thousand user agents."""
    return _parse(user_agent[:LENGTH_MAX].lower())


@functools.lru_cache(maxsize=4096)
def _parse(text: str) -> Agent:
    system: System = next((name for name, found in _SYSTEMS if found.search(text)), "other")
    browser: Browser = next((name for name, found in _BROWSERS if found.search(text)), "other")
    return Agent(_device(text, system), system, browser)


def _device(text: str, system: System) -> Device:
    if _TELEVISION.search(text):
        return "other"
    if _TABLET.search(text):
        return "tablet"
    if _MOBILE.search(text):
        return "mobile"
    return "desktop" if system in {"windows", "macos", "linux"} else "other"
