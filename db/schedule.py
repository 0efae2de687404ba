"""Which run of a recurring job was made: one row for each job and due time."""

from __future__ import annotations

from typing import Final

from db.pg import Db

# The lock keeps a second scheduler from waiting for the first one's transaction, and a job from
# running twice at a time.
CLAIM: Final = """
INSERT INTO schedule_run (job, due_at)
SELECT $1, to_timestamp($2::bigint / 1000.0)
 WHERE pg_try_advisory_xact_lock(hashtextextended('schedule ' || $1, 0))
    ON CONFLICT DO NOTHING
RETURNING job
"""
FINISH: Final = """
UPDATE schedule_run SET finished_at = now()
 WHERE job = $1 AND due_at = to_timestamp($2::bigint / 1000.0)
"""
DELETE_OLD: Final = """
DELETE FROM schedule_run AS run
 WHERE due_at < to_timestamp($1::bigint / 1000.0)
   AND EXISTS (SELECT FROM schedule_run WHERE job = run.job AND due_at > run.due_at)
"""


async def claim(db: Db, job: str, due_at_ms: int) -> bool:
    """Whether this run is the caller's, who makes it in the same transaction."""
    return await db.fetchval(CLAIM, job, due_at_ms) is not None


async def finish(db: Db, job: str, due_at_ms: int) -> None:
    """Note that the run ended well."""
    await db.execute(FINISH, job, due_at_ms)


async def delete_old(db: Db, before_ms: int) -> None:
    """Forget runs before `before_ms`, except for each job's last."""
    await db.execute(DELETE_OLD, before_ms)
