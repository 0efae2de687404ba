"""The language that a person reads best, and what refusals say in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from core import errors, languages, messages

OURS = {"en", "de", "es", "fr", "hi"}


@pytest.mark.parametrize(
    ("wanted", "chosen"),
    [
        ("", "en"),
        ("de", "de"),
        ("DE-at", "de"),
        ("de-Latn-AT-1996", "de"),
        ("it", "en"),
        ("it, fr;q=0.3", "fr"),
        ("fr;q=0.3, de;q=0.9", "de"),
        ("fr;q=0.30, hi;q=0.9999, es;q=0.5", "es"),
        ("de;q=0", "en"),
        ("*", "en"),
        ("es;q=0.5, *", "en"),
        ("en-GB,en;q=0.9,de;q=0.8", "en"),
        ("de; q = 1", "en"),
        ("de ; q=1", "de"),
        ("\x00de, <b>, ;;;, fr", "fr"),
        ("x," * 5_000 + "de", "en"),
    ],
)
def test_what_is_liked_best_of_what_we_have(wanted: str, chosen: str) -> None:
    assert languages.choose(wanted, OURS) == chosen


def test_the_usual_sentence_is_translated_and_a_special_one_is_not() -> None:
    assert messages.text(errors.SlugTaken(), "de") == ("Ein anderer Link heißt schon so.", "de")
    assert messages.text(errors.SlugTaken(), "it").language == "en"
    assert messages.text(errors.SlugTaken("abc is taken."), "de") == ("abc is taken.", "en")


def known(root: type[errors.StampgateError]) -> Iterator[type[errors.StampgateError]]:
    yield root
    for child in root.__subclasses__():
        yield from known(child)


@pytest.mark.parametrize("language", sorted(messages.TRANSLATED))
def test_every_refusal_is_translated(language: str) -> None:
    ours = [error for error in known(errors.StampgateError) if error.__module__ == errors.__name__]
    assert [e.code for e in ours if e.code not in messages.TRANSLATED[language]] == []


def test_every_language_says_the_same_things() -> None:
    codes = [set(texts) for texts in messages.TRANSLATED.values()]
    assert codes.count(codes[0]) == len(codes)
    assert all(text for texts in messages.TRANSLATED.values() for text in texts.values())
    assert messages.LANGUAGES == OURS
