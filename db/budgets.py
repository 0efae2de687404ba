"""A program's budget in a unit, leased to the award partitions before it is spent."""

from __future__ import annotations

from typing import Final

from core import errors
from db import keys
from db.pg import Db

# A quarter of an even share: small enough that the last ones are not stranded in idle partitions.
SHARE: Final = 4 * keys.AWARD_PARTITIONS

KEEP: Final = """
INSERT INTO budget (program_id, unit, total) VALUES ($1, $2, $3)
    ON CONFLICT (program_id, unit) DO UPDATE SET total = excluded.total
RETURNING total - leased AS left_over
"""
TAKE: Final = "UPDATE budget SET leased = leased + $3 WHERE program_id = $1 AND unit = $2"
GIVE: Final = """
INSERT INTO budget_lease AS l (program_id, unit, partition, leased) VALUES ($1, $2, $3, $4)
    ON CONFLICT (program_id, unit, partition) DO UPDATE SET leased = l.leased + excluded.leased
"""


async def lease(
    db: Db, program_id: str, unit: str, partition: int, *, total: int, wanted: int
) -> int:
    """Lease at least `wanted` to a partition, in the caller's transaction; BudgetExhausted."""
    left_over = await db.fetchval(KEEP, program_id, unit, total)
    if left_over < wanted:
        raise errors.BudgetExhausted
    amount: int = max(wanted, left_over // SHARE)
    await db.execute(TAKE, program_id, unit, amount)
    await db.execute(GIVE, program_id, unit, partition, amount)
    return amount
