"""Erasures: that a member is forgotten, how far that is, and that it was done.

The member's row goes first. From then on the member is deleted for everybody, so nothing new is
written of it; what was on its way before that is swept up later.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal, NamedTuple

import asyncpg
import msgspec

from core import errors, tasks
from db import outbox, personal
from db.pg import Db

State = Literal["queued", "running", "done"]

ADD: Final = """
INSERT INTO erasure (id, program_id, member_id, steps, requested_by)
SELECT $3, program_id, id, $4, $5 FROM member WHERE program_id = $1 AND id = $2
    ON CONFLICT (member_id) DO NOTHING
RETURNING id, member_id, state, steps_done, steps, created_at, finished_at
"""
OF_MEMBER: Final = """
SELECT id, member_id, state, steps_done, steps, created_at, finished_at FROM erasure
 WHERE program_id = $1 AND member_id = $2
"""
SELECT: Final = """
SELECT id, member_id, state, steps_done, steps, created_at, finished_at FROM erasure
 WHERE program_id = $1 AND id = $2
"""
PAGE: Final = """
SELECT id, member_id, state, steps_done, steps, created_at, finished_at FROM erasure
 WHERE program_id = $1 AND ($2 = '' OR id < $2) AND ($4::text IS NULL OR member_id = $4)
 ORDER BY id DESC LIMIT $3
"""
START: Final = """
UPDATE erasure SET state = 'running' WHERE id = $1 AND state IN ('queued', 'running')
RETURNING program_id, member_id
"""
ADVANCE: Final = "UPDATE erasure SET steps_done = $2 WHERE id = $1"
FINISH: Final = """
UPDATE erasure SET state = 'done', steps_done = steps, finished_at = now() WHERE id = $1
"""
# Clicks on their way are those in the streams and spools, and those made beforehand.
SWEEP: Final = """
UPDATE click
   SET member_id = NULL, address_hash = NULL, user_agent = NULL, referrer = NULL, parameters = NULL
  FROM erasure
 WHERE click.member_id = erasure.member_id AND erasure.state = 'done'
   AND erasure.finished_at > now() - make_interval(secs => $1)
"""

#: A step for each table, one for the account in Redis, one for the files.
STEPS: Final = len(personal.ERASED) + 2


class Erasure(msgspec.Struct, frozen=True, kw_only=True):
    """An erasure as it is shown."""

    id: str
    member_id: str
    state: State
    steps_done: int
    steps: int
    created_at: dt.datetime
    finished_at: dt.datetime | None


class Wanted(NamedTuple):
    """Who is to be forgotten."""

    program_id: str
    member_id: str


async def add(
    db: Db, program_id: str, member_id: str, *, erasure_id: str, requested_by: str
) -> Erasure:
    """Want a member forgotten if the caller's transaction commits; the erasure there is already, if
    any. MemberNotFound."""
    row = await db.fetchrow(ADD, program_id, member_id, erasure_id, STEPS, requested_by)
    if row is not None:
        await outbox.add(db, tasks.EraseMember(erasure_id))
        return Erasure(**row)
    row = await db.fetchrow(OF_MEMBER, program_id, member_id)
    if row is None:
        raise errors.MemberNotFound
    return Erasure(**row)


async def get(db: Db, program_id: str, erasure_id: str) -> Erasure:
    """The erasure, or ErasureNotFound."""
    return _erasure(await db.fetchrow(SELECT, program_id, erasure_id))


async def page(
    db: Db, program_id: str, *, before: str, limit: int, member_id: str | None = None
) -> list[Erasure]:
    """Up to `limit` erasures, the newest first."""
    return [Erasure(**row) for row in await db.fetch(PAGE, program_id, before, limit, member_id)]


async def start(db: Db, erasure_id: str) -> Wanted | None:
    """Who it is, or None when nothing is left to do."""
    row = await db.fetchrow(START, erasure_id)
    return None if row is None else Wanted(*row)


async def advance(db: Db, erasure_id: str, steps_done: int) -> None:
    """Show how far it is."""
    await db.execute(ADVANCE, erasure_id, steps_done)


async def finish(db: Db, erasure_id: str) -> None:
    """It is done."""
    await db.execute(FINISH, erasure_id)


async def sweep(db: Db, seconds: int) -> int:
    """Forget what came late of members erased within so many seconds; how many rows that were."""
    status = await db.execute(SWEEP, seconds)
    return int(status.rsplit(" ", 1)[-1])


def _erasure(row: asyncpg.Record | None) -> Erasure:
    if row is None:
        raise errors.ErasureNotFound
    return Erasure(**row)
