"""Signed test clicks."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from core import testclicks

KEYS = {3: bytes(32), 9: b"k" * 32}


def test_signature_holds_for_its_slug_until_it_expires() -> None:
    text = testclicks.sign("demo", 1_000, 9, KEYS[9])
    assert testclicks.verify(text, "demo", 999, KEYS)
    assert not testclicks.verify(text, "demo", 1_000, KEYS)
    assert not testclicks.verify(text, "other", 999, KEYS)
    assert not testclicks.verify(text, "demo", 999, {9: KEYS[3]})
    assert not testclicks.verify(text, "demo", 999, {})


@given(st.text())
def test_anything_else_is_refused_quietly(text: str) -> None:
    assert not testclicks.verify(text, "demo", 0, KEYS)
    assert not testclicks.verify(f"3.ff.{text}", "demo", 0, KEYS)
