"""The page on providers has all who call, and all who are called."""

from __future__ import annotations

import re

from core.providers.affiliate import table as networks
from core.providers.notifications import builtin as notifications
from core.providers.payouts import builtin as payouts
from core.providers.social import builtin as social
from gateway import aliases, routes
from tests.gateway import faults

PATH = re.compile(r"`(/(?:webhooks|postback|v1)/[^`\s]+)`")
CALLED = re.compile(r"^\| (?:messages|payouts|networks|sign-in): (.+?) \|", re.MULTILINE)


def test_all_who_call_are_on_the_page() -> None:
    other_names = {path for _, path, _ in aliases.PATHS}
    called = {
        route.path
        for route in routes.ROUTES
        if route.path.startswith(("/webhooks/", "/postback/")) or route.path.endswith("/callback")
    } - other_names
    assert set(PATH.findall(faults.PAGE)) == called


def test_all_who_are_called_are_on_the_page() -> None:
    named = re.findall(r"`([\w-]+)`", " ".join(CALLED.findall(faults.PAGE)))
    tables = (notifications.TABLE, payouts.TABLE, networks.TABLE, social.TABLE)
    assert named == [slug for one in tables for slug in one if slug != "generic"]
