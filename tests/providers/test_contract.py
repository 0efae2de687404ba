"""What holds for every provider to sign in with, against servers that speak its protocol."""

from __future__ import annotations

import msgspec
import pytest
from yarl import URL

from core.errors import ProviderRefused, ProviderUnavailable
from core.providers.social import builtin, flow
from core.providers.social.flow import Ask, Profile
from tests.providers.conftest import CALLBACK, KINDS, NONCE, STATE, VERIFIER, Setup
from tests.providers.server import Fault

BAD_ANSWERS = {
    "500": Fault(500),
    "503": Fault(503),
    "429": Fault(429, b'{"error":{"code":4,"message":"limit"}}'),
    "not JSON": Fault(200, b"<html>"),
    "not UTF-8": Fault(200, b'{"id": "\xff"}'),
    "nested": Fault(200, b"[" * 100_000),
    "another JSON": Fault(200, b'{"ok": true}'),
    "empty": Fault(200, b""),
    "cut off": Fault(200, b'{"access_token": "abc', is_cut=True),
    "too long": Fault(200, b" " * (2 << 20)),
    "silence": Fault(is_hanging=True),
    "a redirect": Fault(302),
}


def test_the_table_is_what_is_tested() -> None:
    assert list(KINDS) == list(builtin.TABLE)


def test_the_browser_is_sent_with_state_and_an_s256_challenge(setup: Setup) -> None:
    ask = Ask(CALLBACK, STATE, NONCE, flow.challenge(VERIFIER))
    query = dict(URL(setup.ours.authorize_url(ask), encoded=True).query)
    assert query["response_type"] == "code"
    assert query["client_id"] == setup.theirs.config()["client_id"]
    assert query["redirect_uri"] == CALLBACK
    assert query["state"] == STATE
    assert query["code_challenge"] == flow.challenge(VERIFIER)
    assert query["code_challenge_method"] == "S256"
    assert VERIFIER not in str(query)
    assert "secret" not in str(query).lower()


async def test_a_person_is_proven(setup: Setup) -> None:
    proven = await setup.sign_in()
    person = setup.theirs.person
    assert proven.profile.subject == person.id
    assert proven.profile.mail == person.mail
    assert proven.profile.name == person.name
    assert proven.tokens.access_token in setup.theirs.access_tokens
    assert proven.tokens.refresh_token is not None
    assert proven.tokens.expires_in_s >= 3600


async def test_only_google_says_that_a_mail_address_is_verified(setup: Setup) -> None:
    assert (await setup.sign_in()).profile.is_mail_verified == (setup.ours.slug == "google")


async def test_a_person_may_have_no_mail_and_no_name(setup: Setup) -> None:
    setup.theirs.person.mail = setup.theirs.person.name = None
    assert (await setup.sign_in()).profile == Profile(subject=setup.theirs.person.id)


async def test_a_code_is_good_once(setup: Setup) -> None:
    code = await setup.code()
    await setup.prove(code)
    with pytest.raises(ProviderRefused):
        await setup.prove(code)


async def test_a_code_that_nobody_gave_is_refused(setup: Setup) -> None:
    with pytest.raises(ProviderRefused):
        await setup.prove("4/0Anobody")


async def test_a_code_is_refused_with_another_verifier(setup: Setup) -> None:
    with pytest.raises(ProviderRefused):
        await setup.prove(await setup.code(), verifier=flow.secret(b"w" * 32))


async def test_a_code_is_refused_at_another_address(setup: Setup) -> None:
    with pytest.raises(ProviderRefused):
        await setup.prove(await setup.code(), redirect_uri=f"{CALLBACK}/other")


async def test_a_code_that_is_too_old_is_refused(setup: Setup) -> None:
    code = await setup.code()
    setup.theirs.codes[code].expires -= 3600
    with pytest.raises(ProviderRefused):
        await setup.prove(code)


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_bad_answer_to_a_code_is_no_refusal(setup: Setup, bad: str) -> None:
    code = await setup.code()
    setup.theirs.faults[setup.theirs.token_path] = [BAD_ANSWERS[bad]]
    with pytest.raises(ProviderUnavailable):
        await setup.prove(code)


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_bad_answer_about_the_person_is_no_refusal(setup: Setup, bad: str) -> None:
    code = await setup.code()
    path = setup.theirs.routes()[2].path
    setup.theirs.faults[path] = [BAD_ANSWERS[bad]]
    with pytest.raises(ProviderUnavailable):
        await setup.prove(code)
    assert setup.theirs.asked[-1] == path


async def test_a_server_that_is_away_is_no_refusal(setup: Setup) -> None:
    config = {**setup.theirs.config(), "exchange_url": "http://127.0.0.1:1/token"}
    away = setup._replace(ours=builtin.make({setup.ours.slug: config})[setup.ours.slug])
    with pytest.raises(ProviderUnavailable):
        await away.prove(await setup.code())


async def test_a_wrong_secret_is_our_fault_and_no_refusal(setup: Setup) -> None:
    config = {**setup.theirs.config(), "client_secret": "another"}
    wrong = setup._replace(ours=builtin.make({setup.ours.slug: config})[setup.ours.slug])
    with pytest.raises(ProviderUnavailable):
        await wrong.sign_in()


async def test_tokens_are_refreshed(setup: Setup) -> None:
    kept = (await setup.sign_in()).tokens.refresh_token
    assert kept is not None
    tokens = await setup.ours.refresh(setup.send, kept)
    assert tokens.access_token in setup.theirs.access_tokens
    assert tokens.refresh_token != kept
    again = await setup.ours.refresh(setup.send, tokens.refresh_token or kept)
    assert again.access_token != tokens.access_token


async def test_a_token_that_is_good_no_more_is_refused(setup: Setup) -> None:
    with pytest.raises(ProviderRefused):
        await setup.ours.refresh(setup.send, "revoked")


@pytest.mark.parametrize("bad", BAD_ANSWERS)
async def test_a_bad_answer_to_a_refresh_is_no_refusal(setup: Setup, bad: str) -> None:
    kept = (await setup.sign_in()).tokens.refresh_token
    assert kept is not None
    setup.theirs.faults[setup.theirs.token_path] = [BAD_ANSWERS[bad]]
    with pytest.raises(ProviderUnavailable):
        await setup.ours.refresh(setup.send, kept)


async def test_secrets_do_not_show(setup: Setup) -> None:
    tokens = (await setup.sign_in()).tokens
    assert tokens.access_token not in repr(tokens)
    kind = builtin.TABLE[setup.ours.slug]
    config = {**setup.theirs.config(), "client_secret": "do-not-show"}
    assert "do-not-show" not in repr(msgspec.convert(config, kind.config))
