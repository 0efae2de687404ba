from __future__ import annotations

from loadtests import shapes


def test_a_day_has_a_million_transactions_and_peaks_of_fifty() -> None:
    assert abs(shapes.transactions_a_day() - 1_000_000) < 1_000
    assert max(shapes.MIXED_DAY) == 50


def test_the_day_is_pressed_into_the_run() -> None:
    rates = [shapes.rate_at(second, 60) for second in range(60)]
    assert rates[0] == shapes.MIXED_DAY[0]
    assert rates[59] == shapes.MIXED_DAY[23]
    assert 50 in rates


def test_the_run_ends() -> None:
    assert shapes.rate_at(59.9, 60) is not None
    assert shapes.rate_at(60, 60) is None
