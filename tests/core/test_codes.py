"""One-time codes: how they look, what is stored of them, when another one may be asked for."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import codes, keyring
from core.codes import Limit

RING = keyring.generate(1_700_000_000_000, bytes(range(keyring.RING_ENTROPY_BYTES)))
ROTATED = keyring.rotate(RING, "field", 1_800_000_000_000, bytes(keyring.KEY_BYTES))
NOW_MS = 1_800_000_000_000


@given(st.binary(min_size=codes.ENTROPY_BYTES, max_size=codes.ENTROPY_BYTES))
def test_a_code_is_six_digits(entropy: bytes) -> None:
    code = codes.new(entropy)
    assert len(code) == codes.DIGITS
    assert code.isdecimal()


def test_a_small_number_keeps_its_zeros() -> None:
    assert codes.new((42).to_bytes(codes.ENTROPY_BYTES)) == "000042"
    assert codes.new((10**6 + 7).to_bytes(codes.ENTROPY_BYTES)) == "000007"
    with pytest.raises(ValueError, match="16 bytes"):
        codes.new(b"short")


def test_what_is_stored_fits_its_code_alone_also_after_a_rotation() -> None:
    stored = codes.digest(RING, "otc_1", "123456")
    assert codes.is_right(RING, "otc_1", "123456", stored)
    assert codes.is_right(ROTATED, "otc_1", "123456", stored)
    assert not codes.is_right(RING, "otc_1", "123457", stored)
    assert not codes.is_right(RING, "otc_2", "123456", stored)
    assert not codes.is_right(RING, "otc_1", "123456", None)


def test_equal_codes_are_stored_differently_and_not_without_the_key() -> None:
    stored = codes.digest(RING, "otc_1", "123456")
    other = keyring.generate(1_700_000_000_000, bytes(keyring.RING_ENTROPY_BYTES))
    assert len({stored, codes.digest(RING, "otc_2", "123456")}) == 2
    assert codes.digest(other, "otc_1", "123456") != stored


def test_numbers_of_one_block_differ_in_their_last_four_digits() -> None:
    assert codes.block_of("+919876543210") == codes.block_of("+919876549999") == "+91987654"
    assert codes.block_of("+919876553210") != codes.block_of("+919876543210")


def test_the_longest_wait_counts() -> None:
    long, short = Limit(5, 3_600), Limit(1, 30)
    assert codes.wait_s(NOW_MS, []) == 0
    assert codes.wait_s(NOW_MS, [(long, None), (short, None)]) == 0
    assert codes.wait_s(NOW_MS, [(long, None), (short, NOW_MS - 29_001)]) == 1
    assert codes.wait_s(NOW_MS, [(long, None), (short, NOW_MS - 30_000)]) == 0
    assert codes.wait_s(NOW_MS, [(long, NOW_MS - 1_000), (short, NOW_MS)]) == 3_599


@given(st.lists(st.integers(0, 7_200), min_size=30, max_size=60))
def test_who_waits_as_told_stays_within_the_limits(wishes_s: list[int]) -> None:
    asked_ms: list[int] = []
    for wish_s in sorted(wishes_s):
        now_ms = max(NOW_MS + wish_s * 1000, asked_ms[-1] if asked_ms else 0)
        latest = asked_ms[::-1]
        moments = [
            (limit, latest[limit.most - 1] if len(latest) >= limit.most else None)
            for limit in (codes.RESENDS, codes.SENDS)
        ]
        asked_ms.append(now_ms + codes.wait_s(now_ms, moments) * 1000)
    assert all(later - earlier >= 30_000 for earlier, later in pairwise(asked_ms))
    fifth_apart = zip(asked_ms, asked_ms[codes.SENDS_PER_HOUR :], strict=False)
    assert all(later - earlier >= 3_600_000 for earlier, later in fifth_apart)
