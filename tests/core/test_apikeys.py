"""What an API key looks like."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import apikeys
from core.errors import ApiKeyInvalid

KEY = apikeys.new(bytes(range(apikeys.ENTROPY_BYTES)))


def test_a_key_is_always_made_of_its_bytes_in_the_same_way() -> None:
    assert KEY == "sg_000g40r40m30_0209185gr38e1w8124gk2gahc5rr34d1p70x3rfj08924cj2a9h71sv076"


@given(st.binary(min_size=apikeys.ENTROPY_BYTES, max_size=apikeys.ENTROPY_BYTES))
def test_a_new_key_has_a_visible_part_and_a_digest(entropy: bytes) -> None:
    text = apikeys.new(entropy)
    parts = apikeys.parse(text)
    assert text.startswith(parts.prefix + "_")
    assert parts.digest == hashlib.sha256(text.encode()).digest()
    assert len(text) == 74


def test_all_of_the_secret_is_in_the_key() -> None:
    texts = {
        apikeys.new(bytes(position) + b"\x80" + bytes(apikeys.ENTROPY_BYTES - position - 1))
        for position in range(apikeys.ENTROPY_BYTES)
    }
    assert len(texts) == apikeys.ENTROPY_BYTES


def test_entropy_of_another_length_is_a_mistake_of_ours() -> None:
    with pytest.raises(ValueError, match="expected 40 bytes"):
        apikeys.new(bytes(39))


@pytest.mark.parametrize("place", range(3, len(KEY)))
def test_one_wrong_character_is_seen_without_a_look_into_the_database(place: int) -> None:
    other = "1" if KEY[place] != "1" else "2"
    with pytest.raises(ApiKeyInvalid):
        apikeys.parse(KEY[:place] + other + KEY[place + 1 :])


@pytest.mark.parametrize(
    "text",
    [
        "",
        "sg_",
        KEY[:-1],
        KEY + "0",
        KEY.upper(),
        KEY + "\n",
        " " + KEY,
        KEY.replace("_", "-"),
        "sg_" + "é" * 71,
    ],
)
def test_a_text_of_another_form_is_no_key(text: str) -> None:
    with pytest.raises(ApiKeyInvalid):
        apikeys.parse(text)


def test_digests_are_equal_or_not() -> None:
    digest = apikeys.parse(KEY).digest
    assert apikeys.is_same(digest, bytes(digest))
    assert not apikeys.is_same(digest, bytes(32))
    assert not apikeys.is_same(digest, b"")
