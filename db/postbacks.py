"""Calls of networks, as they came in. Those without a verdict wait to be read."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from core import errors
from core.conversions import Verdict
from core.providers.affiliate.report import Postback
from db.pg import Db

INSERT: Final = """
INSERT INTO postback (id, program_id, network_id, received_at, method, query, headers, body,
                      verdict, detail, processed_at)
SELECT id, program_id, network_id, received_at, method, query, headers::jsonb, body, verdict,
       detail, CASE WHEN verdict IS NOT NULL THEN received_at END
  FROM unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[],
              $7::text[], $8::bytea[], $9::text[], $10::text[])
       AS new (id, program_id, network_id, received_at, method, query, headers, body, verdict,
               detail)
"""
# Network by network along the index: one whose calls cannot be read keeps no other waiting.
WAITING: Final = """
WITH RECURSIVE waiting AS (
    (SELECT program_id, network_id, id FROM postback WHERE verdict IS NULL
      ORDER BY network_id, id LIMIT 1)
    UNION ALL
    SELECT next.* FROM waiting CROSS JOIN LATERAL (
        SELECT program_id, network_id, id FROM postback
         WHERE verdict IS NULL AND network_id > waiting.network_id
         ORDER BY network_id, id LIMIT 1) AS next
)
SELECT program_id, network_id FROM waiting ORDER BY id LIMIT $1
"""
UNREAD: Final = """
SELECT id, received_at, method, query, headers, body FROM postback
 WHERE program_id = $1 AND network_id = $2 AND verdict IS NULL
   AND ($3::text IS NULL OR id = $3)
 ORDER BY id LIMIT $4
"""
JUDGE: Final = """
UPDATE postback SET verdict = new.verdict, detail = new.detail,
       conversion_id = new.conversion_id, processed_at = $2
  FROM unnest($3::text[], $4::text[], $5::text[], $6::text[])
       AS new (id, verdict, detail, conversion_id)
 WHERE postback.id = new.id AND program_id = $1
"""
SELECT: Final = """
SELECT id, network_id, received_at, method, query, headers, body, verdict, detail, conversion_id,
       processed_at
  FROM postback WHERE program_id = $1 AND id = $2
"""
PAGE: Final = """
SELECT id, network_id, received_at, method, query, headers, body, verdict, detail, conversion_id,
       processed_at
  FROM postback
 WHERE program_id = $1 AND network_id = $2 AND ($3 = '' OR id < $3)
   AND ($4::text IS NULL OR verdict = $4)
 ORDER BY id DESC LIMIT $5
"""
UNREAD_IDS: Final = """
SELECT id FROM postback WHERE program_id = $1 AND network_id = $2 AND verdict IS NULL
 ORDER BY id LIMIT $3
"""
OF_CONVERSIONS: Final = """
SELECT id, received_at, verdict, conversion_id FROM postback
 WHERE program_id = $1 AND conversion_id = ANY($2::text[]) ORDER BY id LIMIT $3
"""
# By age alone, of all programs.
DELETE_OLD: Final = "DELETE FROM postback WHERE received_at < $1 AND verdict IS NOT NULL"


class New(NamedTuple):
    """A call; one that is refused at the door has its verdict at once."""

    id: str
    program_id: str
    network_id: str
    received_at: dt.datetime
    method: str
    query: str
    headers: str
    body: bytes
    verdict: str | None
    detail: str | None


class Call(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it is stored."""

    id: str
    network_id: str
    received_at: dt.datetime
    said: Postback
    verdict: str | None = None
    detail: str | None = None
    conversion_id: str | None = None
    processed_at: dt.datetime | None = None


class Heard(NamedTuple):
    """That a network called, and what came of it."""

    id: str
    received_at: dt.datetime
    verdict: str | None
    conversion_id: str | None


async def add(db: Db, calls: Sequence[New]) -> None:
    """Store these calls."""
    await db.execute(INSERT, *map(list, zip(*calls, strict=True)))


async def waiting(db: Db, limit: int) -> list[tuple[str, str]]:
    """Program and network of up to `limit` networks with calls that nobody has read."""
    return [(row["program_id"], row["network_id"]) for row in await db.fetch(WAITING, limit)]


async def unread(
    db: Db, program_id: str, network_id: str, *, limit: int, only: str | None = None
) -> list[Call]:
    """Calls of a locked network that nobody has read, oldest first."""
    rows = await db.fetch(UNREAD, program_id, network_id, only, limit)
    return [_call({**row, "network_id": network_id}) for row in rows]


async def judge(
    db: Db, program_id: str, verdicts: Sequence[tuple[str, Verdict]], now: dt.datetime
) -> None:
    """Note what became of calls."""
    rows = [(one, v.word, v.detail or None, v.conversion_id) for one, v in verdicts]
    await db.execute(JUDGE, program_id, now, *map(list, zip(*rows, strict=True)))


async def get(db: Db, program_id: str, postback_id: str) -> Call:
    """The call, or PostbackNotFound."""
    row = await db.fetchrow(SELECT, program_id, postback_id)
    if row is None:
        raise errors.PostbackNotFound
    return _call(dict(row))


async def page(
    db: Db, program_id: str, network_id: str, *, before: str, limit: int, verdict: str | None
) -> list[Call]:
    """Up to `limit` calls of a network, the newest first."""
    rows = await db.fetch(PAGE, program_id, network_id, before, verdict, limit)
    return [_call(dict(row)) for row in rows]


async def unread_ids(db: Db, program_id: str, network_id: str, limit: int) -> list[str]:
    """The oldest calls that nobody has read."""
    rows = await db.fetch(UNREAD_IDS, program_id, network_id, limit)
    return [row["id"] for row in rows]


async def of_conversions(
    db: Db, program_id: str, conversion_ids: Sequence[str], limit: int
) -> list[Heard]:
    """The first calls that conversions are made of, oldest first."""
    rows = await db.fetch(OF_CONVERSIONS, program_id, list(conversion_ids), limit)
    return [Heard(*row) for row in rows]


async def delete_old(db: Db, before: dt.datetime) -> None:
    """Forget calls that came before this, and were read."""
    await db.execute(DELETE_OLD, before)


def headers_json(headers: dict[str, str]) -> str:
    """The stored form of headers."""
    return msgspec.json.encode(headers).decode()


def _call(row: dict[str, Any]) -> Call:
    said = Postback(
        method=row.pop("method"),
        query=row.pop("query"),
        headers=msgspec.json.decode(row.pop("headers")),
        body=row.pop("body"),
    )
    return Call(said=said, **row)
