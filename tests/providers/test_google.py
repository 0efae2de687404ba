"""Google's ID tokens: what is signed by whom, for whom, when, and for which sign-in."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from typing import Any

import jwt
import pytest
from yarl import URL

from core.errors import ProviderRefused, ProviderUnavailable
from core.providers.social import builtin, flow
from core.providers.social.flow import Ask
from tests.providers import google
from tests.providers.conftest import CALLBACK, NONCE, STATE, Setup
from tests.providers.google import Google
from tests.providers.server import CLIENT_ID

pytestmark = pytest.mark.parametrize("setup", ["google"], indirect=True)

HOUR_S = 3600


def theirs(setup: Setup) -> Google:
    assert isinstance(setup.theirs, Google)
    return setup.theirs


def now_s() -> int:
    return int(time.time())


async def refused(setup: Setup) -> None:
    with pytest.raises(ProviderRefused):
        await setup.sign_in()


def test_the_browser_brings_a_nonce_and_asks_for_offline_access(setup: Setup) -> None:
    query = URL(setup.ours.authorize_url(Ask(CALLBACK, STATE, NONCE, "c")), encoded=True).query
    assert query["nonce"] == NONCE
    assert (query["access_type"], query["prompt"]) == ("offline", "consent")
    assert query["scope"] == "openid email profile"


async def test_without_offline_access_there_is_no_refresh_token(setup: Setup) -> None:
    config = {**setup.theirs.config(), "offline": False}
    online = setup._replace(ours=builtin.make({"google": config})["google"])
    assert (await online.sign_in()).tokens.refresh_token is None


@pytest.mark.parametrize(
    "claims",
    [
        {"nonce": flow.secret(b"x" * 32)},
        {"nonce": None},
        {"nonce": ""},
        {"aud": "another-client"},
        {"aud": [CLIENT_ID, "another-client"]},
        {"aud": []},
        {"azp": "another-client"},
        {"iss": "https://accounts.example.test"},
        {"iss": "https://accounts.google.com.example.test"},
        {"iss": None},
        {"sub": None},
        {"aud": None},
        {"exp": None},
        {"iat": None},
        {"exp": "later"},
    ],
    ids=str,
)
async def test_a_token_with_a_wrong_claim_is_refused(setup: Setup, claims: dict[str, Any]) -> None:
    theirs(setup).claims = claims
    await refused(setup)


@pytest.mark.parametrize(
    ("made_s", "expires_s"),
    [
        (-2 * HOUR_S, -HOUR_S),
        (-300, -61),
        (HOUR_S, 2 * HOUR_S),
        (61, HOUR_S),
        (-2 * HOUR_S, HOUR_S),
    ],
)
async def test_a_token_of_another_time_is_refused(
    setup: Setup, made_s: int, expires_s: int
) -> None:
    theirs(setup).claims = {"iat": now_s() + made_s, "exp": now_s() + expires_s}
    await refused(setup)


@pytest.mark.parametrize(("made_s", "expires_s"), [(30, HOUR_S), (-300, -30)])
async def test_clocks_may_differ_a_little(setup: Setup, made_s: int, expires_s: int) -> None:
    theirs(setup).claims = {"iat": now_s() + made_s, "exp": now_s() + expires_s}
    await setup.sign_in()


@pytest.mark.parametrize("claims", [{"iss": "accounts.google.com"}, {"aud": [CLIENT_ID]}], ids=str)
async def test_the_older_spellings_are_good(setup: Setup, claims: dict[str, Any]) -> None:
    theirs(setup).claims = claims
    await setup.sign_in()


@pytest.mark.parametrize(
    ("said", "is_verified"), [(True, True), ("true", True), (False, False), ("false", False)]
)
async def test_a_mail_address_is_as_verified_as_google_says(
    setup: Setup, said: object, *, is_verified: bool
) -> None:
    theirs(setup).claims = {"email_verified": said}
    assert (await setup.sign_in()).profile.is_mail_verified is is_verified


async def test_an_unsaid_verification_is_none(setup: Setup) -> None:
    theirs(setup).claims = {"email_verified": None}
    assert not (await setup.sign_in()).profile.is_mail_verified


async def test_a_token_of_another_key_with_a_known_name_is_refused(setup: Setup) -> None:
    theirs(setup).signs_with = ("kid-0", google.key(1))
    await refused(setup)


async def test_a_token_of_an_unknown_key_is_refused(setup: Setup) -> None:
    theirs(setup).signs_with = ("kid-9", google.key(1))
    await refused(setup)


def forged(header: dict[str, Any], claims: dict[str, Any], secret: bytes = b"") -> str:
    """A token with any header; signed with HMAC if there is a secret."""
    parts = [
        base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=")
        for part in (header, claims)
    ]
    signature = hmac.new(secret, b".".join(parts), hashlib.sha256).digest() if secret else b""
    return b".".join([*parts, base64.urlsafe_b64encode(signature).rstrip(b"=")]).decode()


@pytest.mark.parametrize("algorithm", ["none", "None", "NONE", "", "HS256", "RS512", "PS256"])
async def test_a_token_that_chooses_its_own_algorithm_is_refused(
    setup: Setup, algorithm: str
) -> None:
    theirs(setup).forge = lambda claims: forged({"alg": algorithm, "kid": "kid-0"}, claims)
    await refused(setup)


async def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(setup: Setup) -> None:
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    pem = google.key(0).public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    for algorithm in ("HS256", "RS256"):
        header = {"alg": algorithm, "kid": "kid-0"}
        theirs(setup).forge = lambda claims, header=header: forged(header, claims, pem)
        await refused(setup)


@pytest.mark.parametrize(
    "header",
    [
        {"jku": "https://keys.example.test/jwks"},
        {"jwk": google.jwk("kid-0", google.key(1))},
        {"x5u": "https://keys.example.test/chain"},
        {"crit": ["exp"]},
        {"typ": "at+jwt"},
        {"kid": None},
        {"kid": "../../kid-0"},
    ],
    # Not what they are: the key of each run is another one.
    ids="".join,
)
async def test_a_header_that_names_a_key_or_a_rule_is_refused(
    setup: Setup, header: dict[str, Any]
) -> None:
    def forge(claims: dict[str, Any]) -> str:
        full = {"alg": "RS256", "kid": "kid-0", "typ": "JWT", **header}
        body = forged({name: value for name, value in full.items() if value is not None}, claims)
        message = body.rpartition(".")[0]
        signature = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(
            message.encode(), google.key(0)
        )
        return f"{message}.{base64.urlsafe_b64encode(signature).rstrip(b'=').decode()}"

    theirs(setup).forge = forge
    await refused(setup)


@pytest.mark.parametrize("token", ["a", "a.b", "a.b.c", "..", "é.é.é", "a" * 16_000])
async def test_what_is_no_token_is_refused(setup: Setup, token: str) -> None:
    theirs(setup).forge = lambda _: token
    await refused(setup)


async def test_an_answer_without_an_id_token_is_no_refusal(setup: Setup) -> None:
    theirs(setup).forge = lambda _: ""
    with pytest.raises(ProviderUnavailable):
        await setup.sign_in()


async def test_published_keys_are_read_once_while_they_are_fresh(setup: Setup) -> None:
    for _ in range(3):
        await setup.sign_in()
    assert setup.theirs.asked.count(Google.keys_path) == 1


async def test_published_keys_are_read_again_when_they_are_old(setup: Setup) -> None:
    await setup.sign_in()
    code = await setup.code()
    later_s = now_s() + 19_845
    theirs(setup).claims = {"iat": later_s, "exp": later_s + HOUR_S}
    await setup.prove(code, now_s=later_s)
    assert setup.theirs.asked.count(Google.keys_path) == 2


async def test_a_new_key_is_looked_for_but_not_all_the_time(setup: Setup) -> None:
    await setup.sign_in()
    rotated = theirs(setup)
    rotated.keys["kid-1"] = google.key(1)
    rotated.signs_with = ("kid-1", google.key(1))
    await refused(setup)
    assert rotated.asked.count(Google.keys_path) == 1
    later_s = now_s() + 31
    await setup.prove(await setup.code(), now_s=later_s)
    assert rotated.asked.count(Google.keys_path) == 2


async def test_a_key_that_is_published_no_more_is_good_no_more(setup: Setup) -> None:
    await setup.sign_in()
    theirs(setup).keys = {"kid-1": google.key(1)}
    later_s = now_s() + 19_845
    theirs(setup).claims = {"iat": later_s, "exp": later_s + HOUR_S}
    with pytest.raises(ProviderRefused):
        await setup.prove(await setup.code(), now_s=later_s)


@pytest.mark.parametrize(
    "changes",
    [{"kty": "EC"}, {"use": "enc"}, {"alg": "RS512"}, {"n": "AQAB"}, {"n": "?"}, {"kid": ""}],
    ids=str,
)
async def test_a_published_key_of_another_kind_proves_nothing(
    setup: Setup, changes: dict[str, str]
) -> None:
    theirs(setup).published = {"keys": [{**google.jwk("kid-0", google.key(0)), **changes}]}
    await refused(setup)
