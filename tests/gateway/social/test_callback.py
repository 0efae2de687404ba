"""What comes back with the browser is tampered with, and providers fail."""

from __future__ import annotations

import logging

import pytest
from redis.asyncio import Redis
from yarl import URL

from core.providers.social import flow
from gateway.app import App
from tests.gateway.conftest import Db
from tests.gateway.social.browsers import Browser
from tests.gateway.social.conftest import (
    KINDS,
    Begin,
)
from tests.providers import google as google_
from tests.providers import server
from tests.providers.google import Google
from tests.providers.server import Fault, Server

CUT_OFF = Fault(200, b'{"access_token": "abc', is_cut=True)


def with_values(url: str, **changes: str | None) -> str:
    """The address with other query parameters; None takes one out."""
    parsed = URL(url, encoded=True)
    values = {**parsed.query, **changes}
    kept = {name: value for name, value in values.items() if value is not None}
    return flow.with_query(str(parsed.with_query(None)), kept)


async def test_a_state_that_was_not_begun_is_refused(
    begin: Begin, browser: Browser, google: Google
) -> None:
    url = await begin().to_callback()
    for state in (flow.secret(b"x" * 32), "x", "x" * 128):
        went = await browser.go(with_values(url, state=state))
        assert (went.status, went.code, went.location) == (400, "sign_in_state_invalid", "")
    assert google.token_path not in google.asked


async def test_a_state_that_can_be_none_is_refused(begin: Begin, browser: Browser) -> None:
    url = await begin().to_callback()
    for state in (None, "", "é", "x" * 129):
        went = await browser.go(with_values(url, state=state))
        assert (went.status, went.code, went.location) == (422, "invalid_request", "")


async def test_a_state_is_good_once(begin: Begin, browser: Browser) -> None:
    url = await begin().to_callback()
    assert (await browser.go(url)).status == 302
    again = await browser.go(url)
    assert (again.status, again.code) == (400, "sign_in_state_invalid")


async def test_a_provider_that_was_taken_away_meanwhile_is_told_to_the_app(
    begin: Begin, browser: Browser, gateway: tuple[App, str]
) -> None:
    url = await begin().to_callback()
    del gateway[0].providers["google"]
    went = await browser.go(url)
    assert went.status == 302
    assert URL(went.location).query["error"] == "provider_not_found"


async def test_a_state_is_forgotten_in_time(begin: Begin, browser: Browser, redis: Redis) -> None:
    url = await begin().to_callback()
    (key,) = await redis.keys("*:state")
    assert 590 <= await redis.ttl(key) <= 600
    await redis.pexpire(key, 0)
    assert (await browser.go(url)).code == "sign_in_state_invalid"


async def test_a_state_of_another_browser_is_refused_and_used_up(
    begin: Begin, browser: Browser, google: Google
) -> None:
    for cookie in (None, "", "x", flow.secret(b"x" * 32)):
        url = await begin().to_callback()
        other = Browser(browser.session, browser.gateway)
        if cookie is not None:
            other.cookies = dict.fromkeys(browser.cookies, cookie)
        for asking in (other, browser):
            went = await asking.go(url)
            assert (went.status, went.code, went.location) == (400, "sign_in_state_invalid", "")
    assert google.token_path not in google.asked


async def test_a_state_of_another_provider_is_refused(begin: Begin, browser: Browser) -> None:
    url = await begin().to_callback()
    went = await browser.go(url.replace("/google/", "/spotify/"))
    assert (went.status, went.code) == (400, "sign_in_state_invalid")


async def test_a_person_may_decline(begin: Begin, browser: Browser, google: Google) -> None:
    google.is_declined = True
    attempt = begin()
    url = await attempt.to_callback()
    assert attempt.told(await browser.go(url)) == {"error": "sign_in_declined"}
    assert (await browser.go(url)).code == "sign_in_state_invalid"


async def test_an_error_of_the_provider_is_told_in_our_words(
    begin: Begin, browser: Browser, google: Google
) -> None:
    attempt = begin()
    for error, told in (
        ("access_denied", "sign_in_declined"),
        ("server_error", "provider_unavailable"),
        ("invalid_scope", "provider_unavailable"),
        ("<script>", "provider_unavailable"),
    ):
        url = with_values(await attempt.to_callback(), code=None, error=error)
        assert attempt.told(await browser.go(url)) == {"error": told}
    assert google.token_path not in google.asked


@pytest.mark.parametrize("provider", KINDS)
async def test_a_provider_that_fails_is_told_to_the_app(
    begin: Begin, theirs: dict[str, Server], provider: str
) -> None:
    failing = theirs[provider]
    for fault in (Fault(500), CUT_OFF, Fault(200, b"<html>")):
        failing.faults[failing.token_path] = [fault]
        assert await begin(provider).to_app() == {"error": "provider_unavailable"}


async def test_a_provider_that_is_silent_is_not_waited_for(
    begin: Begin, google: Google, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flow, "TIMEOUT_S", 0.3)
    google.faults[google.token_path] = [Fault(is_hanging=True)]
    assert await begin().to_app() == {"error": "provider_unavailable"}


async def test_an_id_token_that_is_not_for_this_sign_in_is_refused(
    begin: Begin, google: Google, db: Db
) -> None:
    for name, value in {"nonce": "x", "aud": "x", "iss": "https://evil.test", "exp": 1}.items():
        google.claims = {name: value}
        assert await begin().to_app() == {"error": "provider_refused"}
    assert await db.fetchval("SELECT count(*) FROM member") == 0


async def test_an_id_token_of_another_sign_in_is_refused(begin: Begin, google: Google) -> None:
    """Same person, same client: only the nonce differs."""
    stolen: list[str] = []
    google.forge = lambda claims: _kept(stolen, google_.signed(claims))
    await begin().to_app()
    google.forge = lambda _: stolen[0]
    assert await begin().to_app() == {"error": "provider_refused"}


def _kept(where: list[str], text: str) -> str:
    where.append(text)
    return text


@pytest.mark.parametrize("provider", KINDS)
async def test_a_code_of_another_sign_in_does_not_fit_the_verifier(
    begin: Begin, browser: Browser, provider: str
) -> None:
    """An attacker's code in the victim's callback: the victim would sign in as the attacker."""
    attacker = begin(provider, browser=Browser(browser.session, browser.gateway))
    victim = begin(provider)
    code = URL(await attacker.to_callback(), encoded=True).query["code"]
    url = with_values(await victim.to_callback(), code=code)
    assert victim.told(await browser.go(url)) == {"error": "provider_refused"}


async def test_a_code_that_the_provider_did_not_give_is_refused(
    begin: Begin, browser: Browser
) -> None:
    attempt = begin()
    for code in (None, "", "4/0Anothing"):
        url = with_values(await attempt.to_callback(), code=code)
        assert attempt.told(await browser.go(url)) == {"error": "provider_refused"}


async def test_the_logs_tell_nothing_of_a_person_and_no_secret(
    begin: Begin, google: Google, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG):
        attempt = begin()
        callback = await attempt.to_callback()
        code = attempt.told(await attempt.browser.go(callback))["code"]
        answer = await attempt.redeem(code)
        google.faults[google.token_path] = [Fault(500, b"asha@example.test")]
        await begin().to_app()
    planted = [
        *("asha@example.test", "Asha", google.person.id, server.CLIENT_SECRET),
        *(code, attempt.verifier, answer.body["access_token"], answer.body["refresh_token"]),
        *URL(callback, encoded=True).query.values(),
        *attempt.browser.cookies.values(),
        *google.access_tokens,
        *google.refresh_tokens,
    ]
    assert not [text for text in planted if len(text) > 3 and text in caplog.text]
