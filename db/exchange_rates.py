"""A program's exchange rates."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import asyncpg

from core import errors
from core.rates import Rate
from db.pg import Db

PUT: Final = """
INSERT INTO exchange_rate (program_id, source, target, valid_from, rate)
SELECT $1, * FROM unnest($2::text[], $3::text[], $4::timestamptz[], $5::numeric[])
    ON CONFLICT (program_id, source, target, valid_from) DO UPDATE SET rate = excluded.rate
"""
OF_TARGET: Final = """
SELECT source, target, valid_from, rate FROM exchange_rate
 WHERE program_id = $1 AND target = $2 AND source = ANY($3::text[])
"""
ALL: Final = """
SELECT source, target, valid_from, rate FROM exchange_rate
 WHERE program_id = $1 AND ($2::text IS NULL OR source = $2)
   AND ($3::text IS NULL OR target = $3)
 ORDER BY source, target, valid_from DESC LIMIT $4
"""
# Conversions that wait for a rate are tried again. In the order in which reports lock them.
WAKE: Final = """
WITH woken AS (
    SELECT id FROM conversion
     WHERE program_id = $1 AND parked IN ('currency_unknown', 'amount_implausible')
       AND (currency = ANY($2::text[]) OR sale_currency = ANY($2::text[]))
     ORDER BY id FOR UPDATE
)
UPDATE conversion SET next_try_at = now() FROM woken
 WHERE conversion.program_id = $1 AND conversion.id = woken.id
"""


async def put(db: Db, program_id: str, rates: Sequence[Rate]) -> None:
    """Store rates, in place of those of the same moment; ProgramNotFound."""
    columns: list[list[Any]] = [list(column) for column in zip(*rates, strict=True)]
    try:
        await db.execute(PUT, program_id, *columns)
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    await db.execute(WAKE, program_id, sorted({rate.source for rate in rates}))


async def to(db: Db, program_id: str, target: str, sources: Sequence[str]) -> list[Rate]:
    """All rates from these currencies to `target`."""
    return [Rate(*row) for row in await db.fetch(OF_TARGET, program_id, target, list(sources))]


async def page(
    db: Db, program_id: str, *, source: str | None, target: str | None, limit: int
) -> list[Rate]:
    """Up to `limit` rates, the newest of each pair first."""
    return [Rate(*row) for row in await db.fetch(ALL, program_id, source, target, limit)]
