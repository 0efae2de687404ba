"""How programs treat claims, and how well the rules would have done what their operators did."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec

from core.claim_rules import Policy, Verdict
from core.claims import AUTOMATIC
from db.pg import Db

SELECT: Final = "SELECT policy FROM claim_policy WHERE program_id = $1"
PUT: Final = """
INSERT INTO claim_policy (program_id, policy, updated_by, updated_at) VALUES ($1, $2, $3, $4)
    ON CONFLICT (program_id) DO UPDATE
   SET policy = excluded.policy, updated_by = excluded.updated_by, updated_at = excluded.updated_at
"""
# By the policy itself nothing was decided that could be compared.
AGREEMENT: Final = """
SELECT proposal, count(*) AS decided, count(*) FILTER (WHERE decision = proposal) AS agreed,
       count(*) FILTER (WHERE state = 'settled') AS settled,
       count(*) FILTER (WHERE state = 'declined') AS declined
  FROM claim
 WHERE program_id = $1 AND decided_at >= $2 AND decided_by <> $3
 GROUP BY proposal ORDER BY proposal
"""


class Agreement(msgspec.Struct, frozen=True, kw_only=True):
    """What became of claims with one proposal that operators decided: how many were decided as
    proposed, and how many the network has settled or declined since.
    """

    proposal: Verdict
    decided: int
    agreed: int
    settled: int
    declined: int


async def get(db: Db, program_id: str) -> Policy:
    """The program's policy; one that never said anything has the defaults."""
    found = await db.fetchval(SELECT, program_id)
    return Policy() if found is None else msgspec.json.decode(found, type=Policy)


async def put(db: Db, program_id: str, policy: Policy, by: str, now: dt.datetime) -> None:
    """Replace the program's policy."""
    await db.execute(PUT, program_id, msgspec.json.encode(policy).decode(), by, now)


async def agreement(db: Db, program_id: str, since: dt.datetime) -> list[Agreement]:
    """How operators decided since a moment, by what was proposed."""
    rows = await db.fetch(AGREEMENT, program_id, since, AUTOMATIC)
    return [Agreement(**row) for row in rows]
