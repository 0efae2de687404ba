"""Exports of members: who asked, how far it is, and the document with all that is known.

queued → running → done → expired
↘ canceled: the member was erased meanwhile
"""

from __future__ import annotations

import datetime as dt
from collections.abc import AsyncGenerator, Awaitable, Callable
from typing import Final, Literal, NamedTuple

import asyncpg
import msgspec

from core import errors, tasks, templates
from core.keyring import KeyRing
from db import outbox, personal
from db.pg import Db

State = Literal["queued", "running", "done", "expired", "canceled"]

# One that is under way is answered again.
ADD: Final = """
INSERT INTO member_export (id, program_id, member_id, steps, requested_by, language)
SELECT $3, program_id, id, $4, $5, $6 FROM member
 WHERE program_id = $1 AND id = $2 AND erased_at IS NULL
    ON CONFLICT (member_id) WHERE state IN ('queued', 'running') DO NOTHING
RETURNING id, member_id, state, steps_done, steps, size_bytes, created_at, finished_at, expires_at
"""
UNDER_WAY: Final = """
SELECT id, member_id, state, steps_done, steps, size_bytes, created_at, finished_at, expires_at
  FROM member_export
 WHERE program_id = $1 AND member_id = $2 AND state IN ('queued', 'running')
"""
SELECT: Final = """
SELECT id, member_id, state, steps_done, steps, size_bytes, created_at, finished_at, expires_at
  FROM member_export
 WHERE program_id = $1 AND id = $2 AND ($3::text IS NULL OR member_id = $3)
"""
PAGE: Final = """
SELECT id, member_id, state, steps_done, steps, size_bytes, created_at, finished_at, expires_at
  FROM member_export
 WHERE program_id = $1 AND ($2 = '' OR id < $2) AND ($4::text IS NULL OR member_id = $4)
 ORDER BY id DESC LIMIT $3
"""
START: Final = """
UPDATE member_export SET state = 'running', steps_done = 0
 WHERE id = $1 AND state IN ('queued', 'running')
RETURNING program_id, member_id, language
"""
ADVANCE: Final = "UPDATE member_export SET steps_done = $2 WHERE id = $1 AND state = 'running'"
# Whoever erases the member has this lock, or waits for it: one of the two deletes the file.
IS_ERASED: Final = """
SELECT erased_at IS NOT NULL FROM member WHERE id = $1 FOR SHARE
"""
FINISH: Final = """
UPDATE member_export
   SET state = 'done', steps_done = steps, size_bytes = $2, finished_at = now(),
       expires_at = now() + make_interval(secs => $3)
 WHERE id = $1 AND state = 'running'
"""
CANCEL: Final = """
UPDATE member_export
   SET state = 'canceled', size_bytes = NULL, finished_at = now(), expires_at = NULL
 WHERE id = $1 AND state IN ('queued', 'running', 'done')
"""
OF_MEMBER: Final = """
SELECT id FROM member_export WHERE program_id = $1 AND member_id = $2 ORDER BY id
"""
OVERDUE: Final = """
SELECT program_id, id FROM member_export
 WHERE state = 'done' AND expires_at < now() ORDER BY expires_at LIMIT $1
"""
EXPIRE: Final = "UPDATE member_export SET state = 'expired' WHERE id = $1 AND state = 'done'"


class Export(msgspec.Struct, frozen=True, kw_only=True):
    """An export as it is shown."""

    id: str
    member_id: str
    state: State
    steps_done: int
    steps: int
    size_bytes: int | None
    created_at: dt.datetime
    finished_at: dt.datetime | None
    expires_at: dt.datetime | None


class Wanted(NamedTuple):
    """Of whom an export is, and the language of whoever asked for it."""

    program_id: str
    member_id: str
    language: str = templates.DEFAULT_LANGUAGE


def storage_key(program_id: str, export_id: str) -> str:
    """Where the file of an export is."""
    return f"exports/{program_id}/{export_id}.json"


async def add(
    db: Db,
    program_id: str,
    member_id: str,
    *,
    export_id: str,
    requested_by: str,
    language: str = templates.DEFAULT_LANGUAGE,
) -> Export:
    """Want an export if the caller's transaction commits, or the one that is under way;
    MemberNotFound, also when the member was erased."""
    steps = len(personal.EXPORTED)
    row = await db.fetchrow(ADD, program_id, member_id, export_id, steps, requested_by, language)
    if row is not None:
        await outbox.add(db, tasks.ExportMember(export_id))
        return Export(**row)
    row = await db.fetchrow(UNDER_WAY, program_id, member_id)
    if row is None:
        raise errors.MemberNotFound
    return Export(**row)


async def get(db: Db, program_id: str, export_id: str, *, member_id: str | None = None) -> Export:
    """The export, or ExportNotFound; also when it is not of the given member."""
    return _export(await db.fetchrow(SELECT, program_id, export_id, member_id))


async def page(
    db: Db, program_id: str, *, before: str, limit: int, member_id: str | None = None
) -> list[Export]:
    """Up to `limit` exports, the newest first."""
    return [Export(**row) for row in await db.fetch(PAGE, program_id, before, limit, member_id)]


async def start(db: Db, export_id: str) -> Wanted | None:
    """Of whom it is, or None when nothing is left to do."""
    row = await db.fetchrow(START, export_id)
    return None if row is None else Wanted(*row)


async def document(
    db: Db, ring: KeyRing, wanted: Wanted, advance: Callable[[int], Awaitable[None]]
) -> AsyncGenerator[bytes, None]:
    """The JSON document in pieces, as one moment had it; `advance` is told after each table."""
    program_id, member_id, _ = wanted
    async with db.transaction(isolation="repeatable_read", readonly=True):
        head: dict[str, object] = {"format": "stampgate.member", "version": 1}
        head |= {"program_id": program_id, "member_id": member_id}
        yield msgspec.json.encode(head)[:-1] + b',"data":{'
        for number, table in enumerate(personal.EXPORTED, 1):
            yield (b',"' if number > 1 else b'"') + table.name.encode() + b'":['
            separator = b"\n"
            async for row in personal.rows(db, ring, table, program_id, member_id):
                yield separator + row
                separator = b",\n"
            yield b"]"
            await advance(number)
        yield b"}}\n"


async def advance(db: Db, export_id: str, steps_done: int) -> None:
    """Show how far it is."""
    await db.execute(ADVANCE, export_id, steps_done)


async def finish(db: Db, export_id: str, wanted: Wanted, *, size_bytes: int, ttl_s: int) -> bool:
    """The file is there; False when its member was erased meanwhile, and the file must go. In the
    caller's transaction."""
    if await db.fetchval(IS_ERASED, wanted.member_id):
        await db.execute(CANCEL, export_id)
        return False
    await db.execute(FINISH, export_id, size_bytes, ttl_s)
    return True


async def of_member(db: Db, program_id: str, member_id: str) -> list[str]:
    """All exports there ever were of a member."""
    return [row["id"] for row in await db.fetch(OF_MEMBER, program_id, member_id)]


async def cancel(db: Db, export_id: str) -> None:
    """The file is gone because the member is; no export of its is made any more."""
    await db.execute(CANCEL, export_id)


async def overdue(db: Db, limit: int) -> list[tuple[str, str]]:
    """(program id, export id) of exports whose time is over."""
    return [(row["program_id"], row["id"]) for row in await db.fetch(OVERDUE, limit)]


async def expire(db: Db, export_id: str) -> None:
    """The file is gone because its time is over."""
    await db.execute(EXPIRE, export_id)


def _export(row: asyncpg.Record | None) -> Export:
    if row is None:
        raise errors.ExportNotFound
    return Export(**row)
