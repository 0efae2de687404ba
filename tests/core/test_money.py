from fractions import Fraction

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.money import Money, cashback, split, text

amounts = st.integers(-(10**15), 10**15)
weights = st.lists(st.integers(0, 10**6), min_size=1, max_size=12).filter(any)


@given(amounts, weights)
def test_a_split_loses_nothing_and_is_fair(amount_minor: int, parts: list[int]) -> None:
    shares = split(Money(amount_minor, "INR"), parts)
    assert sum(share.amount_minor for share in shares) == amount_minor
    for share, weight in zip(shares, parts, strict=True):
        exact = Fraction(amount_minor * weight, sum(parts))
        assert abs(share.amount_minor - exact) < 1
        assert share.currency == "INR"


def test_weight_zero_gets_nothing() -> None:
    shares = split(Money(100, "INR"), [0, 1, 0, 2, 0])
    assert [share.amount_minor for share in shares] == [0, 33, 0, 67, 0]


@pytest.mark.parametrize("parts", [[], [0, 0], [3, -1]])
def test_a_split_among_nobody_is_refused(parts: list[int]) -> None:
    with pytest.raises(ValueError):
        split(Money(100, "INR"), parts)


@given(st.integers(0, 10**15), st.integers(0, 10_000))
def test_cashback_rounds_down_and_leaves_the_rest(amount_minor: int, share_bp: int) -> None:
    paid = cashback(Money(amount_minor, "INR"), share_bp).amount_minor
    exact = Fraction(amount_minor * share_bp, 10_000)
    assert exact - 1 < paid <= exact
    assert paid <= amount_minor


def test_cashback_of_a_reversal_is_refused() -> None:
    with pytest.raises(ValueError):
        cashback(Money(-1, "INR"), 5000)
    with pytest.raises(ValueError):
        cashback(Money(1, "INR"), -1)


def test_money_on_the_wire_is_an_integer_and_a_currency() -> None:
    wire = b'{"amount_minor":5000,"currency":"INR"}'
    assert msgspec.json.decode(wire, type=Money) == Money(5000, "INR")
    assert msgspec.json.encode(Money(5000, "INR")) == wire
    for bad in (wire.replace(b"5000", b"50.5"), wire.replace(b"INR", b"inr")):
        with pytest.raises(msgspec.ValidationError):
            msgspec.json.decode(bad, type=Money)


@pytest.mark.parametrize(
    ("amount_minor", "currency", "shown"),
    [
        (150_000, "INR", "₹1500.00"),
        (5, "INR", "₹0.05"),
        (-4_000, "INR", "-₹40.00"),
        (350, "CHF", "CHF 3.50"),
        (800, "JPY", "¥800"),
        (1_234, "KWD", "KWD 1.234"),
    ],
)
def test_an_amount_is_read_with_the_places_of_its_currency(
    amount_minor: int, currency: str, shown: str
) -> None:
    assert text(Money(amount_minor, currency)) == shown
