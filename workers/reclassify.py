"""Has fraud rules look at conversions again: batch by batch, each with its place in one
transaction, so that a kill costs at most the batch that was under way.
"""

from __future__ import annotations

import time
from typing import Final

from core.tasks import Reclassify
from db import outbox, reclassifications
from workers import loop
from workers.broker import Tools
from workers.conversions import acting

#: Less than a long actor may take (`broker.LONG_LIMIT_MS`).
TURN_S: Final = 1_800.0


async def reclassify(tools: Tools, row_id: int, task: Reclassify) -> None:
    """Look on from where it is; the row ends with the last conversion."""
    until = time.monotonic() + TURN_S
    while time.monotonic() < until:
        now_ms = loop.now_ms()
        async with tools.pool.acquire() as db, db.transaction():
            job = await reclassifications.to_do(db, task.reclassification_id)
            if job is None:
                await outbox.done(db, row_id)
                return
            act = acting(tools.settings, now_ms, job.requested_by)
            await reclassifications.step(db, tools.ring, job, act)
    async with tools.pool.acquire() as db:
        await outbox.put_off(db, row_id, loop.now_ms())
