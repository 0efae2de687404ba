"""What 0.1.0 wrote in the clear: finding it, a portion at a time, and putting it under a seal."""

from __future__ import annotations

from typing import Final

import msgspec

from core.keyring import KeyRing
from db import members, webhooks
from db.pg import Db

PORTION: Final = 500
TIMEOUT_S: Final = 600

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


async def left(db: Db) -> int:
    """How many rows have something in the clear."""
    return int(await db.fetchval(PLAIN, timeout=TIMEOUT_S))


async def seal_members(db: Db, ring: KeyRing, after: str) -> list[str]:
    """Seal names and attributes of a portion of members with ids beyond `after`; which ones."""
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


async def seal_secrets(db: Db, ring: KeyRing, after: str) -> list[str]:
    """Seal the secrets of a portion of endpoints with ids beyond `after`; which ones."""
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
