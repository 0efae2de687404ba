"""Codes of authenticator apps, against the vectors of RFC 6238, and recovery codes."""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Any

import pyotp
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import totp

SEED = b"12345678901234567890"
SECRET = base64.b32encode(SEED).decode()
NOW_S = 1_234_567_890
STEP = NOW_S // totp.STEP_S

# Appendix B of RFC 6238: seconds, and the codes of eight digits by SHA-1, SHA-256 and SHA-512.
VECTORS = [
    (59, "94287082", "46119246", "90693936"),
    (1_111_111_109, "07081804", "68084774", "25091201"),
    (1_111_111_111, "14050471", "67062674", "99943326"),
    (1_234_567_890, "89005924", "91819424", "93441116"),
    (2_000_000_000, "69279037", "90698825", "38618901"),
    (20_000_000_000, "65353130", "77737706", "47863826"),
]
DIGESTS: list[tuple[int, Any]] = [(20, hashlib.sha1), (32, hashlib.sha256), (64, hashlib.sha512)]


def code_at(step: int) -> str:
    return pyotp.TOTP(SECRET).generate_otp(step)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: str(vector[0]))
def test_the_vectors_of_the_rfc(vector: tuple[int, str, str, str]) -> None:
    now_s, *expected = vector
    for code, (length, digest) in zip(expected, DIGESTS, strict=True):
        secret = base64.b32encode((SEED * 4)[:length]).decode()
        assert pyotp.TOTP(secret, digits=8, digest=digest).at(now_s) == code
    # Six digits are the last six of eight.
    assert totp.accepted_step(SECRET, expected[0][2:], now_s, None) == now_s // totp.STEP_S


@pytest.mark.parametrize(("distance", "is_good"), [(-2, 0), (-1, 1), (0, 1), (1, 1), (2, 0)])
def test_a_step_and_its_neighbors_are_accepted(distance: int, is_good: int) -> None:
    found = totp.accepted_step(SECRET, code_at(STEP + distance), NOW_S, None)
    assert found == (STEP + distance if is_good else None)


def test_no_step_is_accepted_twice_nor_one_before_it() -> None:
    assert totp.accepted_step(SECRET, code_at(STEP), NOW_S, STEP - 1) == STEP
    assert totp.accepted_step(SECRET, code_at(STEP), NOW_S, STEP) is None
    assert totp.accepted_step(SECRET, code_at(STEP - 1), NOW_S, STEP) is None
    assert totp.accepted_step(SECRET, code_at(STEP + 1), NOW_S, STEP) == STEP + 1


@given(st.text(max_size=12))
def test_other_texts_are_wrong(text: str) -> None:
    good = {code_at(STEP + distance) for distance in (-1, 0, 1)}
    assert (totp.accepted_step(SECRET, text, NOW_S, None) is not None) == (text in good)


def test_the_first_step_of_all_has_one_neighbor() -> None:
    assert totp.accepted_step(SECRET, code_at(0), 0, None) == 0


def test_an_app_reads_the_secret_from_the_address() -> None:
    address = totp.uri(SECRET, account="Asha @ Tea", issuer="Tea & Co")
    read = pyotp.parse_uri(address)
    assert isinstance(read, pyotp.TOTP)
    assert (read.secret, read.name, read.issuer) == (SECRET, "Asha @ Tea", "Tea & Co")
    assert (read.digits, read.interval, read.digest) == (6, 30, hashlib.sha1)


def test_a_secret_has_twenty_bytes() -> None:
    assert totp.new_secret(SEED) == SECRET
    with pytest.raises(ValueError, match="20 bytes"):
        totp.new_secret(b"short")


def test_a_recovery_code_may_be_typed_in_any_way() -> None:
    code = totp.recovery_code(bytes(range(10)))
    assert re.fullmatch(r"[0-9a-z]{4}(-[0-9a-z]{4}){3}", code)
    stored = totp.recovery_digest("mem_1", code)
    for text in (code, code.upper(), code.replace("-", ""), f" {code.replace('-', ' ')} "):
        assert totp.recovery_digest("mem_1", text) == stored
    assert totp.recovery_digest("mem_2", code) != stored
    with pytest.raises(ValueError, match="10 bytes"):
        totp.recovery_code(b"short")
