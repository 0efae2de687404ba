"""Refresh tokens: what they say, and what is stored of them."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ids, sessions
from core.errors import TokenInvalid

SESSION = ids.new("session", 1_700_000_000_000, bytes(10))
ENTROPY = bytes(range(sessions.REFRESH_ENTROPY_BYTES))


@given(st.binary(min_size=48, max_size=48))
def test_a_token_is_read_as_it_was_written(entropy: bytes) -> None:
    refresh = sessions.begin(SESSION, entropy)
    assert sessions.parse(sessions.dump(refresh)) == refresh


def test_the_next_token_is_of_the_same_family_with_another_secret() -> None:
    first = sessions.begin(SESSION, ENTROPY)
    second = sessions.follow(first, bytes(sessions.SECRET_BYTES))
    assert second.family_hash == first.family_hash
    assert second.secret_hash != first.secret_hash
    assert second.session_id == first.session_id


def test_the_same_secret_of_another_session_has_another_hash() -> None:
    other = ids.new("session", 1_700_000_000_001, bytes(10))
    first, second = (sessions.begin(one, ENTROPY) for one in (SESSION, other))
    assert first.family_hash != second.family_hash
    assert first.secret_hash != second.secret_hash


@given(st.text(max_size=120))
def test_any_other_text_is_refused(text: str) -> None:
    with pytest.raises(TokenInvalid):
        sessions.parse(text)


def test_a_token_that_was_cut_or_lengthened_is_refused() -> None:
    token = sessions.dump(sessions.begin(SESSION, ENTROPY))
    for changed in (token[:-1], token + "A", token.upper(), token + "\n", " " + token):
        with pytest.raises(TokenInvalid):
            sessions.parse(changed)


def test_a_token_does_not_show_its_secrets() -> None:
    refresh = sessions.begin(SESSION, ENTROPY)
    assert repr(refresh) == f"Refresh({SESSION})"


@pytest.mark.parametrize("size", [0, 47, 49])
def test_tokens_are_made_of_enough_entropy(size: int) -> None:
    with pytest.raises(ValueError, match="expected 48 bytes"):
        sessions.begin(SESSION, bytes(size))
    with pytest.raises(ValueError, match="expected 32 bytes"):
        sessions.follow(sessions.begin(SESSION, ENTROPY), bytes(size))
