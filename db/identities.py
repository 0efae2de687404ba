"""Identities of members at other providers: sealed, found by the keyed hash of their subject."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Collection
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import contacts, errors, fields
from core.contacts import Contact
from core.keyring import KeyRing
from core.providers.social.flow import Profile
from db import contacts as stored_contacts
from db import members
from db.members import NewMember
from db.pg import Db
from db.sign_ins import Proof

CONTEXT: Final = "identity.subject_hash"
#: Longer than a provider may take to answer, so that nobody refreshes beside somebody else.
REFRESHING_S: Final = 60

# Two browsers of one person may sign in for the first time at once.
LOCK: Final = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
FIND: Final = """
SELECT identity.id, member_id FROM identity JOIN member ON member.id = member_id
 WHERE identity.program_id = $1 AND provider = $2 AND subject_hash = ANY($3::bytea[])
   AND deleted_at IS NULL
"""
INSERT: Final = """
INSERT INTO identity (id, program_id, member_id, provider, subject, subject_hash, mail,
                      refresh_token)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
RETURNING created_at, last_used_at
"""
USE: Final = """
UPDATE identity
   SET last_used_at = now(), mail = $2, refresh_token = coalesce($3, refresh_token),
       refreshing_until = CASE WHEN $3 IS NULL THEN refreshing_until END
 WHERE id = $1
RETURNING created_at, last_used_at
"""
OF_MEMBER: Final = """
SELECT id, provider, mail, created_at, last_used_at FROM identity
 WHERE program_id = $1 AND member_id = $2 ORDER BY provider
"""
# Whoever unlinks waits here for another who does, and then sees what is left.
LOCK_MEMBER: Final = """
SELECT id FROM member WHERE id = $2 AND program_id = $1 AND deleted_at IS NULL
   FOR NO KEY UPDATE
"""
UNLINK: Final = """
DELETE FROM identity WHERE program_id = $1 AND member_id = $2 AND provider = $3 RETURNING id
"""
OTHER_WAYS: Final = """
SELECT EXISTS (SELECT FROM member_contact
                WHERE program_id = $1 AND member_id = $2
                  AND (verified_at IS NOT NULL
                       OR EXISTS (SELECT FROM credential WHERE subject_id = $2)))
    OR EXISTS (SELECT FROM identity
                WHERE program_id = $1 AND member_id = $2 AND provider = ANY($3::text[]))
"""
FORGET: Final = "DELETE FROM identity WHERE program_id = $1 AND member_id = $2"
LEASE: Final = """
UPDATE identity SET refreshing_until = now() + make_interval(secs => $2)
 WHERE id = $1 AND refresh_token IS NOT NULL
   AND (refreshing_until IS NULL OR refreshing_until < now())
RETURNING provider, refresh_token, refreshing_until
"""
END_LEASE: Final = """
UPDATE identity
   SET refreshing_until = NULL,
       refresh_token = CASE WHEN $3 THEN $4 ELSE refresh_token END
 WHERE id = $1 AND refreshing_until = $2
RETURNING id
"""


class Identity(msgspec.Struct, frozen=True, kw_only=True):
    """An identity as its member sees it."""

    provider: str
    mail: str | None
    linked_at: dt.datetime
    last_used_at: dt.datetime


class SignedIn(NamedTuple):
    """Whose identity it is, and what had to be done for it."""

    member_id: str
    is_new_member: bool = False
    is_new_link: bool = False


class Lease(NamedTuple):
    """The right to refresh an identity's tokens for a while."""

    identity_id: str
    provider: str
    refresh_token: str
    until: dt.datetime

    def __repr__(self) -> str:
        return f"Lease({self.identity_id}, {self.provider})"


class _Known(NamedTuple):
    id: str
    member_id: str


def stored_hash(ring: KeyRing, program_id: str, provider: str, subject: str) -> bytes:
    """The hash under which a subject is stored from now on."""
    return fields.blind(ring, _hashed(program_id, provider, subject), CONTEXT)


async def sign_in(
    db: Db, ring: KeyRing, proof: Proof, *, identity_id: str, member_id: str
) -> SignedIn:
    """The member who has the proven identity, in the caller's transaction.

    An identity that nobody has yet goes to the member with its mail address, if both the provider
    and we have verified that: otherwise MailTaken, because whoever controls one of the two need not
    be the other. Without such a member, a new one is made. The ids are for what is made.
    """
    profile = proof.profile
    known = await _find(db, ring, proof)
    if known is not None:
        await _use(db, ring, known.id, proof)
        return SignedIn(known.member_id)
    mail = _contact(profile)
    found = None if mail is None else await stored_contacts.find(db, ring, proof.program_id, mail)
    if found is not None:
        if not (found.is_verified and profile.is_mail_verified):
            raise errors.MailTaken
        await _add(db, ring, identity_id, found.member_id, proof)
        return SignedIn(found.member_id, is_new_link=True)
    await members.add(db, ring, proof.program_id, member_id, NewMember(name=profile.name))
    if mail is not None and profile.is_mail_verified:
        await stored_contacts.put(db, ring, proof.program_id, member_id, mail, is_verified=True)
    await _add(db, ring, identity_id, member_id, proof)
    return SignedIn(member_id, is_new_member=True, is_new_link=True)


async def link(
    db: Db, ring: KeyRing, proof: Proof, *, identity_id: str, member_id: str
) -> Identity:
    """Give the proven identity to the member; IdentityTaken, ProviderLinked, MemberNotFound.

    Linking again what is linked changes nothing but its tokens.
    """
    known = await _find(db, ring, proof)
    if await db.fetchval(LOCK_MEMBER, proof.program_id, member_id) is None:
        raise errors.MemberNotFound
    if known is None:
        row = await _add(db, ring, identity_id, member_id, proof)
    elif known.member_id == member_id:
        row = await _use(db, ring, known.id, proof)
    else:
        raise errors.IdentityTaken
    return Identity(
        provider=proof.provider,
        mail=proof.profile.mail,
        linked_at=row["created_at"],
        last_used_at=row["last_used_at"],
    )


async def of_member(db: Db, ring: KeyRing, program_id: str, member_id: str) -> list[Identity]:
    """The member's identities, by provider."""
    return [
        Identity(
            provider=row["provider"],
            mail=_unsealed(ring, row["mail"], "mail", row["id"]),
            linked_at=row["created_at"],
            last_used_at=row["last_used_at"],
        )
        for row in await db.fetch(OF_MEMBER, program_id, member_id)
    ]


async def unlink(
    db: Db, program_id: str, member_id: str, provider: str, *, usable: Collection[str]
) -> str:
    """Take an identity and its tokens from the member, in the caller's transaction; its id.

    IdentityNotFound; LastSignInWay when the member could not sign in any more: with a verified
    contact, a password or an identity of a `usable` provider.
    """
    await db.fetchval(LOCK_MEMBER, program_id, member_id)
    unlinked = await db.fetchval(UNLINK, program_id, member_id, provider)
    if unlinked is None:
        raise errors.IdentityNotFound
    if not await db.fetchval(OTHER_WAYS, program_id, member_id, list(usable)):
        raise errors.LastSignInWay
    return str(unlinked)


async def forget(db: Db, program_id: str, member_id: str) -> None:
    """Forget all identities of a member."""
    await db.execute(FORGET, program_id, member_id)


async def lease(db: Db, ring: KeyRing, identity_id: str) -> Lease | None:
    """The right to refresh for REFRESHING_S; None when another has it, or there is no token.

    Some providers replace a refresh token at each use and end all of them when an old one comes.
    """
    row = await db.fetchrow(LEASE, identity_id, REFRESHING_S)
    if row is None:
        return None
    refresh_token = _unsealed(ring, row["refresh_token"], "refresh_token", identity_id)
    assert refresh_token is not None
    return Lease(identity_id, row["provider"], refresh_token, row["refreshing_until"])


async def end_lease(
    db: Db, ring: KeyRing, held: Lease, *, refresh_token: str | None, is_replaced: bool
) -> bool:
    """Give the right back, with the token that replaces the old one, or None for no token at all.

    False when the right had passed to another, or the identity was unlinked: nothing is stored.
    """
    sealed = _sealed(ring, refresh_token, "refresh_token", held.identity_id)
    return (
        await db.fetchval(END_LEASE, held.identity_id, held.until, is_replaced, sealed) is not None
    )


async def _find(db: Db, ring: KeyRing, proof: Proof) -> _Known | None:
    hashes = _hashes(ring, proof)
    await db.execute(LOCK, f"identity:{hashes[0].hex()}")
    row = await db.fetchrow(FIND, proof.program_id, proof.provider, hashes)
    return None if row is None else _Known(*row)


async def _add(
    db: Db, ring: KeyRing, identity_id: str, member_id: str, proof: Proof
) -> asyncpg.Record:
    profile = proof.profile
    try:
        row = await db.fetchrow(
            INSERT,
            identity_id,
            proof.program_id,
            member_id,
            proof.provider,
            _sealed(ring, profile.subject, "subject", identity_id),
            stored_hash(ring, proof.program_id, proof.provider, profile.subject),
            _sealed(ring, profile.mail, "mail", identity_id),
            _sealed(ring, proof.refresh_token, "refresh_token", identity_id),
        )
    except asyncpg.UniqueViolationError as error:
        if error.constraint_name == "identity_provider_is_linked_once":
            raise errors.ProviderLinked from None
        raise errors.IdentityTaken from None
    assert row is not None
    return row


async def _use(db: Db, ring: KeyRing, identity_id: str, proof: Proof) -> asyncpg.Record:
    row = await db.fetchrow(
        USE,
        identity_id,
        _sealed(ring, proof.profile.mail, "mail", identity_id),
        _sealed(ring, proof.refresh_token, "refresh_token", identity_id),
    )
    assert row is not None
    return row


def _contact(profile: Profile) -> Contact | None:
    try:
        return None if profile.mail is None else contacts.email(profile.mail)
    except errors.InvalidRequest:
        return None


def _hashes(ring: KeyRing, proof: Proof) -> list[bytes]:
    value = _hashed(proof.program_id, proof.provider, proof.profile.subject)
    return fields.blinds(ring, value, CONTEXT)


def _hashed(program_id: str, provider: str, subject: str) -> str:
    """Of the program too: nobody sees that members of two programs are one person."""
    return f"{program_id}:{provider}:{subject}"


def _sealed(ring: KeyRing, text: str | None, column: str, identity_id: str) -> bytes | None:
    if text is None:
        return None
    nonce = os.urandom(fields.NONCE_BYTES)
    return fields.seal(ring, text, f"identity.{column}:{identity_id}", nonce)


def _unsealed(ring: KeyRing, stored: bytes | None, column: str, identity_id: str) -> str | None:
    if stored is None:
        return None
    return fields.unseal(ring, stored, f"identity.{column}:{identity_id}")
