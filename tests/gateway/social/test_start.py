"""Where a sign-in may begin, and where it may end."""

from __future__ import annotations

from typing import Any

import msgspec

from tests.gateway.conftest import Client, Enter
from tests.gateway.social.browsers import APP, PUBLIC, Browser
from tests.gateway.social.conftest import (
    KINDS,
    Begin,
)

BAD_STARTS: list[tuple[dict[str, str | None], int, str]] = [
    ({"program": "prg_nothing"}, 404, "program_not_found"),
    ({"program": "prg_01h455vb4pex5vsknk084sn02r"}, 404, "program_not_found"),
    ({"program": None}, 422, "invalid_request"),
    ({"redirect_uri": None}, 422, "invalid_request"),
    ({"redirect_uri": "https://evil.example.test/"}, 422, "redirect_not_allowed"),
    ({"redirect_uri": APP + "&more=1"}, 422, "redirect_not_allowed"),
    ({"redirect_uri": APP.partition("?")[0]}, 422, "redirect_not_allowed"),
    ({"redirect_uri": APP.replace("https", "http")}, 422, "invalid_request"),
    ({"redirect_uri": APP.replace("test/", "test@evil.test/")}, 422, "invalid_request"),
    ({"redirect_uri": APP.replace("test/", "test.evil.test/")}, 422, "redirect_not_allowed"),
    ({"redirect_uri": "//evil.example.test/"}, 422, "invalid_request"),
    ({"redirect_uri": "javascript:alert(1)"}, 422, "invalid_request"),
    ({"code_challenge": None}, 422, "invalid_request"),
    ({"code_challenge": "short"}, 422, "invalid_request"),
    ({"code_challenge_method": "plain"}, 422, "invalid_request"),
    ({"state": "x" * 513}, 422, "invalid_request"),
    ({"state": "a\r\nSet-Cookie: a=b"}, 422, "invalid_request"),
    ({"another": "x"}, 422, "invalid_request"),
]


async def test_the_providers_that_are_set_up_are_listed(begin: Begin, browser: Browser) -> None:
    went = await browser.go(f"{PUBLIC}/v1/auth/oauth")
    assert went.status == 200
    assert msgspec.json.decode(went.body) == {
        "data": [{"provider": name} for name in sorted(KINDS)]
    }


async def test_the_browser_leaves_with_a_cookie_that_others_cannot_use(
    begin: Begin, browser: Browser
) -> None:
    went = await browser.go(begin().start_url())
    assert went.cookie.startswith("__Host-stampgate-sign-in=")
    assert {part.strip() for part in went.cookie.split(";")[1:]} == {
        "HttpOnly",
        "Max-Age=600",
        "Path=/",
        "SameSite=Lax",
        "Secure",
    }
    assert went.headers["Cache-Control"] == "no-store"
    assert went.headers["Referrer-Policy"] == "no-referrer"


async def test_two_tabs_of_a_browser_sign_in_side_by_side(begin: Begin) -> None:
    one, two = begin(), begin("spotify")
    callbacks = [await one.to_callback(), await two.to_callback()]
    for attempt, url in zip((one, two), callbacks, strict=True):
        told = attempt.told(await attempt.browser.go(url))
        assert (await attempt.redeem(told["code"])).status in {200, 409}


async def test_a_bad_start_leads_nowhere(begin: Begin, browser: Browser) -> None:
    for changes, status, code in BAD_STARTS:
        went = await browser.go(begin().start_url(**changes))
        assert (went.status, went.code, went.location) == (status, code, ""), changes


async def test_where_another_program_may_send_is_not_ours(
    begin: Begin, browser: Browser, enter: Enter, staff: Client
) -> None:
    await enter()
    other = (await staff.get("/v1/programs")).body["data"][-1]["id"]
    went = await browser.go(begin(program_id=other).start_url())
    assert (went.status, went.code) == (422, "redirect_not_allowed")


async def test_a_provider_that_is_not_set_up_is_not_there(begin: Begin, browser: Browser) -> None:
    for provider in ("myspace", "Google", "google%2F..", "%00"):
        assert (await browser.go(begin(provider).start_url())).status == 404


async def test_a_program_lists_only_addresses_that_are_safe(staff: Client, program: str) -> None:
    settings = {"settings": {"sign_in_redirects": ["javascript:alert(1)"]}}
    refused = await staff.patch(f"/v1/programs/{program}", settings, Stampgate_Program=program)
    assert (refused.status, refused.code) == (422, "invalid_request")


async def test_without_redis_nothing_is_begun(begin: Begin, gateway: tuple[Any, str]) -> None:
    attempt = begin()
    await attempt.to_provider()
    await gateway[0].redis.close()
    went = await attempt.browser.go(attempt.start_url())
    assert (went.status, went.code) == (503, "unavailable")
