"""What the page on providers says that each of them is answered when something is wrong."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from tests import sources
from tests.gateway.conftest import Answer

PAGE: Final = (sources.ROOT / "docs" / "providers.md").read_text(encoding="utf-8")
ROW: Final = re.compile(r"^\| `([\w/-]+)` \| `/\S+` \| (.+) \|$", re.MULTILINE)


class Said(NamedTuple):
    """Status and word for each fault."""

    forged: str
    again: str
    cut_off: str
    unknown_word: str
    away: str


ANSWERS: Final = {slug: Said(*cells.split(" | ")) for slug, cells in ROW.findall(PAGE)}


def told(answer: Answer) -> str:
    """The answer as the page writes it."""
    words = answer.body if isinstance(answer.body, dict) else {}
    word = words.get("code") or words.get("verdict")
    return f"{answer.status} `{word}`" if word else str(answer.status)
