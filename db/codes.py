"""One-time codes: who asked for one, and whether the one that was typed is right.

A wish is written down alike for every contact, whether it is known or not; `core.tasks.SendCode`
then looks for whom it is. A try is counted in the transaction that makes it, so that transaction
must commit whatever the outcome is: that is why a wrong code is returned, not raised. All that is
decided about one contact is decided one after another, under an advisory lock.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Final, NamedTuple

import asyncpg

from core import codes, errors, fields, ids, tasks
from core.codes import Limit, Purpose
from core.contacts import Contact
from core.keyring import KeyRing
from db import outbox
from db.pg import Db

# In the order of the keys: always contact, block, source, so that no two wait for each other.
LOCK: Final = """
SELECT pg_advisory_xact_lock(hashtextextended('one_time_code:' || encode(key, 'hex'), 0))
  FROM unnest($1::bytea[]) WITH ORDINALITY AS item (key, number) ORDER BY number
"""
HISTORY: Final = """
WITH asked AS (
    SELECT purpose, wrong, (extract(epoch FROM asked_at) * 1000)::bigint AS at_ms
      FROM one_time_code
     WHERE contact_hash = ANY($1::bytea[])
       AND asked_at > to_timestamp($5::bigint / 1000.0) - interval '1 day'
)
SELECT (SELECT max(at_ms) FROM asked WHERE purpose = $2) AS last,
       (SELECT at_ms FROM asked ORDER BY at_ms DESC OFFSET $6 - 1 LIMIT 1) AS nth,
       (SELECT (extract(epoch FROM asked_at) * 1000)::bigint FROM one_time_code
         WHERE block_hash = ANY($3::bytea[])
         ORDER BY asked_at DESC OFFSET $7 LIMIT 1) AS nth_of_block,
       (SELECT (extract(epoch FROM asked_at) * 1000)::bigint FROM one_time_code
         WHERE source_hash = ANY($4::bytea[])
         ORDER BY asked_at DESC OFFSET $8 LIMIT 1) AS nth_of_source,
       (SELECT min(at_ms) FROM asked WHERE wrong > 0) AS first_wrong,
       (SELECT coalesce(sum(wrong), 0) FROM asked) AS wrong
"""
INSERT: Final = """
INSERT INTO one_time_code
       (id, program_id, purpose, channel, language, contact, contact_hash, block_hash,
        source_hash, subject_id, asked_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, to_timestamp($11::bigint / 1000.0))
"""
LATEST: Final = """
SELECT id, code_hash, subject_id,
       used_at IS NULL AND wrong < $4
           AND asked_at > to_timestamp($3::bigint / 1000.0) - make_interval(secs => $5) AS is_alive
  FROM one_time_code WHERE contact_hash = ANY($1::bytea[]) AND purpose = $2
 ORDER BY asked_at DESC, id DESC LIMIT 1
"""
WRONG: Final = "UPDATE one_time_code SET wrong = wrong + 1 WHERE id = $1"
USED: Final = """
UPDATE one_time_code SET used_at = to_timestamp($2::bigint / 1000.0) WHERE id = $1
"""
TO_SEND: Final = """
SELECT id, program_id, purpose, channel, language, contact, subject_id,
       (extract(epoch FROM asked_at) * 1000)::bigint AS asked_at_ms
  FROM one_time_code
 WHERE id = $1 AND contact IS NOT NULL
   FOR UPDATE
"""
SENT: Final = """
UPDATE one_time_code SET subject_id = $2, code_hash = $3, contact = NULL WHERE id = $1
"""
DELETE_OLD: Final = """
DELETE FROM one_time_code WHERE asked_at < to_timestamp($1::bigint / 1000.0) - interval '1 day'
"""
FORGET: Final = "DELETE FROM one_time_code WHERE subject_id = $1"


class Limits(NamedTuple):
    """How many codes an hour may be asked for in a block of phone numbers, and from one source; 0
    for any number.
    """

    block: int
    source: int


class Aim(NamedTuple):
    """What a code is for, and where it is sent. `program_id` is None for operators."""

    program_id: str | None
    purpose: Purpose
    contact: Contact


class Wish(NamedTuple):
    """A code that is to be sent. `subject_id` is None when it is yet to be found out whose contact
    it is.
    """

    id: str
    aim: Aim
    language: str
    expires_at_ms: int
    subject_id: str | None


async def ask(
    db: Db,
    ring: KeyRing,
    aim: Aim,
    now_ms: int,
    *,
    language: str,
    source: str,
    limits: Limits,
    subject_id: str | None = None,
) -> None:
    """Have a code sent if the caller commits, in place of the one before; the same for a contact
    that nobody has. RateLimited, ProgramNotFound.

    `source` is who asks: a network, or somebody who is signed in. `subject_id` is given when it is
    known for whom the code is.
    """
    hashes, blocks = _hashes(ring, aim), _blocks(ring, aim)
    sources = _blinds(ring, aim.program_id, source, "source") if source else []
    await _lock(db, *(found[0] for found in (hashes, blocks, sources) if found))
    row = await db.fetchrow(
        HISTORY,
        *(hashes, aim.purpose, blocks, sources, now_ms, codes.SENDS.most),
        *(max(limits.block - 1, 0), max(limits.source - 1, 0)),
    )
    assert row is not None
    wait_s = codes.wait_s(now_ms, _moments(row, limits))
    if wait_s:
        raise errors.RateLimited("Too many codes were asked for.", retry_after_s=wait_s)
    code_id = ids.new("code", now_ms, os.urandom(ids.ENTROPY_BYTES))
    nonce = os.urandom(fields.NONCE_BYTES)
    sealed = fields.seal(ring, aim.contact.address, _context(code_id), nonce)
    try:
        await db.execute(
            INSERT,
            *(code_id, aim.program_id, aim.purpose, aim.contact.channel, language, sealed),
            *(_stored(ring, found) for found in (hashes, blocks, sources)),
            *(subject_id, now_ms),
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    await outbox.add(db, tasks.SendCode(code_id))


async def redeem(db: Db, ring: KeyRing, aim: Aim, code: str, now_ms: int) -> str | None:
    """For whom the code was, if it is the right one, which is thereby used; None otherwise.

    The caller commits in both cases: a wrong try counts. RateLimited after too many of a contact.
    """
    hashes = _hashes(ring, aim)
    await _lock(db, hashes[0])
    history = await db.fetchrow(
        HISTORY, hashes, aim.purpose, [], [], now_ms, codes.SENDS.most, 0, 0
    )
    assert history is not None
    wait_s = codes.wait_s(now_ms, [_wrong(history)])
    if wait_s:
        raise errors.RateLimited("Too many codes were wrong.", retry_after_s=wait_s)
    row = await db.fetchrow(LATEST, hashes, aim.purpose, now_ms, codes.WRONG_MAX, codes.TTL_S)
    # The comparison is made also when there is nothing to compare with.
    stored = None if row is None else row["code_hash"]
    is_right = codes.is_right(ring, "" if row is None else row["id"], code, stored)
    if row is None or not row["is_alive"]:
        return None
    if is_right:
        await db.execute(USED, row["id"], now_ms)
        return str(row["subject_id"])
    await db.execute(WRONG, row["id"])
    return None


async def to_send(db: Db, ring: KeyRing, code_id: str) -> Wish | None:
    """The wish, locked, or None when nothing is to be sent for it any more."""
    row = await db.fetchrow(TO_SEND, code_id)
    if row is None:
        return None
    address = fields.unseal(ring, row["contact"], _context(code_id))
    return Wish(
        row["id"],
        Aim(row["program_id"], row["purpose"], Contact(row["channel"], address)),
        row["language"],
        row["asked_at_ms"] + codes.TTL_S * 1000,
        row["subject_id"],
    )


async def fill(db: Db, ring: KeyRing, code_id: str, subject_id: str) -> str:
    """Make the code of a wish, for the one whose contact it is; the only place that knows it."""
    code = codes.new(os.urandom(codes.ENTROPY_BYTES))
    await db.execute(SENT, code_id, subject_id, codes.digest(ring, code_id, code))
    return code


async def drop(db: Db, code_id: str) -> None:
    """Send nothing for this wish, because nobody has the contact; all its tries are wrong."""
    await db.execute(SENT, code_id, None, None)


async def delete_old(db: Db, now_ms: int) -> None:
    """Forget what no limit counts any more."""
    await db.execute(DELETE_OLD, now_ms)


async def forget(db: Db, subject_id: str) -> None:
    """Forget the codes that were sent to a member or an operator."""
    await db.execute(FORGET, subject_id)


async def _lock(db: Db, *keys: bytes) -> None:
    await db.fetch(LOCK, keys)


def _moments(row: asyncpg.Record, limits: Limits) -> list[tuple[Limit, int | None]]:
    moments = [(codes.RESENDS, row["last"]), (codes.SENDS, row["nth"]), _wrong(row)]
    if limits.block:
        moments.append((Limit(limits.block, codes.HOUR_S), row["nth_of_block"]))
    if limits.source:
        moments.append((Limit(limits.source, codes.HOUR_S), row["nth_of_source"]))
    return moments


def _wrong(row: asyncpg.Record) -> tuple[Limit, int | None]:
    """Once too many were wrong, the day of the first of them must be over."""
    is_too_much = row["wrong"] >= codes.WRONG_PER_DAY
    return Limit(codes.WRONG_PER_DAY, codes.DAY_S), row["first_wrong"] if is_too_much else None


def _hashes(ring: KeyRing, aim: Aim) -> list[bytes]:
    return _blinds(ring, aim.program_id, ":".join(aim.contact), "contact")


def _blocks(ring: KeyRing, aim: Aim) -> list[bytes]:
    if aim.contact.channel != "phone":
        return []
    return _blinds(ring, aim.program_id, codes.block_of(aim.contact.address), "block")


def _blinds(ring: KeyRing, program_id: str | None, value: str, column: str) -> list[bytes]:
    """Programs know nothing of each other's contacts; operators are a realm of their own."""
    return fields.blinds(ring, f"{program_id or ''}:{value}", f"one_time_code.{column}_hash")


def _stored(ring: KeyRing, hashes: Sequence[bytes]) -> bytes | None:
    """The one of the active key."""
    return hashes[sorted(ring.field).index(ring.active_field)] if hashes else None


def _context(code_id: str) -> str:
    return f"one_time_code.contact:{code_id}"
