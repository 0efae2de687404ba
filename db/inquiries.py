"""What networks are asked about claims, once each: wanted in the transaction that sends the claim,
and noted once it is done.
"""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal

import msgspec

from core import tasks
from core.claims import Claim
from db import outbox
from db.pg import Db

#: By the network's API, by mail to its people, or with the file of claims, which somebody sends.
Way = Literal["api", "mail", "file"]

WANT: Final = """
INSERT INTO claim_inquiry (claim_id, program_id, wanted_at) VALUES ($2, $1, $3)
    ON CONFLICT DO NOTHING
RETURNING claim_id
"""
# What was settled or declined meanwhile needs no asking.
OPEN: Final = """
SELECT c.id AS claim_id, c.network_id, c.click_id, c.clicked_at, c.order_id, c.order_minor,
       c.order_currency, c.ordered_at, m.name AS merchant,
       o.config ->> 'network_campaign' AS campaign
  FROM claim_inquiry i JOIN claim c ON c.id = i.claim_id AND c.program_id = i.program_id
  LEFT JOIN merchant m ON m.id = c.merchant_id AND m.program_id = c.program_id
  LEFT JOIN offer o ON o.id = c.offer_id AND o.program_id = c.program_id
 WHERE i.program_id = $1 AND i.claim_id = $2 AND i.way IS NULL AND c.state = 'sent'
"""
NOTE: Final = """
UPDATE claim_inquiry SET way = $3, reference = $4, problem = $5, asked_at = $6
 WHERE program_id = $1 AND claim_id = $2 AND way IS NULL
RETURNING claim_id
"""
PUT_OFF: Final = """
UPDATE claim_inquiry SET problem = $3 WHERE program_id = $1 AND claim_id = $2 AND way IS NULL
"""
GET: Final = """
SELECT way, reference, problem, wanted_at, asked_at FROM claim_inquiry
 WHERE program_id = $1 AND claim_id = $2
"""


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """A purchase that is to be asked about; `campaign` is the network's own id of the shop."""

    claim_id: str
    network_id: str | None
    click_id: str | None
    clicked_at: dt.datetime | None
    order_id: str
    order_minor: int
    order_currency: str
    ordered_at: dt.datetime
    merchant: str | None
    campaign: str | None


class Inquiry(msgspec.Struct, frozen=True, kw_only=True):
    """How the network of a claim was asked, and by which `reference` it knows that. `problem` is
    why it was not asked by its API, or not yet.
    """

    way: Way | None
    reference: str | None
    problem: str | None
    wanted_at: dt.datetime
    asked_at: dt.datetime | None


async def want(db: Db, claim: Claim) -> None:
    """Have the network of a claim asked, if the caller's transaction commits."""
    if await db.fetchval(WANT, claim.program_id, claim.id, claim.updated_at):
        await outbox.add(db, tasks.AskNetwork(claim.program_id, claim.id))


async def question(db: Db, program_id: str, claim_id: str) -> Question | None:
    """What is still to be asked; None when it was, or need not be any more."""
    row = await db.fetchrow(OPEN, program_id, claim_id)
    return None if row is None else Question(**row)


async def note(
    db: Db,
    program_id: str,
    claim_id: str,
    way: Way,
    at: dt.datetime,
    *,
    reference: str | None = None,
    problem: str | None = None,
) -> bool:
    """Note by which way it was asked; False when that was noted before. With the file nobody has
    asked yet."""
    asked_at = None if way == "file" else at
    noted = await db.fetchval(NOTE, program_id, claim_id, way, reference, problem, asked_at)
    return noted is not None


async def put_off(db: Db, program_id: str, claim_id: str, problem: str) -> None:
    """Note why it could not be asked yet."""
    await db.execute(PUT_OFF, program_id, claim_id, problem)


async def get(db: Db, program_id: str, claim_id: str) -> Inquiry | None:
    """How it was asked; None when that was not wanted."""
    row = await db.fetchrow(GET, program_id, claim_id)
    return None if row is None else Inquiry(**row)
