import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import base32


@given(st.integers(0, (1 << 130) - 1))
def test_a_number_survives_the_round_trip_in_either_case(number: int) -> None:
    text = base32.encode(number, 26)
    assert len(text) == 26
    assert base32.decode(text) == base32.decode(text.upper()) == number


@given(st.text(min_size=1, max_size=4))
def test_any_other_character_is_refused(text: str) -> None:
    if all(character in base32.ALPHABET for character in text.lower()) and text.isascii():
        assert base32.decode(text) >= 0
    else:
        with pytest.raises(ValueError):
            base32.decode(text)
