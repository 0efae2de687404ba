"""Links whose cap was reached, as the redirectors announce them."""

from __future__ import annotations

from typing import Any, Final

from db import keys, webhooks
from db.pg import Db
from db.redis import Connection

READ_MAX: Final = 500

CAPPED: Final = """
SELECT id, program_id, slug, (config ->> 'cap')::bigint AS cap FROM link
 WHERE id = ANY($1::text[]) AND config ->> 'cap' IS NOT NULL
"""


async def read(redis: Connection) -> dict[bytes, tuple[str, int]]:
    """Entry id → link id and Unix ms of what was announced; raises as `Connection.call`."""
    entries: list[Any] = await redis.call(
        "XRANGE", keys.LINK_CAPS_REACHED, "-", "+", "COUNT", READ_MAX
    )
    return {
        entry_id: (fields[1].decode(), int(entry_id.split(b"-")[0])) for entry_id, fields in entries
    }


async def queue(db: Db, announced: dict[bytes, tuple[str, int]]) -> None:
    """Queue `link.cap_reached` once for each link and cap, however often it is announced."""
    at_ms = dict(reversed(announced.values()))
    rows = await db.fetch(CAPPED, list(at_ms))
    await webhooks.queue_events(
        db,
        [
            webhooks.Event(
                row["program_id"],
                "link.cap_reached",
                f"{row['id']}_cap_{row['cap']}",
                at_ms[row["id"]],
                {"link": row["id"], "slug": row["slug"], "cap": row["cap"]},
            )
            for row in rows
        ],
    )


async def forget(redis: Connection, announced: dict[bytes, tuple[str, int]]) -> None:
    """Take entries off the stream, once what follows from them is committed."""
    await redis.call("XDEL", keys.LINK_CAPS_REACHED, *announced)
