"""PKCE, and what is made of a profile."""

from __future__ import annotations

import base64

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import ProviderUnavailable
from core.providers.social import flow
from core.providers.social.flow import Profile
from tests.core.test_vectors import VECTORS

# RFC 7636, appendix B.
OCTETS = bytes.fromhex("7418dfb49799e0254ffa607dd8adbbba16d4254d69d6bff05b5805585384 8d79")
VERIFIER, CHALLENGE = VECTORS["10 PKCE"].parts.values()


def test_the_vector_of_the_rfc() -> None:
    assert flow.secret(OCTETS) == VERIFIER
    assert flow.challenge(VERIFIER) == CHALLENGE
    assert flow.is_answered(VERIFIER, CHALLENGE)


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_challenge_is_answered_by_its_verifier_alone(one: bytes, other: bytes) -> None:
    verifier, asked = flow.secret(one), flow.challenge(flow.secret(other))
    assert flow.is_answered(verifier, asked) == (one == other)
    assert msgspec.convert(verifier, flow.Verifier) == verifier
    assert msgspec.convert(asked, flow.Challenge) == asked
    assert base64.urlsafe_b64decode(verifier + "=") == one


@pytest.mark.parametrize("length", [0, 31, 33])
def test_a_secret_has_256_bits(length: int) -> None:
    with pytest.raises(ValueError, match="32 bytes"):
        flow.secret(bytes(length))


@pytest.mark.parametrize("url", ["https://a.test/cb", "https://a.test/cb?tab=1"])
def test_parameters_come_after_those_that_are_there(url: str) -> None:
    joined = flow.with_query(url, {"code": "a/b c", "state": "é"})
    assert joined.startswith(url)
    assert joined[len(url) + 1 :] == "code=a%2Fb+c&state=%C3%A9"


@pytest.mark.parametrize(
    "url",
    [
        "http://accounts.example.test/token",
        "http://127.0.0.1.example.test/token",
        "ftp://127.0.0.1/token",
        "https:///token",
        "https://accounts.example.test",
        "https://accounts.example.test/token?x=1",
        "https://accounts.example.test/token\n",
    ],
)
def test_an_endpoint_is_https_or_on_this_machine(url: str) -> None:
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(url, flow.Endpoint)


@pytest.mark.parametrize("subject", ["", "a" * 256, "a\n", "a\x00"])
def test_a_profile_needs_a_subject(subject: str) -> None:
    with pytest.raises(ProviderUnavailable):
        flow.checked(Profile(subject=subject))


@pytest.mark.parametrize("mail", ["", "asha", "a@b@c", "a" * 250 + "@b.test", "a\n@b.test"])
def test_a_mail_address_that_cannot_be_one_is_left_out(mail: str) -> None:
    assert flow.checked(Profile(subject="1", mail=mail, is_mail_verified=True)) == Profile(
        subject="1"
    )


@pytest.mark.parametrize(
    ("name", "kept"), [("  Asha\x00\n ", "Asha"), ("\x1b", None), ("a" * 300, "a" * 200)]
)
def test_a_name_is_one_line(name: str, kept: str | None) -> None:
    assert flow.checked(Profile(subject="1", name=name)).name == kept
