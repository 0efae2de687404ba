"""Which of our languages a person reads best."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Final

DEFAULT: Final = "en"
ITEMS_MAX: Final = 32

_ITEM: Final = re.compile(
    r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8}){0,8}|\*)\s*(?:;\s*q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?))?\s*"
)


def choose(accept_language: str, ours: Collection[str], default: str = DEFAULT) -> str:
    """The language of `ours` that an `Accept-Language` likes best, else `default` (RFC 4647 §3.4).

    `de-AT` is content with `de`.
    """
    best, best_quality = default, 0.0
    for item in accept_language.split(",", ITEMS_MAX)[:ITEMS_MAX]:
        found = _ITEM.fullmatch(item)
        if found is None:
            continue
        quality = float(found[2] or 1)
        language = _ours(found[1].lower(), ours, default)
        if language is not None and quality > best_quality:
            best, best_quality = language, quality
    return best


def _ours(tag: str, ours: Collection[str], default: str) -> str | None:
    if tag == "*":
        return default
    while tag not in ours:
        tag, hyphen, _ = tag.rpartition("-")
        if not hyphen:
            return None
    return tag
