"""What is void before it expires: the row is the truth, the stream tells every process at once.

A row is written in the transaction that ends a session or a key, and stays until everything that it
voids has expired. The announcement follows the commit; should Redis miss it, the processes find the
row when they look at PostgreSQL next. A reader of the stream stands on the last entry it has seen.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Final, Literal, NamedTuple

from core import ids
from db import keys, streams
from db.pg import Db
from db.redis import Connection

Kind = Literal["session", "subject", "key"]

START: Final = streams.START
READ_MAX: Final = 1_000
#: How long an announcement is kept: whoever is away for longer reads the rows.
KEPT_MS: Final = 3_600_000

ADD = """
INSERT INTO revocation (id, until) SELECT unnest($1::text[]), to_timestamp($2::bigint)
    ON CONFLICT (id) DO UPDATE
   SET until = greatest(revocation.until, excluded.until), revoked_at = now()
"""
# A transaction may commit long after the moment that `now()` gave its rows.
SINCE = """
SELECT id, ceil(extract(epoch FROM until))::bigint AS until_s FROM revocation
 WHERE revoked_at > now() - make_interval(secs => $1) AND until > now()
"""
DELETE_OLD = """
DELETE FROM revocation WHERE until < now() - interval '1 minute'
"""


class Revoked(NamedTuple):
    """An id that is void, and until when anybody may still hold something that it voids."""

    id: str
    until_s: int


async def add(db: Db, revoked: Sequence[str], until_s: int) -> None:
    """Void these ids until Unix second `until_s`, in the caller's transaction; then `announce`."""
    await db.execute(ADD, revoked, until_s)


async def since(db: Db, seconds: int) -> list[Revoked]:
    """What was voided within so many seconds and matters still."""
    return [Revoked(row["id"], row["until_s"]) for row in await db.fetch(SINCE, seconds)]


async def delete_old(db: Db) -> None:
    """Forget what has expired by now."""
    await db.execute(DELETE_OLD)


async def announce(redis: Connection, revoked: Sequence[Revoked], now_ms: int) -> None:
    """Tell all processes; raises as `Connection.call`."""
    await asyncio.gather(
        *(
            redis.call(
                *("XADD", keys.AUTH_CHANGES, "MINID", "~", f"{now_ms - KEPT_MS}-0", "*"),
                *("k", kind_of(one.id), "i", one.id, "u", one.until_s),
            )
            for one in revoked
        )
    )


async def changes(redis: Connection, last_id: bytes) -> tuple[bytes, list[Revoked], bool]:
    """The new position, what was announced after `last_id` (at most READ_MAX), and whether that is
    all: False when the entry that the reader stands on is gone."""
    position, found, is_whole = await streams.after(redis, keys.AUTH_CHANGES, last_id, READ_MAX)
    return position, list(map(_revoked, found)), is_whole


def kind_of(revoked_id: str) -> Kind:
    """What an id names: everybody's tokens of one session, of one person, or one API key."""
    prefix = revoked_id.partition("_")[0]
    if prefix == ids.PREFIXES["session"]:
        return "session"
    return "key" if prefix == ids.PREFIXES["key"] else "subject"


def _revoked(fields: list[bytes]) -> Revoked:
    named = dict(zip(fields[::2], fields[1::2], strict=True))
    return Revoked(named[b"i"].decode(), int(named[b"u"]))
