"""The chains of the audit log: giving entries their places, checking them, and retention.

One sealer at a time gives committed entries their places (`core.chain`), so that writers never wait
for each other; an entry waits for its place for about a second. What no longer has to be kept is
cut off: the chain's head says, under its seal, where the chain begins now.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from core import chain, errors
from core.chain import Content, Head, Kept, Link, Problem, Proof, Stored
from core.keyring import KeyRing
from db import keys, redis
from db.audit import EPOCH
from db.pg import Db

BATCH: Final = 1_000
PREFETCH: Final = 1_000
US: Final = dt.timedelta(microseconds=1)

# A second sealer goes home instead of waiting.
TRY_LOCK: Final = "SELECT pg_try_advisory_xact_lock(hashtextextended('audit sealer', 0))"
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended('audit sealer', 0))"

UNSEALED: Final = """
SELECT id, at, program_id, actor, actor_role, action, object_id, before, after, address,
       request_id, key, proof, position, digest, is_proven
  FROM audit_entry WHERE position IS NULL
 ORDER BY id LIMIT $1
"""
PLACE: Final = """
UPDATE audit_entry AS entry
   SET position = item.position, digest = item.digest, is_proven = item.is_proven
  FROM unnest($1::timestamptz[], $2::text[], $3::bigint[], $4::bytea[], $5::boolean[])
       AS item (at, id, position, digest, is_proven)
 WHERE entry.at = item.at AND entry.id = item.id AND entry.position IS NULL
"""
HEADS: Final = """
SELECT program_id, position, digest, cut_position, cut_digest, key, seal, sealed_at
  FROM audit_chain WHERE program_id = ANY($1::text[])
"""
CHAINS: Final = """
SELECT program_id FROM audit_chain
 UNION SELECT DISTINCT program_id FROM audit_entry
 ORDER BY 1
"""
OUTDATED: Final = """
SELECT program_id, position, digest, cut_position, cut_digest, key, seal, sealed_at
  FROM audit_chain WHERE key <> $1 LIMIT $2
"""
STORE_HEADS: Final = """
INSERT INTO audit_chain
       (program_id, position, digest, cut_position, cut_digest, key, seal)
SELECT * FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::bigint[], $5::bytea[],
                     $6::text[], $7::bytea[])
    ON CONFLICT (program_id) DO UPDATE
   SET position = excluded.position, digest = excluded.digest, key = excluded.key,
       cut_position = excluded.cut_position, cut_digest = excluded.cut_digest,
       seal = excluded.seal, sealed_at = now()
"""
DIGEST: Final = """
SELECT digest FROM audit_entry WHERE program_id = $1 AND position = $2
"""
WALK: Final = """
SELECT id, at, program_id, actor, actor_role, action, object_id, before, after, address,
       request_id, key, proof, position, digest, is_proven
  FROM audit_entry WHERE program_id = $1 AND position > $2
 ORDER BY position
"""
UNPLACED: Final = """
SELECT id, at, program_id, actor, actor_role, action, object_id, before, after, address,
       request_id, key, proof, position, digest, is_proven
  FROM audit_entry WHERE program_id = $1 AND position IS NULL
 ORDER BY id
"""
COUNT: Final = "SELECT count(*) FROM audit_entry WHERE program_id = $1 AND position > $2"
WAITING: Final = """
SELECT count(*) AS entries,
       coalesce(extract(epoch FROM now() - min(at)), 0)::float8 AS oldest_s
  FROM audit_entry WHERE position IS NULL
"""
USES_KEY: Final = """
SELECT EXISTS (SELECT FROM audit_chain WHERE key = $1)
    OR EXISTS (SELECT FROM audit_entry WHERE position IS NULL AND key = $1)
"""
PAST: Final = """
SELECT DISTINCT ON (program_id) program_id, position, digest
  FROM audit_entry WHERE at < $1 AND position IS NOT NULL
 ORDER BY program_id, position DESC
"""
KEEP_PARTITIONS: Final = "SELECT keep_audit_partitions($1, $2, $3)"
LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"


class Chain(NamedTuple):
    """A chain's head with its seal, which is None while nothing is sealed."""

    head: Head
    seal: Proof | None
    sealed_at: dt.datetime | None


class Sealed(NamedTuple):
    """What a turn of the sealer did: how many entries, and the heads `before` and `after` it."""

    entries: int
    before: dict[str, Head]
    after: dict[str, Head]


class Waiting(NamedTuple):
    """How many entries have no place yet, and for how long the oldest."""

    entries: int
    oldest_s: float


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """What a check found. `next_after` is where to go on when the chain is longer than the check.

    `unsealed` entries have no place yet; `head` is the one to keep elsewhere.
    """

    is_whole: bool
    checked: int
    unsealed: int
    position: int
    digest: str
    next_after: int | None
    problems: list[Problem]


async def seal(db: Db, ring: KeyRing) -> Sealed:
    """Give the oldest entries without a place theirs, in the caller's transaction.

    Does nothing while another sealer works. Heads that were sealed with an old key get a new seal.
    """
    if not await db.fetchval(TRY_LOCK):
        return Sealed(0, {}, {})
    found = [stored(row) for row in await db.fetch(UNSEALED, BATCH)]
    programs = {one.content.program_id for one in found}
    before = {name: known.head for name, known in (await heads(db, programs)).items()}
    after, links = _follow(ring, before, found)
    await db.execute(
        PLACE,
        [EPOCH + one.content.at_us * US for one in found],
        [one.content.id for one in found],
        *_columns(links, len(Link._fields)),
    )
    outdated = await db.fetch(OUTDATED, ring.active_field, BATCH)
    stale = {row["program_id"]: _chain(row).head for row in outdated}
    await _store(db, ring, (stale | after).values())
    return Sealed(len(found), before, after)


async def heads(db: Db, program_ids: Iterable[str]) -> dict[str, Chain]:
    """The chains of these programs, also of those that have none yet."""
    wanted = list(program_ids)
    found = {row["program_id"]: _chain(row) for row in await db.fetch(HEADS, wanted)}
    return {name: found.get(name, Chain(chain.start(name), None, None)) for name in wanted}


async def names(db: Db) -> list[str]:
    """The programs that have a chain; '' is the installation."""
    return [row["program_id"] for row in await db.fetch(CHAINS)]


async def length(db: Db, program_id: str, after: int = 0) -> int:
    """How many entries of the chain have a place behind `after`."""
    return int(await db.fetchval(COUNT, program_id, after) or 0)


async def verify(
    db: Db,
    ring: KeyRing,
    program_id: str,
    *,
    after: int = 0,
    limit: int | None = None,
    kept: Iterable[Kept] = (),
) -> Report:
    """Check up to `limit` entries behind the position `after`, in a transaction of the caller's
    that sees one state (repeatable read); InvalidRequest when the chain ends before.

    `kept` are heads that were kept elsewhere.
    """
    known = (await heads(db, [program_id]))[program_id]
    walk = chain.Walk(ring, await _behind(db, known.head, after), kept)
    is_cut_short = False
    async for row in db.cursor(WALK, program_id, walk.last.position, prefetch=PREFETCH):
        if walk.checked == limit:
            is_cut_short = True
            break
        walk.step(stored(row))
    if not is_cut_short:
        for row in await db.fetch(UNPLACED, program_id):
            walk.step(stored(row))
        walk.end(known.head, known.seal)
    return Report(
        is_whole=not walk.problems,
        checked=walk.checked,
        unsealed=walk.unsealed,
        position=walk.last.position,
        digest=walk.last.digest.hex(),
        next_after=walk.last.position if is_cut_short else None,
        problems=walk.problems,
    )


async def has(db: Db, head: Head, kept: Kept) -> bool:
    """Whether the chain still has a head that was kept; past retention nobody can tell."""
    if kept.position <= head.cut_position:
        return kept.position < head.cut_position or kept.digest == head.cut_digest
    if kept.position >= head.position:
        return kept == (head.position, head.digest)
    return bool(await db.fetchval(DIGEST, head.program_id, kept.position) == kept.digest)


async def waiting(db: Db) -> Waiting:
    """What waits for its place."""
    row = await db.fetchrow(WAITING)
    assert row is not None
    return Waiting(row["entries"], row["oldest_s"])


async def uses(db: Db, key: str) -> bool:
    """Whether the field key is still needed: a head is sealed with it, or an entry waits."""
    return bool(await db.fetchval(USES_KEY, key))


async def keep_partitions(
    db: Db, ring: KeyRing, today: dt.date, *, months_ahead: int, retention_days: int
) -> None:
    """Make partitions for the months to come; cut off and drop months that are wholly past
    retention; in a transaction."""
    oldest = (today - dt.timedelta(days=retention_days)).replace(day=1)
    await db.execute(LOCK_TIMEOUT)
    await db.execute(LOCK)
    past = {
        row["program_id"]: Kept(row["position"], row["digest"])
        for row in await db.fetch(PAST, dt.datetime.combine(oldest, dt.time(), dt.UTC))
    }
    known = await heads(db, past)
    cut = [
        known[name].head._replace(cut_position=end.position, cut_digest=end.digest)
        for name, end in past.items()
        if end.position > known[name].head.cut_position
    ]
    await _store(db, ring, cut)
    await db.execute(KEEP_PARTITIONS, today, months_ahead, oldest)


async def keep_heads(connection: redis.Connection, kept: Mapping[str, Head]) -> None:
    """Keep heads in Redis, where whoever changes PostgreSQL does not reach."""
    pairs = [
        text
        for name, head in kept.items()
        for text in (name, f"{head.position}:{head.digest.hex()}")
    ]
    if pairs:
        await connection.call("HSET", keys.audit_heads(), *pairs)


async def kept_heads(connection: redis.Connection, program_ids: Iterable[str]) -> dict[str, Kept]:
    """The heads that Redis has kept."""
    wanted = list(program_ids)
    texts = await connection.call("HMGET", keys.audit_heads(), *wanted)
    return {
        name: parse_head(text.decode()) for name, text in zip(wanted, texts, strict=True) if text
    }


async def all_kept_heads(connection: redis.Connection) -> dict[str, Kept]:
    """All heads that Redis has kept."""
    texts = iter(await connection.call("HGETALL", keys.audit_heads()))
    return {
        name.decode(): parse_head(text.decode()) for name, text in zip(texts, texts, strict=True)
    }


def parse_head(text: str) -> Kept:
    """A head as it is written down: the position and the digest in hexadecimal."""
    position, _, digest = text.partition(":")
    return Kept(int(position), bytes.fromhex(digest))


def stored(row: Any) -> Stored:
    """The entry of a row."""
    entry_id, at, *rest = row
    content = Content(entry_id, (at - EPOCH) // US, *rest[:9])
    proof = Proof(*rest[9:11])
    return Stored(content, proof, None if rest[11] is None else Link(*rest[11:14]))


def _follow(
    ring: KeyRing, before: Mapping[str, Head], found: Iterable[Stored]
) -> tuple[dict[str, Head], list[Link]]:
    after, links = dict(before), []
    for content, proof, _ in found:
        head = after[content.program_id]
        is_proven = chain.fits(ring, content, proof) is True
        link = chain.follow(head, content, proof, is_proven=is_proven)
        after[content.program_id] = head._replace(position=link.position, digest=link.digest)
        links.append(link)
    return after, links


async def _store(db: Db, ring: KeyRing, wanted: Iterable[Head]) -> None:
    rows = [(*head, *chain.seal(ring, head)) for head in wanted]
    if rows:
        await db.execute(STORE_HEADS, *_columns(rows, len(rows[0])))


async def _behind(db: Db, head: Head, after: int) -> Kept:
    if after > head.position:
        raise errors.InvalidRequest("The chain does not go as far as that.")
    if after <= head.cut_position:
        return Kept(head.cut_position, head.cut_digest)
    digest = await db.fetchval(DIGEST, head.program_id, after)
    return Kept(after, digest or b"")


def _columns(rows: Iterable[tuple[Any, ...]], count: int) -> list[list[Any]]:
    columns: list[list[Any]] = [[] for _ in range(count)]
    for row in rows:
        for column, value in zip(columns, row, strict=True):
            column.append(value)
    return columns


def _chain(row: Any) -> Chain:
    program_id, position, digest, cut_position, cut_digest, key, seal_, sealed_at = row
    head = Head(program_id, position, digest, cut_position, cut_digest)
    return Chain(head, Proof(key, seal_), sealed_at)
