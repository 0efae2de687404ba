"""Publishes links again, should the publication right after the commit have failed."""

from __future__ import annotations

from core.tasks import PublishLink
from db import links, outbox
from workers.broker import Tools


async def publish(tools: Tools, row_id: int, task: PublishLink) -> None:
    """Put what is under the slug now before the redirectors, unless they have a newer version."""
    async with tools.pool.acquire() as db:
        await links.republish(db, tools.redis, task)
        await outbox.done(db, row_id)
