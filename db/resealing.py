"""Bringing sealed columns, and the hashes beside them, under the active field key.

It goes through a column by id, a portion at a time, and replaces a value only if it is still the
one that was read: it may be killed, repeated, and run beside everything else.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, fields
from core.contacts import Contact
from core.keyring import KeyRing
from core.kyc import Document
from core.payout_methods import Details
from db import (
    contacts,
    identities,
    kyc,
    operators,
    payout_methods,
    plain,
    push_subscriptions,
    sealing,
)
from db.pg import Db

PORTION: Final = 500
# A column of which nothing is to be done any more is read to its end.
TIMEOUT_S: Final = 600

# A stored form names its key: 1 version · 1 length · the name. Answers of requests with a key, and
# sign-ups that wait, are not resealed, because they live for a day.
USED: Final = """
SELECT place, convert_from(substr(stored, 3, get_byte(stored, 1)), 'UTF8') AS key,
       count(*) AS how_many
  FROM (
    SELECT 'member.profile' AS place, profile AS stored FROM member
    UNION ALL SELECT 'webhook_endpoint.secret', sealed_secret FROM webhook_endpoint
    UNION ALL SELECT 'webhook_endpoint.secret', sealed_previous_secret FROM webhook_endpoint
    UNION ALL SELECT 'idempotency.answer', answer FROM idempotency WHERE get_byte(answer, 0) = 1
    UNION ALL SELECT 'member_contact.sealed', sealed FROM member_contact
    UNION ALL SELECT 'registration.contact', contact FROM registration
    UNION ALL SELECT 'registration.name', name FROM registration
    UNION ALL SELECT 'one_time_code.contact', contact FROM one_time_code
    UNION ALL SELECT 'totp.secret', secret FROM totp
    UNION ALL SELECT 'identity.subject', subject FROM identity
    UNION ALL SELECT 'identity.mail', mail FROM identity
    UNION ALL SELECT 'identity.refresh_token', refresh_token FROM identity
    UNION ALL SELECT 'push_subscription.address', address FROM push_subscription
    UNION ALL SELECT 'operator.email', email FROM operator
    UNION ALL SELECT 'operator.name', name FROM operator
    UNION ALL SELECT 'notification.address', address FROM notification
    UNION ALL SELECT 'notification.variables', variables FROM notification
    UNION ALL SELECT 'notice.variables', variables FROM notice
    UNION ALL SELECT 'kyc.document', document FROM kyc
    UNION ALL SELECT 'payout_method.details', details FROM payout_method
    UNION ALL SELECT 'withdrawal.destination', destination FROM withdrawal
    UNION ALL SELECT 'payout_event.body', body FROM payout_event
    UNION ALL SELECT 'network.credentials', credentials FROM network
    UNION ALL SELECT 'claim_evidence.content', content FROM claim_evidence
  ) AS value
 WHERE stored IS NOT NULL
 GROUP BY place, key ORDER BY place, key
"""
TOTP_SECRETS: Final = """
SELECT subject_id AS id, secret AS stored FROM totp
 WHERE subject_id > $1 AND substr(secret, 1, octet_length($2::bytea)) <> $2
 ORDER BY subject_id LIMIT $3
"""
SET_TOTP_SECRETS: Final = """
UPDATE totp SET secret = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE totp.subject_id = item.id AND secret = item.stored
"""
SUBJECTS: Final = """
SELECT id, subject AS stored, program_id, provider FROM identity
 WHERE id > $1 AND substr(subject, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_SUBJECTS: Final = """
UPDATE identity SET subject = item.sealed, subject_hash = item.hash
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS item (id, stored, sealed, hash)
 WHERE identity.id = item.id AND subject = item.stored
"""
MAILS: Final = """
SELECT id, mail AS stored FROM identity
 WHERE id > $1 AND substr(mail, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_MAILS: Final = """
UPDATE identity SET mail = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE identity.id = item.id AND mail = item.stored
"""
REFRESH_TOKENS: Final = """
SELECT id, refresh_token AS stored FROM identity
 WHERE id > $1 AND substr(refresh_token, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_REFRESH_TOKENS: Final = """
UPDATE identity SET refresh_token = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE identity.id = item.id AND refresh_token = item.stored
"""
PROFILES: Final = """
SELECT id, profile AS stored FROM member
 WHERE id > $1 AND substr(profile, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_PROFILES: Final = """
UPDATE member SET profile = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE member.id = item.id AND profile = item.stored
"""
SECRETS: Final = """
SELECT id, sealed_secret AS stored FROM webhook_endpoint
 WHERE id > $1 AND substr(sealed_secret, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_SECRETS: Final = """
UPDATE webhook_endpoint SET sealed_secret = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE webhook_endpoint.id = item.id AND sealed_secret = item.stored
"""
PREVIOUS_SECRETS: Final = """
SELECT id, sealed_previous_secret AS stored FROM webhook_endpoint
 WHERE id > $1 AND substr(sealed_previous_secret, 1, octet_length($2::bytea)) <> $2
 ORDER BY id LIMIT $3
"""
SET_PREVIOUS_SECRETS: Final = """
UPDATE webhook_endpoint SET sealed_previous_secret = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE webhook_endpoint.id = item.id AND sealed_previous_secret = item.stored
"""
ADDRESSES: Final = """
SELECT id, address AS stored FROM notification
 WHERE id > $1 AND substr(address, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_ADDRESSES: Final = """
UPDATE notification SET address = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE notification.id = item.id AND address = item.stored
"""
DEVICES: Final = """
SELECT id, address AS stored FROM push_subscription
 WHERE id > $1 AND substr(address, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_DEVICES: Final = """
UPDATE push_subscription SET address = item.sealed, hash = item.hash
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS item (id, stored, sealed, hash)
 WHERE push_subscription.id = item.id AND address = item.stored
"""
VARIABLES: Final = """
SELECT id, variables AS stored FROM notification
 WHERE id > $1 AND substr(variables, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_VARIABLES: Final = """
UPDATE notification SET variables = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE notification.id = item.id AND variables = item.stored
"""
NOTICES: Final = """
SELECT id, variables AS stored FROM notice
 WHERE id > $1 AND substr(variables, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_NOTICES: Final = """
UPDATE notice SET variables = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE notice.id = item.id AND variables = item.stored
"""
CONTACTS: Final = """
SELECT member_id || ' ' || channel AS id, member_id AS sealed_for, sealed AS stored, channel
  FROM member_contact
 WHERE member_id || ' ' || channel > $1 AND substr(sealed, 1, octet_length($2::bytea)) <> $2
 ORDER BY member_id || ' ' || channel LIMIT $3
"""
SET_CONTACTS: Final = """
UPDATE member_contact SET sealed = item.sealed, hash = item.hash
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS item (id, stored, sealed, hash)
 WHERE member_id || ' ' || channel = item.id AND member_contact.sealed = item.stored
"""
EMAILS: Final = """
SELECT id, email AS stored FROM operator
 WHERE id > $1 AND substr(email, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_EMAILS: Final = """
UPDATE operator SET email = item.sealed, email_hash = item.hash
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS item (id, stored, sealed, hash)
 WHERE operator.id = item.id AND email = item.stored
"""
NAMES: Final = """
SELECT id, name AS stored FROM operator
 WHERE id > $1 AND substr(name, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_NAMES: Final = """
UPDATE operator SET name = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE operator.id = item.id AND name = item.stored
"""
DOCUMENTS: Final = """
SELECT member_id AS id, document AS stored FROM kyc
 WHERE member_id > $1 AND substr(document, 1, octet_length($2::bytea)) <> $2
 ORDER BY member_id LIMIT $3
"""
SET_DOCUMENTS: Final = """
UPDATE kyc SET document = item.sealed, document_hash = item.hash
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS item (id, stored, sealed, hash)
 WHERE kyc.member_id = item.id AND document = item.stored
"""
DETAILS: Final = """
SELECT id, details AS stored FROM payout_method
 WHERE id > $1 AND substr(details, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_DETAILS: Final = """
UPDATE payout_method SET details = item.sealed, details_hash = item.hash
  FROM unnest($1::text[], $2::bytea[], $3::bytea[], $4::bytea[]) AS item (id, stored, sealed, hash)
 WHERE payout_method.id = item.id AND details = item.stored
"""
CREDENTIALS: Final = """
SELECT id, credentials AS stored FROM network
 WHERE id > $1 AND substr(credentials, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_CREDENTIALS: Final = """
UPDATE network SET credentials = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE network.id = item.id AND credentials = item.stored
"""
DESTINATIONS: Final = """
SELECT id, destination AS stored FROM withdrawal
 WHERE id > $1 AND substr(destination, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_DESTINATIONS: Final = """
UPDATE withdrawal SET destination = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE withdrawal.id = item.id AND destination = item.stored
"""
EVIDENCE: Final = """
SELECT id, content AS stored FROM claim_evidence
 WHERE id > $1 AND substr(content, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_EVIDENCE: Final = """
UPDATE claim_evidence SET content = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE claim_evidence.id = item.id AND content = item.stored
"""

Rehash = Callable[[KeyRing, asyncpg.Record, str], bytes]


class Column(NamedTuple):
    """A sealed column: `name` is what its values are sealed for, `stale` finds those that are not
    under a key, `replace` puts others in their place; `rehash` makes the hash that a value is found
    by, of a row and the opened value. Hash and value are always under the same key.
    """

    name: str
    stale: str
    replace: str
    rehash: Rehash | None = None


def _contact_hash(ring: KeyRing, row: asyncpg.Record, address: str) -> bytes:
    return contacts.stored_hash(ring, Contact(row["channel"], address))


def _subject_hash(ring: KeyRing, row: asyncpg.Record, subject: str) -> bytes:
    return identities.stored_hash(ring, row["program_id"], row["provider"], subject)


def _email_hash(ring: KeyRing, _row: asyncpg.Record, address: str) -> bytes:
    return operators.stored_hash(ring, address)


def _device_hash(ring: KeyRing, _row: asyncpg.Record, address: str) -> bytes:
    return push_subscriptions.stored_hash(ring, address)


def _document_hash(ring: KeyRing, _row: asyncpg.Record, text: str) -> bytes:
    return kyc.stored_hash(ring, msgspec.json.decode(text, type=Document))


def _details_hash(ring: KeyRing, _row: asyncpg.Record, text: str) -> bytes:
    return payout_methods.stored_hash(ring, msgspec.json.decode(text, type=Details))


COLUMNS: Final = (
    Column("member.profile", PROFILES, SET_PROFILES),
    Column("webhook_endpoint.secret", SECRETS, SET_SECRETS),
    Column("webhook_endpoint.secret", PREVIOUS_SECRETS, SET_PREVIOUS_SECRETS),
    Column("member_contact.sealed", CONTACTS, SET_CONTACTS, _contact_hash),
    Column("totp.secret", TOTP_SECRETS, SET_TOTP_SECRETS),
    Column("identity.subject", SUBJECTS, SET_SUBJECTS, _subject_hash),
    Column("identity.mail", MAILS, SET_MAILS),
    Column("identity.refresh_token", REFRESH_TOKENS, SET_REFRESH_TOKENS),
    Column("push_subscription.address", DEVICES, SET_DEVICES, _device_hash),
    Column("operator.email", EMAILS, SET_EMAILS, _email_hash),
    Column("operator.name", NAMES, SET_NAMES),
    Column("notification.address", ADDRESSES, SET_ADDRESSES),
    Column("notification.variables", VARIABLES, SET_VARIABLES),
    Column("notice.variables", NOTICES, SET_NOTICES),
    Column("kyc.document", DOCUMENTS, SET_DOCUMENTS, _document_hash),
    Column("payout_method.details", DETAILS, SET_DETAILS, _details_hash),
    Column("withdrawal.destination", DESTINATIONS, SET_DESTINATIONS),
    Column("network.credentials", CREDENTIALS, SET_CREDENTIALS),
    Column("claim_evidence.content", EVIDENCE, SET_EVIDENCE),
)


class Position(NamedTuple):
    """How far a pass over several places has come: the place, and the last id in it."""

    part: int = 0
    after: str = ""


BEGIN: Final = Position()


class Use(NamedTuple):
    """How many values of a column are sealed with a key."""

    place: str
    key: str
    how_many: int


async def used(db: Db) -> list[Use]:
    """Which keys the stored values need."""
    return [Use(*row) for row in await db.fetch(USED, timeout=TIMEOUT_S)]


async def stale(db: Db, ring: KeyRing) -> int:
    """How many values `run` has to bring under the active key."""
    resealed = {column.name for column in COLUMNS}
    return await plain.left(db) + sum(
        use.how_many
        for use in await used(db)
        if use.key != ring.active_field and use.place in resealed
    )


async def run(db: Db, ring: KeyRing, progress: Callable[[int], object]) -> int:
    """Seal what is plain, reseal what is under another key than the active one; how many were.

    `progress` is told after each portion. Raises as `portion`; the portions before are done.
    """
    done = 0
    at: Position | None = BEGIN
    while at is not None:
        at, how_many = await portion(db, ring, at)
        done += how_many
        if how_many:
            progress(done)
    return done


async def portion(db: Db, ring: KeyRing, at: Position) -> tuple[Position | None, int]:
    """Do a portion of what is to be done from a position on: where to go on, None at the end, and
    how many values it was.

    Conflict before the post phase of the migration; BadField for a value that no key of the ring
    opens.
    """
    if not await sealing.is_sealing(db):
        raise errors.Conflict(
            "the old code may still run: first `stampgate migrate --phase post`, then this"
        )
    found = await _PARTS[at.part](db, ring, at.after)
    if found:
        return Position(at.part, found[-1]), len(found)
    return (Position(at.part + 1) if at.part + 1 < len(_PARTS) else None), 0


async def _reseal(column: Column, db: Db, ring: KeyRing, after: str) -> list[str]:
    rows = await db.fetch(column.stale, after, fields.prefix(ring), PORTION, timeout=TIMEOUT_S)
    sealed, hashes = [], []
    for row in rows:
        sealed_for = row.get("sealed_for", row["id"])
        text = sealing.unseal(ring, row["stored"], column.name, sealed_for)
        sealed.append(sealing.seal(ring, text, column.name, sealed_for))
        if column.rehash is not None:
            hashes.append(column.rehash(ring, row, text))
    found = [row["id"] for row in rows]
    if found:
        more = [hashes] if hashes else []
        await db.execute(column.replace, found, [row["stored"] for row in rows], sealed, *more)
    return found


_Part = Callable[[Db, KeyRing, str], Awaitable[list[str]]]
_PARTS: Final[tuple[_Part, ...]] = (
    *(plain.seal_members, plain.seal_secrets),
    *(partial(_reseal, column) for column in COLUMNS),
)
