import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)
from hypothesis import given
from hypothesis import strategies as st

from core import keyring
from core.errors import BadKeyRing

NOW_MS = 1_700_000_000_000
ENTROPY = bytes(range(keyring.RING_ENTROPY_BYTES))
RING = keyring.generate(NOW_MS, ENTROPY)
TOKEN = f"token-{NOW_MS}"

KINDS: list[keyring.Kind] = ["click", "token", "field"]


def pem_pair(private: rsa.RSAPrivateKey | ec.EllipticCurvePrivateKey) -> tuple[str, str]:
    public = private.public_key()
    return (
        public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode(),
        private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()).decode(),
    )


def with_token_key(**changes: str) -> bytes:
    content = json.loads(keyring.dump(RING))
    content["token"][TOKEN] |= changes
    return json.dumps(content).encode()


@given(st.integers(0, 1 << 48), st.binary(min_size=96, max_size=96))
def test_a_ring_survives_its_file(now_ms: int, entropy: bytes) -> None:
    ring = keyring.generate(now_ms, entropy)
    assert keyring.parse(keyring.dump(ring)) == ring


def test_a_ring_is_made_of_its_entropy_only() -> None:
    assert keyring.generate(NOW_MS, ENTROPY) == RING
    assert RING.click[RING.active_click] == ENTROPY[:32]
    with pytest.raises(ValueError):
        keyring.generate(NOW_MS, ENTROPY[:-1])


@pytest.mark.parametrize("kind", KINDS)
def test_rotating_keeps_the_old_key_until_it_is_retired(kind: keyring.Kind) -> None:
    rotated = keyring.rotate(RING, kind, NOW_MS + 1, b"r" * 32)
    (old,) = getattr(RING, kind)
    active = getattr(rotated, f"active_{kind}")
    assert set(getattr(rotated, kind)) == {old, active}
    assert active != old
    assert keyring.parse(keyring.dump(rotated)) == rotated
    retired = keyring.retire(rotated, kind, str(old))
    assert set(getattr(retired, kind)) == {active}


@pytest.mark.parametrize("kind", KINDS)
def test_the_active_key_and_unknown_keys_cannot_be_retired(kind: keyring.Kind) -> None:
    with pytest.raises(BadKeyRing, match="is active"):
        keyring.retire(RING, kind, str(getattr(RING, f"active_{kind}")))
    with pytest.raises(BadKeyRing, match="there is no"):
        keyring.retire(RING, kind, "none")


def test_click_keys_are_sixteen_at_most() -> None:
    ring = RING
    for number in range(15):
        ring = keyring.rotate(ring, "click", NOW_MS, bytes([number]) * 32)
    assert sorted(ring.click) == list(range(16))
    with pytest.raises(BadKeyRing, match="retire one first"):
        keyring.rotate(ring, "click", NOW_MS, b"x" * 32)
    reused = keyring.rotate(keyring.retire(ring, "click", "4"), "click", NOW_MS, b"x" * 32)
    assert reused.active_click == 4


def test_a_name_is_not_given_twice() -> None:
    with pytest.raises(BadKeyRing, match=TOKEN):
        keyring.rotate(RING, "token", NOW_MS, b"x" * 32)


def test_keys_are_not_shown() -> None:
    shown = f"{RING!r} {RING.token[TOKEN]!r}"
    assert "PRIVATE" not in shown
    assert repr(ENTROPY[:32]) not in shown
    assert TOKEN in shown


def test_rsa_keys_are_accepted_with_or_without_their_private_half() -> None:
    public_pem, private_pem = pem_pair(rsa.generate_private_key(65537, 2048))
    parsed = keyring.parse(
        with_token_key(alg="RS256", public_pem=public_pem, private_pem=private_pem)
    )
    assert isinstance(keyring.private_key(parsed.token[TOKEN]), rsa.RSAPrivateKey)
    content = json.loads(keyring.dump(RING))
    content["token"]["elsewhere"] = {"alg": "RS256", "public_pem": public_pem}
    assert set(keyring.parse(json.dumps(content).encode()).token) == {TOKEN, "elsewhere"}


def test_keys_that_do_not_fit_their_algorithm_are_refused() -> None:
    small_public, small_private = pem_pair(rsa.generate_private_key(65537, 1024))
    curve_public, curve_private = pem_pair(ec.generate_private_key(ec.SECP256R1()))
    for changes in (
        {"alg": "RS256"},
        {"alg": "RS256", "public_pem": small_public, "private_pem": small_private},
        {"alg": "EdDSA", "public_pem": curve_public, "private_pem": curve_private},
    ):
        with pytest.raises(BadKeyRing, match=f"^token key {TOKEN}: .*not a key for"):
            keyring.parse(with_token_key(**changes))


def test_halves_of_two_keys_are_refused() -> None:
    other = keyring.generate(NOW_MS, ENTROPY[::-1]).token[TOKEN]
    with pytest.raises(BadKeyRing, match="do not belong together"):
        keyring.parse(with_token_key(private_pem=other.private_pem))


Change = Callable[[dict[str, Any]], object]


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda ring: ring.update(version=2), "version"),
        (lambda ring: ring.pop("field"), "field"),
        (lambda ring: ring.update(surprise=1), "surprise"),
        (lambda ring: ring.update(active_click=3), "active click key 3"),
        (lambda ring: ring["click"].update({"16": ring["click"]["0"]}), "<= 15"),
        (lambda ring: ring["click"].update({"0": "c2hvcnQ="}), "length >= 32"),
        (lambda ring: ring["click"].update({"0": "!"}), "base64"),
        (lambda ring: ring["token"].update({"a b": ring["token"][TOKEN]}), "regex"),
        (lambda ring: ring["token"][TOKEN].update(alg="HS256"), "HS256"),
        (lambda ring: ring["token"][TOKEN].update(public_pem="?"), "public half is not PEM"),
        (lambda ring: ring["token"][TOKEN].update(private_pem="?"), "private half is not"),
        (lambda ring: ring["token"][TOKEN].update(private_pem=""), "has no private half"),
    ],
)
def test_a_broken_file_is_refused_by_name(change: Change, problem: str) -> None:
    content = json.loads(keyring.dump(RING))
    change(content)
    with pytest.raises(BadKeyRing) as caught:
        keyring.parse(json.dumps(content).encode())
    assert problem in str(caught.value)
    assert "PRIVATE" not in str(caught.value)


@given(st.binary(max_size=64))
def test_noise_is_refused(content: bytes) -> None:
    with pytest.raises(BadKeyRing):
        keyring.parse(content)
