"""Fraud cases as operators see and decide them. A decision moves the money, in one transaction."""

from __future__ import annotations

import datetime as dt
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, fraud
from core.conversions import Review
from core.conversions import State as ConversionState
from core.fraud import Action, CaseState, Step
from core.fraud_rules import Condition
from core.keyring import KeyRing
from db import conversions, networks, webhooks
from db import fraud as stored
from db.bookings import Act
from db.fraud import Case
from db.pg import Db

SELECT: Final = """
SELECT k.id, k.conversion_id, k.state, k.version, k.currency, k.cashback_minor, k.decided_by,
       k.reason, k.opened_at, k.decided_at, c.member_id, c.network_id,
       c.state AS conversion_state, c.review
  FROM fraud_case k JOIN conversion c ON c.id = k.conversion_id AND c.program_id = k.program_id
 WHERE k.program_id = $1 AND k.id = $2
"""
LOCK: Final = """
SELECT id, conversion_id, state, version, currency, cashback_minor, decided_by, reason, opened_at,
       decided_at
  FROM fraud_case WHERE program_id = $1 AND conversion_id = $2 ORDER BY id FOR UPDATE
"""
PAGE: Final = """
SELECT k.id, k.conversion_id, k.state, k.version, k.currency, k.cashback_minor, k.decided_by,
       k.reason, k.opened_at, k.decided_at, c.member_id, c.network_id,
       c.state AS conversion_state, c.review
  FROM fraud_case k JOIN conversion c ON c.id = k.conversion_id AND c.program_id = k.program_id
 WHERE k.program_id = $1 AND ($2 = '' OR k.id < $2)
   AND ($4::text IS NULL OR k.state = $4) AND ($5::text IS NULL OR c.member_id = $5)
   AND ($6::text IS NULL OR k.conversion_id = $6)
 ORDER BY k.id DESC LIMIT $3
"""
HITS: Final = """
SELECT h.case_id, h.rule_id AS rule, h.rule_version, v.name, v.condition, h.action, h.reason,
       h.hit_at, h.withdrawn_at
  FROM fraud_hit h
  LEFT JOIN fraud_rule_version v
    ON v.rule_id = h.rule_id AND v.version = h.rule_version AND v.program_id = h.program_id
 WHERE h.program_id = $1 AND h.case_id = ANY($2::text[])
 ORDER BY h.case_id, h.hit_at, h.rule_id, h.rule_version
"""
DECIDE: Final = """
UPDATE fraud_case SET state = $3, version = version + 1, decided_by = $4, reason = $5,
       decided_at = $6
 WHERE program_id = $1 AND id = ANY($2::text[])
RETURNING id, conversion_id, state, version, currency, cashback_minor, decided_by, reason,
          opened_at, decided_at
"""


class ShownHit(msgspec.Struct, frozen=True, kw_only=True):
    """A rule that hit, as it was then. `rule` is the network's id, without a name and a condition,
    when the network's own `click_min_s` did. Withdrawn is what does not hit any more.
    """

    rule: str
    rule_version: int
    name: str | None
    condition: Condition | None
    action: Action
    reason: str
    hit_at: dt.datetime
    withdrawn_at: dt.datetime | None


class Seen(Case, frozen=True, kw_only=True):
    """A case, its conversion, and what hit it."""

    member_id: str | None
    network_id: str
    conversion_state: ConversionState
    review: Review | None
    hits: list[ShownHit]


class Wanted(NamedTuple):
    """Which cases are asked for; None asks for all."""

    state: CaseState | None = None
    member_id: str | None = None
    conversion_id: str | None = None


async def get(db: Db, program_id: str, case_id: str) -> Seen:
    """The case, or FraudCaseNotFound."""
    row = await db.fetchrow(SELECT, program_id, case_id)
    if row is None:
        raise errors.FraudCaseNotFound
    [found] = await _seen(db, program_id, [row])
    return found


async def page(db: Db, program_id: str, *, before: str, limit: int, wanted: Wanted) -> list[Seen]:
    """Up to `limit` cases, the newest first."""
    rows = await db.fetch(PAGE, program_id, before, limit, *wanted)
    return await _seen(db, program_id, rows)


async def decide(
    db: Db, ring: KeyRing, seen: Seen, program_id: str, step: Step, reason: str, act: Act
) -> Seen:
    """Release what a case holds, or reject it, with its money, in the caller's transaction;
    FraudCaseNotOpen. The reason stays with the case: the member reads those of the ledger. All
    cases that still decide about the conversion are decided with it."""
    # The network first, as whoever takes its reports does.
    network = await networks.lock(db, program_id, seen.network_id)
    before = await conversions.lock(db, program_id, seen.conversion_id)
    found = [Case(**row) for row in await db.fetch(LOCK, program_id, before.id)]
    [case] = [one for one in found if one.id == seen.id]
    state = fraud.decided(case.state, case.decided_by, step)
    names = [one.id for one in found if fraud.is_standing(one.state, one.decided_by)]
    after = fraud.settled(before, step, act.at)
    rows = await db.fetch(DECIDE, program_id, names, state, act.by, reason, act.at)
    if after != before:
        await conversions.change_many(db, ring, network, [(before, after)], act)
    told = [stored.event(program_id, Case(**row), after, act.at) for row in rows]
    await webhooks.queue_events(db, told)
    return await get(db, program_id, case.id)


async def _seen(db: Db, program_id: str, rows: list[asyncpg.Record]) -> list[Seen]:
    hits: dict[str, list[ShownHit]] = {row["id"]: [] for row in rows}
    for row in await db.fetch(HITS, program_id, list(hits)):
        values = dict(row)
        condition = values.pop("condition")
        if condition is not None:
            condition = msgspec.json.decode(condition, type=Condition)
        hits[values.pop("case_id")].append(ShownHit(**values, condition=condition))
    return [Seen(**row, hits=hits[row["id"]]) for row in rows]
