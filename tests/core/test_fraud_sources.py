"""How far two shares are apart."""

from __future__ import annotations

import pytest

from core.fraud_sources import Rate, Share, sigmas_above


def apart(own: tuple[int, int], others: tuple[int, int]) -> float:
    return sigmas_above(Rate(Share(*own), Share(*others)))


def test_it_is_the_difference_in_standard_errors() -> None:
    # 0.5 against 0.9, of 475 in 550 together: (0.5 - 0.9) / sqrt(0.8636 * 0.1364 * (1/50 + 1/500)).
    assert apart((25, 50), (450, 500)) == pytest.approx(-7.859, abs=0.001)
    assert apart((450, 500), (25, 50)) == pytest.approx(7.859, abs=0.001)


@pytest.mark.parametrize(
    ("own", "others"),
    [((0, 0), (5, 9)), ((5, 9), (0, 0)), ((9, 9), (9, 9)), ((0, 9), (0, 9)), ((1, 2), (50, 100))],
)
def test_nothing_is_apart_of_what_is_not_there_or_the_same(
    own: tuple[int, int], others: tuple[int, int]
) -> None:
    assert apart(own, others) == 0
