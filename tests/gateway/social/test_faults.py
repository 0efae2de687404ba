"""What a browser gets that comes back from a provider, whatever is wrong: what the page says."""

from __future__ import annotations

import aiohttp
import pytest

from core.providers.social import flow
from core.settings import Settings
from tests.gateway import faults, wires
from tests.gateway.conftest import running
from tests.gateway.social.browsers import Attempt, Browser, Went
from tests.gateway.social.conftest import KINDS, Begin
from tests.gateway.social.test_callback import with_values

SAID = faults.ANSWERS["social"]


def told(attempt: Attempt, went: Went) -> str:
    """The answer as the page writes it: after 302 with what the app is told."""
    if went.status != 302:
        return f"{went.status} `{went.code}`"
    values = attempt.told(went)
    return f"302 `{values.get('error') or next(iter(values))}`"


@pytest.mark.parametrize("provider", KINDS)
async def test_each_fault_has_one_answer(begin: Begin, browser: Browser, provider: str) -> None:
    attempt = begin(provider)
    good = await attempt.to_callback()
    forged = with_values(good, state=flow.secret(b"x" * 32))
    assert told(attempt, await browser.go(forged)) == SAID.forged
    cut_off = good.partition("state=")[0] + "state="
    assert told(attempt, await browser.go(cut_off)) == SAID.cut_off
    assert told(attempt, await browser.go(good)) == "302 `code`"
    assert told(attempt, await browser.go(good)) == SAID.again
    unknown = with_values(await attempt.to_callback(), code=None, error="teleported")
    assert told(attempt, await browser.go(unknown)) == SAID.unknown_word


async def test_a_browser_can_come_back_while_postgresql_is_away(
    begin: Begin, settings: Settings, session: aiohttp.ClientSession, program: str
) -> None:
    async with wires.wired(settings) as (wire, led), running(led) as (_, url):
        browser = Browser(session, url)
        for provider in KINDS:
            attempt = begin(provider, browser=browser)
            back = await attempt.to_callback()
            wire.cut()
            assert told(attempt, await browser.go(back)) == SAID.away
            wire.is_cut = False
