"""Events that could not be applied and were set aside."""

from __future__ import annotations

from typing import Final

from db.pg import Db

COUNTS: Final = """
SELECT count(*) FILTER (WHERE stream LIKE '{a%') AS points,
       count(*) FILTER (WHERE stream LIKE '{c%') AS clicks
  FROM quarantine
"""


async def counts(db: Db) -> dict[str, int]:
    """How many there are, by kind."""
    return dict(await db.fetchrow(COUNTS) or {})
