"""What members and operators say for a claim: sealed, because people write anything there."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from core.claims import Claim
from core.keyring import KeyRing
from db import sealing
from db.pg import Db

CONTENT: Final = "claim_evidence.content"

INSERT: Final = """
INSERT INTO claim_evidence (id, program_id, claim_id, member_id, content, added_by, added_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
OF_CLAIM: Final = """
SELECT id, content, added_by, added_at FROM claim_evidence
 WHERE program_id = $1 AND claim_id = $2 ORDER BY id
"""
COUNT: Final = "SELECT count(*) FROM claim_evidence WHERE program_id = $1 AND claim_id = $2"


class Content(msgspec.Struct, frozen=True):
    """What is sealed: what was said, and where the receipt is."""

    text: str | None
    receipt: str | None


class Evidence(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was said for a claim; `receipt` names where the program has it. Which operator
    added it is told to operators only, and null to members.
    """

    id: str
    text: str | None
    receipt: str | None
    added_by: str | None
    added_at: dt.datetime


async def add(
    db: Db, ring: KeyRing, claim: Claim, evidence_id: str, content: Content, *, by: str,
    at: dt.datetime,
) -> Evidence:  # fmt: skip
    """Add to a claim that the caller has locked, or just made."""
    sealed = sealing.seal(ring, msgspec.json.encode(content).decode(), CONTENT, evidence_id)
    await db.execute(
        INSERT, evidence_id, claim.program_id, claim.id, claim.member_id, sealed, by, at
    )
    return Evidence(
        id=evidence_id, text=content.text, receipt=content.receipt, added_by=by, added_at=at
    )


async def count(db: Db, claim: Claim) -> int:
    """How much of it a claim has."""
    return int(await db.fetchval(COUNT, claim.program_id, claim.id))


async def of_claim(db: Db, ring: KeyRing, claim: Claim) -> list[Evidence]:
    """All of a claim, oldest first."""
    found = []
    for row in await db.fetch(OF_CLAIM, claim.program_id, claim.id):
        text = sealing.unseal(ring, row["content"], CONTENT, row["id"])
        content = msgspec.json.decode(text, type=Content)
        found.append(
            Evidence(
                id=row["id"],
                text=content.text,
                receipt=content.receipt,
                added_by=row["added_by"],
                added_at=row["added_at"],
            )
        )
    return found
