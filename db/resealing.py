"""Bringing sealed columns under the active field key, and the plain ones of 0.1.0 under a seal.

It goes through a column by id, a portion at a time, and replaces a value only if it is still the
one that was read: it may be killed, repeated, and run beside everything else.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, NamedTuple

import msgspec

from core import errors, fields
from core.keyring import KeyRing
from db import members, sealing, webhooks
from db.pg import Db

PORTION: Final = 500

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
    UNION ALL SELECT 'kyc.document', document FROM kyc
    UNION ALL SELECT 'payout_method.details', details FROM payout_method
    UNION ALL SELECT 'withdrawal.destination', destination FROM withdrawal
    UNION ALL SELECT 'payout_event.body', body FROM payout_event
    UNION ALL SELECT 'network.credentials', credentials FROM network
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
SELECT id, subject AS stored FROM identity
 WHERE id > $1 AND substr(subject, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_SUBJECTS: Final = """
UPDATE identity SET subject = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
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

# What is found by a keyed hash, which does not name its key.
HASHED: Final = """
SELECT (SELECT count(*) FROM member_contact) + (SELECT count(*) FROM operator)
     + (SELECT count(*) FROM identity) + (SELECT count(*) FROM push_subscription)
     + (SELECT count(*) FROM kyc) + (SELECT count(*) FROM payout_method)
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
UPDATE push_subscription SET address = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
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

CONTACTS: Final = """
SELECT member_id || ' ' || channel AS id, member_id AS sealed_for, sealed AS stored
  FROM member_contact
 WHERE member_id || ' ' || channel > $1 AND substr(sealed, 1, octet_length($2::bytea)) <> $2
 ORDER BY member_id || ' ' || channel LIMIT $3
"""
SET_CONTACTS: Final = """
UPDATE member_contact SET sealed = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE member_id || ' ' || channel = item.id AND member_contact.sealed = item.stored
"""
EMAILS: Final = """
SELECT id, email AS stored FROM operator
 WHERE id > $1 AND substr(email, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_EMAILS: Final = """
UPDATE operator SET email = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
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
UPDATE kyc SET document = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
 WHERE kyc.member_id = item.id AND document = item.stored
"""
DETAILS: Final = """
SELECT id, details AS stored FROM payout_method
 WHERE id > $1 AND substr(details, 1, octet_length($2::bytea)) <> $2 ORDER BY id LIMIT $3
"""
SET_DETAILS: Final = """
UPDATE payout_method SET details = item.sealed
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS item (id, stored, sealed)
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

PLAIN: Final = """
SELECT (SELECT count(*) FROM member WHERE name IS NOT NULL OR attributes <> '{}')
     + (SELECT count(*) FROM webhook_endpoint
         WHERE secret IS NOT NULL OR previous_secret IS NOT NULL)
"""
PLAIN_MEMBERS: Final = """
SELECT id, name, attributes, profile FROM member
 WHERE id > $1 AND (name IS NOT NULL OR attributes <> '{}') ORDER BY id LIMIT $2
"""
SEAL_MEMBERS: Final = """
UPDATE member SET profile = item.sealed, name = NULL, attributes = '{}'
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[])
       AS item (id, name, attributes, stored, sealed)
 WHERE member.id = item.id AND member.name IS NOT DISTINCT FROM item.name
   AND member.attributes = item.attributes::jsonb
   AND member.profile IS NOT DISTINCT FROM item.stored
"""
PLAIN_SECRETS: Final = """
SELECT id, secret, previous_secret FROM webhook_endpoint
 WHERE id > $1 AND (secret IS NOT NULL OR previous_secret IS NOT NULL) ORDER BY id LIMIT $2
"""
SEAL_SECRETS: Final = """
UPDATE webhook_endpoint
   SET sealed_secret = coalesce(sealed_secret, item.secret), secret = NULL,
       sealed_previous_secret = coalesce(sealed_previous_secret, item.previous_secret),
       previous_secret = NULL
  FROM unnest($1::text[], $2::text[], $3::text[], $4::bytea[], $5::bytea[])
       AS item (id, plain_secret, plain_previous_secret, secret, previous_secret)
 WHERE webhook_endpoint.id = item.id
   AND webhook_endpoint.secret IS NOT DISTINCT FROM item.plain_secret
   AND webhook_endpoint.previous_secret IS NOT DISTINCT FROM item.plain_previous_secret
"""


class Column(NamedTuple):
    """A sealed column: `name` is what its values are sealed for, `stale` finds those that are not
    under a key, `replace` puts others in their place."""

    name: str
    stale: str
    replace: str


COLUMNS: Final = (
    Column("member.profile", PROFILES, SET_PROFILES),
    Column("webhook_endpoint.secret", SECRETS, SET_SECRETS),
    Column("webhook_endpoint.secret", PREVIOUS_SECRETS, SET_PREVIOUS_SECRETS),
    Column("member_contact.sealed", CONTACTS, SET_CONTACTS),
    Column("totp.secret", TOTP_SECRETS, SET_TOTP_SECRETS),
    Column("identity.subject", SUBJECTS, SET_SUBJECTS),
    Column("identity.mail", MAILS, SET_MAILS),
    Column("identity.refresh_token", REFRESH_TOKENS, SET_REFRESH_TOKENS),
    Column("push_subscription.address", DEVICES, SET_DEVICES),
    Column("operator.email", EMAILS, SET_EMAILS),
    Column("operator.name", NAMES, SET_NAMES),
    Column("notification.address", ADDRESSES, SET_ADDRESSES),
    Column("notification.variables", VARIABLES, SET_VARIABLES),
    Column("kyc.document", DOCUMENTS, SET_DOCUMENTS),
    Column("payout_method.details", DETAILS, SET_DETAILS),
    Column("withdrawal.destination", DESTINATIONS, SET_DESTINATIONS),
    Column("network.credentials", CREDENTIALS, SET_CREDENTIALS),
)


class Use(NamedTuple):
    """How many values of a column are sealed with a key."""

    place: str
    key: str
    how_many: int


async def used(db: Db) -> list[Use]:
    """Which keys the stored values need."""
    return [Use(*row) for row in await db.fetch(USED)]


async def hashed(db: Db, ring: KeyRing) -> Use:
    """How many values are found by their hash, and the key that makes the hashes."""
    place = "the hashes of contacts, documents and payout methods"
    return Use(place, fields.hash_key(ring), await db.fetchval(HASHED))


async def stale(db: Db, ring: KeyRing) -> int:
    """How many values `run` has to bring under the active key."""
    resealed = {column.name for column in COLUMNS}
    return int(await db.fetchval(PLAIN)) + sum(
        use.how_many
        for use in await used(db)
        if use.key != ring.active_field and use.place in resealed
    )


async def run(db: Db, ring: KeyRing, progress: Callable[[int], object]) -> int:
    """Seal what is plain, reseal what is under another key than the active one; how many were.

    `progress` is told after each portion. Conflict before the post phase of the migration; BadField
    for a value that no key of the ring opens, which leaves the portions before it done.
    """
    if not await sealing.is_sealing(db):
        raise errors.Conflict(
            "the old code may still run: first `stampgate migrate --phase post`, then this"
        )
    done = 0
    for portions in (_seal_members, _seal_secrets):
        after = ""
        while found := await portions(db, ring, after):
            after, done = found[-1], done + len(found)
            progress(done)
    for column in COLUMNS:
        after = ""
        while found := await _reseal(db, ring, column, after):
            after, done = found[-1], done + len(found)
            progress(done)
    return done


async def _reseal(db: Db, ring: KeyRing, column: Column, after: str) -> list[str]:
    rows = await db.fetch(column.stale, after, fields.prefix(ring), PORTION)
    sealed = []
    for row in rows:
        sealed_for = row.get("sealed_for", row["id"])
        text = sealing.unseal(ring, row["stored"], column.name, sealed_for)
        sealed.append(sealing.seal(ring, text, column.name, sealed_for))
    found = [row["id"] for row in rows]
    if found:
        await db.execute(column.replace, found, [row["stored"] for row in rows], sealed)
    return found


async def _seal_members(db: Db, ring: KeyRing, after: str) -> list[str]:
    rows = await db.fetch(PLAIN_MEMBERS, after, PORTION)
    found = [row["id"] for row in rows]
    if found:
        await db.execute(
            SEAL_MEMBERS,
            found,
            [row["name"] for row in rows],
            [row["attributes"] for row in rows],
            [row["profile"] for row in rows],
            # What was sealed while both were written is as new as the plain form.
            [
                row["profile"]
                or members.sealed(
                    ring, row["id"], row["name"], msgspec.json.decode(row["attributes"])
                )
                for row in rows
            ],
        )
    return found


async def _seal_secrets(db: Db, ring: KeyRing, after: str) -> list[str]:
    rows = await db.fetch(PLAIN_SECRETS, after, PORTION)
    found = [row["id"] for row in rows]
    plain = [[row[name] for row in rows] for name in ("secret", "previous_secret")]
    sealed = [
        [
            text and webhooks.sealed_secret(ring, endpoint_id, text)
            for endpoint_id, text in zip(found, texts, strict=True)
        ]
        for texts in plain
    ]
    if found:
        await db.execute(SEAL_SECRETS, found, *plain, *sealed)
    return found
