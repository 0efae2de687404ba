"""The texts that are there before a program writes its own: one file a language, one table.

WhatsApp says what an SMS says, and so does a push, under the subject of the mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Final

from core import templates
from core.errors import BadTemplate
from core.templates import Channel, Texts
from core.texts import de, en, es, fr, hi

Key = tuple[str, Channel, str]  # name, channel and language

_LANGUAGES: Final[Mapping[str, ModuleType]] = {"en": en, "de": de, "es": es, "fr": fr, "hi": hi}


def _all() -> dict[Key, Texts]:
    found: dict[Key, Texts] = {}
    for language, module in _LANGUAGES.items():
        found |= {(name, "email", language): texts for name, texts in module.EMAIL.items()}
        for name, texts in module.SMS.items():
            short = {
                "sms": texts,
                "whatsapp": texts,
                "push": Texts(subject=module.EMAIL[name].subject, text=texts.text),
            }
            found |= {
                (name, channel, language): short[channel]
                for channel in templates.KINDS[name].channels
                if channel in short
            }
    return found


TEXTS: Final[Mapping[Key, Texts]] = _all()


def choose(own: Mapping[str, Texts], name: str, channel: Channel, wanted: str) -> tuple[str, Texts]:
    """The language and the texts for who wants this language: a program's `own`, by language,
    before the built-in ones, and a closer language before both; BadTemplate when there is none.
    """
    for language in templates.languages(wanted):
        texts = own.get(language) or TEXTS.get((name, channel, language))
        if texts is not None:
            return language, texts
    raise BadTemplate(f"there is no template {name} for {channel}")


def claim_reasons(codes: Iterable[str], wanted: str) -> str:
    """Why a claim was not accepted, a sentence a code, in the closest language that there is."""
    module = _module(wanted)
    return " ".join(module.CLAIM_REASONS[code] for code in codes)


def withdrawal_reason(state: str, wanted: str) -> str:
    """Why a withdrawal of this state was not paid, in the closest language that there is."""
    reasons: Mapping[str, str] = _module(wanted).WITHDRAWAL_REASONS
    return reasons[state]


def _module(wanted: str) -> ModuleType:
    known = (_LANGUAGES.get(language) for language in templates.languages(wanted))
    return next(filter(None, known))
