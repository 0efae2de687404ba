"""Texts that programs put in place of the built-in ones."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from core import errors
from core.templates import Channel, Texts
from db.pg import Db

SELECT: Final = """
SELECT language, subject, text, html FROM template
 WHERE program_id = $1 AND name = $2 AND channel = $3 AND language = ANY($4::text[])
"""

ALL: Final = """
SELECT name, channel, language, subject, text, html, updated_at FROM template
 WHERE program_id = $1
"""
FIND: Final = """
SELECT subject, text, html, updated_at FROM template
 WHERE program_id = $1 AND name = $2 AND channel = $3 AND language = $4
"""
PUT: Final = """
INSERT INTO template (program_id, name, channel, language, subject, text, html)
VALUES ($1, $2, $3, $4, $5, $6, $7)
    ON CONFLICT (program_id, name, channel, language) DO UPDATE
   SET subject = excluded.subject, text = excluded.text, html = excluded.html, updated_at = now()
RETURNING subject, text, html, updated_at
"""
DELETE: Final = """
DELETE FROM template WHERE program_id = $1 AND name = $2 AND channel = $3 AND language = $4
RETURNING name
"""


class Own(NamedTuple):
    """A program's own texts, and since when they are so."""

    texts: Texts
    updated_at: dt.datetime


async def own(
    db: Db, program_id: str | None, name: str, channel: Channel, languages: Sequence[str]
) -> dict[str, Texts]:
    """A program's own texts of a template in these languages, by language."""
    rows = await db.fetch(SELECT, program_id, name, channel, languages)
    return {
        row["language"]: Texts(subject=row["subject"], text=row["text"], html=row["html"])
        for row in rows
    }


async def all_own(db: Db, program_id: str) -> dict[tuple[str, Channel, str], Own]:
    """All of a program's own texts, by name, channel and language."""
    return {
        (row["name"], row["channel"], row["language"]): _own(row)
        for row in await db.fetch(ALL, program_id)
    }


async def find(db: Db, program_id: str, name: str, channel: Channel, language: str) -> Own | None:
    """A program's own texts in exactly this language, or None."""
    row = await db.fetchrow(FIND, program_id, name, channel, language)
    return None if row is None else _own(row)


async def put(
    db: Db, program_id: str, name: str, channel: Channel, language: str, texts: Texts
) -> Own:
    """Store a program's own texts, which the caller has checked; ProgramNotFound."""
    values = (texts.subject, texts.text, texts.html)
    try:
        row = await db.fetchrow(PUT, program_id, name, channel, language, *values)
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    assert row is not None
    return _own(row)


async def delete(db: Db, program_id: str, name: str, channel: Channel, language: str) -> None:
    """Go back to the built-in texts; TemplateNotFound when the program has none of its own."""
    if await db.fetchval(DELETE, program_id, name, channel, language) is None:
        raise errors.TemplateNotFound


def _own(row: asyncpg.Record) -> Own:
    texts = Texts(subject=row["subject"], text=row["text"], html=row["html"])
    return Own(texts, row["updated_at"])
