"""Texts that programs put in place of the built-in ones."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.templates import Channel, Texts
from db.pg import Db

SELECT: Final = """
SELECT language, subject, text, html FROM template
 WHERE program_id = $1 AND name = $2 AND channel = $3 AND language = ANY($4::text[])
"""


async def own(
    db: Db, program_id: str | None, name: str, channel: Channel, languages: Sequence[str]
) -> dict[str, Texts]:
    """A program's own texts of a template in these languages, by language."""
    rows = await db.fetch(SELECT, program_id, name, channel, languages)
    return {
        row["language"]: Texts(subject=row["subject"], text=row["text"], html=row["html"])
        for row in rows
    }
