"""What is read from a visit's headers and query."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import clicks


def test_query_is_decoded_in_order_and_bounded() -> None:
    assert clicks.query_pairs("a=1&b=%C3%BC+x&flag&a=2") == (
        ("a", "1"),
        ("b", "ü x"),
        ("flag", ""),
        ("a", "2"),
    )
    assert len(clicks.query_pairs("a=1&" * 1000)) == clicks.PARAMETERS_MAX


@pytest.mark.parametrize(
    ("header", "language"),
    [
        ("", ""),
        ("en-IN,en;q=0.9,hi;q=0.8", "en-in"),
        ("en;q=0.5, hi-IN ; q=0.9", "hi-in"),
        ("*", ""),
        ("de;q=0,fr;q=0.1", "fr"),
        ("de;q=1.1.1,en;q=0.1", "en"),
        ("\x00,;;q=,en\r\nx", ""),
    ],
)
def test_preferred_language_is_read(header: str, language: str) -> None:
    assert clicks.preferred_language(header) == language


@pytest.mark.parametrize(
    ("header", "host"),
    [
        ("https://News.Example:8443/a?b", "news.example"),
        ("android-app://com.example.app/", "com.example.app"),
        ("about:blank", ""),
        ("http://[::1", ""),
        ("", ""),
    ],
)
def test_referrer_host_is_read(header: str, host: str) -> None:
    assert clicks.referrer_host(header) == host


def test_either_header_is_a_privacy_signal() -> None:
    assert clicks.privacy_signal("1", None)
    assert clicks.privacy_signal(None, "1")
    assert not clicks.privacy_signal("0", None)
    assert not clicks.privacy_signal(None, "unspecified")


PAIRS = (("sub1", "a"), ("sub1", "b"), ("GCLID", "g"), ("gclid", "g"), ("x", "y"), ("sub2", ""))


def test_known_parameters_are_stored_first_value_first() -> None:
    assert clicks.parameters(PAIRS, privacy_signal=False) == {"sub1": "a", "gclid": "g"}
    assert clicks.parameters((("x", "y"),), privacy_signal=False) is None


def test_under_a_privacy_signal_ad_ids_are_neither_stored_nor_shared() -> None:
    assert clicks.parameters(PAIRS, privacy_signal=True) == {"sub1": "a"}
    shared = clicks.shareable(PAIRS, privacy_signal=True)
    assert shared == (("sub1", "a"), ("sub1", "b"), ("x", "y"), ("sub2", ""))


@given(st.text(st.characters(codec=None), min_size=1, max_size=400))
def test_a_stored_value_can_be_packed_and_has_a_bound(value: str) -> None:
    known = clicks.parameters((("sub1", value),), privacy_signal=False)
    assert known is not None
    assert len(known["sub1"]) <= clicks.VALUE_LENGTH_MAX
    assert "\0" not in known["sub1"]
    assert msgspec.msgpack.decode(msgspec.msgpack.encode(known)) == known
