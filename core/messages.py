"""What a refusal says, in the language of who is refused.

Only the usual sentence of an error is translated. A detail that tells more (a field, a number) is
written for a developer and stays in English; so does the title, which names the type of problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, NamedTuple

from core import languages
from core.errors import StampgateError
from core.translations import de, es, fr, hi

TRANSLATED: Final[Mapping[str, Mapping[str, str]]] = {
    "de": de.TEXTS,
    "es": es.TEXTS,
    "fr": fr.TEXTS,
    "hi": hi.TEXTS,
}
LANGUAGES: Final = frozenset({languages.DEFAULT, *TRANSLATED})


class Text(NamedTuple):
    """The sentence that explains a refusal, and its language."""

    detail: str
    language: str


def text(error: StampgateError, language: str) -> Text:
    """What the error says; in English when there is no translation of it."""
    translated = TRANSLATED.get(language)
    if translated is not None and error.detail == error.__doc__ and error.code in translated:
        return Text(translated[error.code], language)
    return Text(error.detail, languages.DEFAULT)
