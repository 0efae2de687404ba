"""Sessions of people who signed in. One session is one family of refresh tokens.

A refresh token is good once. Whoever comes with one that was used before, its owner or a thief,
ends the session: nobody can tell which of the two has the newest. There is no grace: a client that
lost the answer to its refresh signs in again.
"""

from __future__ import annotations

import datetime as dt

import msgspec

from core import errors, tokens
from core.roles import Role
from core.sessions import ADMIN_IDLE_S, BREAK_GLASS_S, Refresh
from core.settings import Settings
from db.pg import Db

# Locked, so that whoever suspends, bans or deletes the person finds this session and ends it.
OPEN_FOR_MEMBER = """
WITH person AS (
    SELECT id, program_id, 'member' AS role FROM member
     WHERE id = $2 AND deleted_at IS NULL AND banned_at IS NULL FOR SHARE
)
INSERT INTO session (id, program_id, subject_id, role, has_second_factor, family_hash, refresh_hash,
                     user_agent, address, expires_at)
SELECT $1, program_id, id, role, $3, $4, $5, $6, $7, now() + make_interval(secs => $8)
  FROM person
RETURNING id, program_id, subject_id, role, has_second_factor
"""
OPEN_FOR_OPERATOR = """
WITH person AS (
    SELECT id, program_id, role FROM operator WHERE id = $2 AND state = 'active' FOR SHARE
)
INSERT INTO session (id, program_id, subject_id, role, has_second_factor, family_hash, refresh_hash,
                     user_agent, address, expires_at)
SELECT $1, program_id, id, role, $3, $4, $5, $6, $7,
       now() + make_interval(secs => CASE role WHEN 'admin' THEN $9::integer ELSE $8::integer END)
  FROM person
RETURNING id, program_id, subject_id, role, has_second_factor
"""
ROTATE = """
UPDATE session
   SET refresh_hash = $4, last_used_at = now(), address = $7,
       expires_at = least(
           created_at + make_interval(secs => $8),
           now() + make_interval(
               secs => CASE role WHEN 'admin' THEN $6::integer ELSE $5::integer END))
 WHERE id = $1 AND family_hash = $2 AND refresh_hash = $3 AND revoked_at IS NULL
   AND expires_at > now() AND created_at > now() - make_interval(secs => $8)
RETURNING id, program_id, subject_id, role, has_second_factor
"""
WHY_NOT = """
SELECT id, program_id, subject_id, role, has_second_factor, revoked_at IS NOT NULL AS is_revoked,
       created_at <= now() - make_interval(secs => $3) AS is_old, expires_at <= now() AS is_expired
  FROM session WHERE id = $1 AND family_hash = $2
"""
# What a session had voids with it: the tokens that were issued for it, until the last has expired.
REVOKE = """
WITH ended AS (
    UPDATE session SET revoked_at = now()
     WHERE id = $1 AND subject_id = $2 AND revoked_at IS NULL RETURNING id
), noted AS (
    INSERT INTO revocation (id, until) SELECT id, now() + make_interval(secs => $3) FROM ended
)
SELECT id FROM ended
"""
REVOKE_ALL = """
WITH ended AS (
    UPDATE session SET revoked_at = now()
     WHERE subject_id = $1 AND id <> $2 AND revoked_at IS NULL RETURNING id
), noted AS (
    INSERT INTO revocation (id, until) SELECT id, now() + make_interval(secs => $3) FROM ended
)
SELECT id FROM ended
"""
PAGE = """
SELECT id, id = $2 AS is_current, has_second_factor, user_agent, address, created_at, last_used_at,
       expires_at
  FROM session
 WHERE subject_id = $1 AND id > $3 AND revoked_at IS NULL AND expires_at > now()
 ORDER BY id LIMIT $4
"""
DELETE_OLD = """
DELETE FROM session WHERE expires_at < now() - make_interval(secs => $1)
"""


class Lifetimes(msgspec.Struct, frozen=True):
    """How long access and refresh tokens are good for, and a session at most, in seconds."""

    access_s: int
    refresh_s: int
    session_s: int

    @property
    def admin_refresh_s(self) -> int:
        """An admin who has done nothing for so long signs in anew."""
        return min(self.refresh_s, ADMIN_IDLE_S)

    def access_of(self, role: Role) -> int:
        """How long an access token of this role is good for: an admin's never outlasts the rest."""
        return min(self.access_s, ADMIN_IDLE_S) if role == "admin" else self.access_s

    @property
    def void_s(self) -> int:
        """How long a revocation matters: until the last token of a session has expired everywhere,
        which may be one for breaking the glass.
        """
        return max(self.access_s, BREAK_GLASS_S) + 2 * tokens.LEEWAY_S


def lifetimes(settings: Settings) -> Lifetimes:
    """Those of the settings."""
    return Lifetimes(settings.access_ttl_s, settings.refresh_ttl_s, settings.session_max_s)


class Opening(msgspec.Struct, frozen=True, kw_only=True):
    """A session that is wanted: whose, how they proved it, and where they are."""

    subject_id: str
    is_member: bool
    has_second_factor: bool
    refresh: Refresh
    user_agent: str
    address: str | None


class Session(msgspec.Struct, frozen=True):
    """Whose session it is, and what they may."""

    id: str
    program_id: str | None
    subject_id: str
    role: Role
    has_second_factor: bool


class Reused(msgspec.Struct, frozen=True):
    """A refresh token came twice; its session has to end."""

    session: Session


class Shown(msgspec.Struct, frozen=True):
    """A session as its owner sees it; `address` stands for its /24 or /48."""

    id: str
    is_current: bool
    has_second_factor: bool
    user_agent: str
    address: str | None
    created_at: dt.datetime
    last_used_at: dt.datetime
    expires_at: dt.datetime


async def open(db: Db, opening: Opening, lifetimes: Lifetimes) -> Session:  # noqa: A001 - the verb
    """Begin a session; SignInRefused for a deleted or banned member or a suspended operator."""
    row = await db.fetchrow(
        OPEN_FOR_MEMBER if opening.is_member else OPEN_FOR_OPERATOR,
        opening.refresh.session_id,
        opening.subject_id,
        opening.has_second_factor,
        opening.refresh.family_hash,
        opening.refresh.secret_hash,
        opening.user_agent,
        opening.address,
        min(lifetimes.refresh_s, lifetimes.session_s),
        *(() if opening.is_member else (lifetimes.admin_refresh_s,)),
    )
    if row is None:
        raise errors.SignInRefused
    return Session(**row)


async def rotate(
    db: Db, used: Refresh, following: Refresh, lifetimes: Lifetimes, address: str | None
) -> Session | Reused:
    """Take a refresh token and put `following` in its place; of two that come with the same one,
    one succeeds. Reused when it had been used before: the caller revokes, in this transaction.

    Raises TokenInvalid, TokenExpired, SessionTooOld, and TokenRevoked for a session that has ended
    already.
    """
    row = await db.fetchrow(
        ROTATE,
        used.session_id,
        used.family_hash,
        used.secret_hash,
        following.secret_hash,
        lifetimes.refresh_s,
        lifetimes.admin_refresh_s,
        address,
        lifetimes.session_s,
    )
    if row is not None:
        return Session(**row)
    row = await db.fetchrow(WHY_NOT, used.session_id, used.family_hash, lifetimes.session_s)
    if row is None:
        raise errors.TokenInvalid("The refresh token is not one of ours.")
    *facts, is_revoked, is_old, is_expired = row
    if is_revoked:
        raise errors.TokenRevoked
    if is_old:
        raise errors.SessionTooOld
    if is_expired:
        raise errors.TokenExpired("The refresh token has expired; sign in again.")
    return Reused(Session(*facts))


async def revoke(db: Db, subject_id: str, session_id: str, lifetimes: Lifetimes) -> list[str]:
    """End one session of a person; which one, or none when it had ended or is somebody else's."""
    rows = await db.fetch(REVOKE, session_id, subject_id, lifetimes.void_s)
    return [row["id"] for row in rows]


async def revoke_all(db: Db, subject_id: str, lifetimes: Lifetimes, *, but: str = "") -> list[str]:
    """End all sessions of a person, but for one; which ones."""
    rows = await db.fetch(REVOKE_ALL, subject_id, but, lifetimes.void_s)
    return [row["id"] for row in rows]


async def page(db: Db, subject_id: str, current_id: str, *, after: str, limit: int) -> list[Shown]:
    """Up to `limit` living sessions with ids beyond `after`, oldest first."""
    return [Shown(**row) for row in await db.fetch(PAGE, subject_id, current_id, after, limit)]


async def delete_old(db: Db, seconds: int) -> None:
    """Forget sessions that ended so long ago."""
    await db.execute(DELETE_OLD, seconds)
