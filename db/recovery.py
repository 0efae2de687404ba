"""What a Redis that knows nothing gets back from PostgreSQL, besides the award partitions: links,
live click numbers, what capped links have used, and the boot number.

Runs before any click that came after the loss is flushed, so that none is counted twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from db import keys, links, redis
from db.pg import Db

ROWS_A_CALL: Final = 1_000

COUNTS: Final = """
SELECT link_id, class, sum(clicks)::bigint AS clicks FROM click_daily
 WHERE link_id > $1 GROUP BY link_id, class ORDER BY link_id, class LIMIT $2
"""
USED: Final = """
SELECT l.id, coalesce((SELECT sum(clicks) FROM click_daily d WHERE d.link_id = l.id), 0)::bigint
       AS used
  FROM link l WHERE l.config ? 'cap' AND l.config ->> 'cap' IS NOT NULL
"""
HIGHEST_BOOT: Final = "SELECT coalesce(max(boot), 0) FROM click_boot"


async def is_needed(connection: redis.Connection) -> bool:
    """Whether this Redis has not been filled."""
    return not await connection.call("EXISTS", keys.INSTALLED)


async def restore(
    db: Db, connection: redis.Connection, progress: Callable[[int, int], None]
) -> None:
    """Fill Redis; may be repeated. `progress` gets links done and total."""
    await connection.call("SETNX", keys.BOOTS, await db.fetchval(HIGHEST_BOOT))
    await _restore_counts(db, connection)
    for row in await db.fetch(USED):
        await connection.call("SETNX", keys.link_cap(row["id"]), row["used"])
    await links.publish_all(db, connection, progress)
    await connection.call("SET", keys.INSTALLED, "1")


async def _restore_counts(db: Db, connection: redis.Connection) -> None:
    restored = keys.click_counts(keys.CLICK_PARTITIONS)
    await connection.call("DEL", restored)
    after = ""
    # A link has at most a handful of classes, so whole links fit behind the cut.
    while rows := await db.fetch(COUNTS, after, ROWS_A_CALL):
        if len(rows) == ROWS_A_CALL:
            last = rows[-1]["link_id"]
            rows = [row for row in rows if row["link_id"] != last]
        pairs = [
            part for row in rows for part in (f"{row['link_id']}:{row['class']}", row["clicks"])
        ]
        await connection.call("HSET", restored, *pairs)
        after = rows[-1]["link_id"]
