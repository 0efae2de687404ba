"""The second factor: authenticator apps, recovery codes, and sign-ins that wait for one of them.

As with one-time codes (db/codes.py), a wrong try is returned and not raised, because it counts
only if the caller's transaction commits. All that is decided about the second factor of one subject
is decided one after another, under the lock of its row.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import os
import secrets
from typing import Final

import asyncpg
import msgspec

from core import codes, errors, fields, totp
from core.keyring import KeyRing
from db.pg import Db

TOKEN_BYTES: Final = 32
CHALLENGE_TTL_S: Final = 300
CHALLENGE_WRONG_MAX: Final = 5

# An app that was enrolled and never confirmed gives way to the next one.
ENROLL: Final = """
INSERT INTO totp (subject_id, program_id, secret) VALUES ($1, $2, $3)
    ON CONFLICT (subject_id) DO UPDATE
   SET secret = excluded.secret, last_step = NULL, created_at = now()
 WHERE totp.enabled_at IS NULL
RETURNING subject_id
"""
SELECT_FOR_UPDATE: Final = """
SELECT secret, enabled_at, last_step,
       CASE WHEN wrong_since > to_timestamp($2::bigint / 1000.0) - interval '1 hour'
            THEN wrong ELSE 0 END AS wrong,
       (extract(epoch FROM wrong_since) * 1000)::bigint AS wrong_since_ms
  FROM totp WHERE subject_id = $1
   FOR UPDATE
"""
ACCEPT: Final = "UPDATE totp SET last_step = $2 WHERE subject_id = $1"
REFUSE: Final = """
UPDATE totp SET wrong = $2::smallint,
       wrong_since = CASE WHEN $2::smallint = 1 THEN to_timestamp($3::bigint / 1000.0)
                          ELSE wrong_since END
 WHERE subject_id = $1
"""
ENABLE: Final = """
UPDATE totp SET enabled_at = to_timestamp($2::bigint / 1000.0) WHERE subject_id = $1
"""
STATUS: Final = """
SELECT enabled_at, (SELECT count(*) FROM recovery_code
                     WHERE recovery_code.subject_id = totp.subject_id AND used_at IS NULL) AS left
  FROM totp WHERE subject_id = $1 AND enabled_at IS NOT NULL
"""
# The recovery codes go with it.
DELETE: Final = "DELETE FROM totp WHERE subject_id = $1 RETURNING enabled_at IS NOT NULL"
DELETE_RECOVERY: Final = "DELETE FROM recovery_code WHERE subject_id = $1"
INSERT_RECOVERY: Final = """
INSERT INTO recovery_code (subject_id, code_hash) SELECT $1, unnest($2::bytea[])
"""
USE_RECOVERY: Final = """
UPDATE recovery_code SET used_at = to_timestamp($3::bigint / 1000.0)
 WHERE subject_id = $1 AND code_hash = $2 AND used_at IS NULL
RETURNING subject_id
"""
OPEN: Final = """
INSERT INTO mfa_challenge (token_hash, program_id, subject_id, created_at)
SELECT $1, program_id, subject_id, to_timestamp($3::bigint / 1000.0)
  FROM totp WHERE subject_id = $2 AND enabled_at IS NOT NULL
RETURNING subject_id
"""
CHALLENGE_FOR_UPDATE: Final = """
SELECT subject_id FROM mfa_challenge
 WHERE token_hash = $1 AND used_at IS NULL AND wrong < $3
   AND created_at > to_timestamp($2::bigint / 1000.0) - make_interval(secs => $4)
   FOR UPDATE
"""
CHALLENGE_USED: Final = """
UPDATE mfa_challenge SET used_at = to_timestamp($2::bigint / 1000.0) WHERE token_hash = $1
"""
CHALLENGE_WRONG: Final = "UPDATE mfa_challenge SET wrong = wrong + 1 WHERE token_hash = $1"
DELETE_OLD: Final = """
DELETE FROM mfa_challenge WHERE created_at < to_timestamp($1::bigint / 1000.0) - interval '1 day'
"""
DELETE_CHALLENGES: Final = "DELETE FROM mfa_challenge WHERE subject_id = $1"


class Status(msgspec.Struct, frozen=True, kw_only=True):
    """Whether a second factor is asked for at sign-in, and how many recovery codes are left."""

    totp_enabled_at: dt.datetime | None = None
    recovery_codes_left: int = 0


async def status(db: Db, subject_id: str) -> Status:
    """The second factor of a subject."""
    row = await db.fetchrow(STATUS, subject_id)
    if row is None:
        return Status()
    return Status(totp_enabled_at=row["enabled_at"], recovery_codes_left=row["left"])


async def enroll(db: Db, ring: KeyRing, program_id: str | None, subject_id: str) -> str:
    """The secret of a new app, which counts once it is confirmed; TotpEnabled."""
    secret = totp.new_secret(os.urandom(totp.SECRET_BYTES))
    sealed = fields.seal(ring, secret, _context(subject_id), os.urandom(fields.NONCE_BYTES))
    if await db.fetchval(ENROLL, subject_id, program_id, sealed) is None:
        raise errors.TotpEnabled
    return secret


async def enable(
    db: Db, ring: KeyRing, subject_id: str, code: str, now_ms: int
) -> list[str] | None:
    """Ask for codes of the enrolled app from now on: the recovery codes, which are not shown again,
    or None when `code` is wrong. TotpEnabled, TotpNotEnrolled, RateLimited.
    """
    row = await db.fetchrow(SELECT_FOR_UPDATE, subject_id, now_ms)
    if row is None:
        raise errors.TotpNotEnrolled
    if row["enabled_at"] is not None:
        raise errors.TotpEnabled
    if not await _is_accepted(db, ring, subject_id, row, code, now_ms):
        return None
    await db.execute(ENABLE, subject_id, now_ms)
    return await _new_recovery_codes(db, subject_id)


async def check(db: Db, ring: KeyRing, subject_id: str, text: str, now_ms: int) -> bool:
    """Whether a code of the app, or a recovery code, is right; it is used thereby.

    TotpNotEnrolled; RateLimited after too many wrong codes, when only a recovery code still helps.
    """
    row = await db.fetchrow(SELECT_FOR_UPDATE, subject_id, now_ms)
    if row is None or row["enabled_at"] is None:
        raise errors.TotpNotEnrolled
    code = totp.typed(text)
    if len(code) == codes.DIGITS:
        return await _is_accepted(db, ring, subject_id, row, code, now_ms)
    digest = totp.recovery_digest(subject_id, code)
    return await db.fetchval(USE_RECOVERY, subject_id, digest, now_ms) is not None


async def disable(db: Db, subject_id: str) -> bool:
    """Ask for no second factor any more, and forget sign-ins that wait for it; whether one was
    asked for.
    """
    was_enabled = await db.fetchval(DELETE, subject_id)
    await give_up(db, subject_id)
    return bool(was_enabled)


async def give_up(db: Db, subject_id: str) -> None:
    """Let no sign-in be completed that waits for its second factor: its first one is void."""
    await db.execute(DELETE_CHALLENGES, subject_id)


async def renew_recovery_codes(db: Db, subject_id: str) -> list[str]:
    """New recovery codes in place of all old ones."""
    await db.execute(DELETE_RECOVERY, subject_id)
    return await _new_recovery_codes(db, subject_id)


async def challenge(db: Db, subject_id: str, now_ms: int) -> str | None:
    """The token of a sign-in that waits for its second factor; None when it needs none."""
    token = secrets.token_urlsafe(TOKEN_BYTES)
    opened = await db.fetchval(OPEN, _token_hash(token), subject_id, now_ms)
    return None if opened is None else token


async def answer(db: Db, ring: KeyRing, token: str, text: str, now_ms: int) -> str | None:
    """Whose sign-in is complete, if the second factor is right; None when it is wrong.

    MfaTokenInvalid for a token that was used, has expired or had too many wrong tries.
    """
    token_hash = _token_hash(token)
    row = await db.fetchrow(
        CHALLENGE_FOR_UPDATE, token_hash, now_ms, CHALLENGE_WRONG_MAX, CHALLENGE_TTL_S
    )
    if row is None:
        raise errors.MfaTokenInvalid
    if await check(db, ring, row["subject_id"], text, now_ms):
        await db.execute(CHALLENGE_USED, token_hash, now_ms)
        return str(row["subject_id"])
    await db.execute(CHALLENGE_WRONG, token_hash)
    return None


async def delete_old(db: Db, now_ms: int) -> None:
    """Forget sign-ins that were not completed long ago."""
    await db.execute(DELETE_OLD, now_ms)


async def _is_accepted(
    db: Db, ring: KeyRing, subject_id: str, row: asyncpg.Record, code: str, now_ms: int
) -> bool:
    if row["wrong"] >= totp.WRONG_PER_HOUR:
        wait_s = codes.HOUR_S - (now_ms - row["wrong_since_ms"]) // 1000
        raise errors.RateLimited("Too many codes were wrong.", retry_after_s=wait_s)
    secret = fields.unseal(ring, row["secret"], _context(subject_id))
    step = totp.accepted_step(secret, code, now_ms // 1000, row["last_step"])
    if step is None:
        await db.execute(REFUSE, subject_id, row["wrong"] + 1, now_ms)
        return False
    await db.execute(ACCEPT, subject_id, step)
    return True


async def _new_recovery_codes(db: Db, subject_id: str) -> list[str]:
    made = [
        totp.recovery_code(os.urandom(totp.RECOVERY_ENTROPY_BYTES))
        for _ in range(totp.RECOVERY_CODES)
    ]
    hashes = [totp.recovery_digest(subject_id, code) for code in made]
    await db.execute(INSERT_RECOVERY, subject_id, hashes)
    return made


def _token_hash(token: str) -> bytes:
    return hashlib.sha256(token.encode()).digest()


def _context(subject_id: str) -> str:
    return f"totp.secret:{subject_id}"
