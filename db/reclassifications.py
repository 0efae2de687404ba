"""Reclassifications: a fraud rule looks at conversions again, batch by batch, network by network. A
dry run does the same, and takes each batch back.
"""

from __future__ import annotations

import datetime as dt
from collections import Counter
from typing import Final, Literal

import asyncpg
import msgspec

from core import errors, ids, tasks, wallet
from core.conversions import EPOCH, Conversion, Key
from core.fraud import Action, Rule
from core.fraud_rules import Condition
from core.keyring import KeyRing
from db import conversions, networks, outbox, regrading
from db.bookings import Act
from db.networks import Network
from db.pg import Db
from db.regrading import Outcome

State = Literal["queued", "running", "done"]

BATCH: Final = 200

INSERT: Final = """
INSERT INTO reclassification
       (id, program_id, rule_id, rule_version, condition, action, since, until, is_dry_run, state,
        network_id, conversion_id, looked_at, flagged, held, rejected, released, difference,
        requested_by, created_at)
VALUES ($2, $1, $3, $4, $5, $6, $7, $8, $9, 'queued',
        (SELECT min(id) FROM network WHERE program_id = $1), '', 0, 0, 0, 0, 0, '[]', $10, $11)
RETURNING id, program_id, rule_id, rule_version, condition, action, since, until, is_dry_run, state,
          network_id, conversion_id, looked_at, flagged, held, rejected, released, difference,
          requested_by, created_at, finished_at
"""
SELECT: Final = """
SELECT id, program_id, rule_id, rule_version, condition, action, since, until, is_dry_run, state,
       network_id, conversion_id, looked_at, flagged, held, rejected, released, difference,
       requested_by, created_at, finished_at
  FROM reclassification WHERE program_id = $1 AND id = $2
"""
PAGE: Final = """
SELECT id, program_id, rule_id, rule_version, condition, action, since, until, is_dry_run, state,
       network_id, conversion_id, looked_at, flagged, held, rejected, released, difference,
       requested_by, created_at, finished_at
  FROM reclassification WHERE program_id = $1 AND ($2 = '' OR id < $2)
 ORDER BY id DESC LIMIT $3
"""
# A task knows the id alone, which it was given with the wish.
LOAD: Final = """
SELECT id, program_id, rule_id, rule_version, condition, action, since, until, is_dry_run, state,
       network_id, conversion_id, looked_at, flagged, held, rejected, released, difference,
       requested_by, created_at, finished_at
  FROM reclassification WHERE id = $1 FOR UPDATE
"""
NEXT_NETWORK: Final = "SELECT min(id) FROM network WHERE program_id = $1 AND id > $2"
OF_NETWORK: Final = """
SELECT txn_id, event FROM conversion
 WHERE program_id = $1 AND network_id = $2 AND id > $3 AND id < $4
 ORDER BY id LIMIT $5
"""
ADVANCE: Final = """
UPDATE reclassification
   SET state = $3, network_id = $4, conversion_id = $5, looked_at = $6, flagged = $7, held = $8,
       rejected = $9, released = $10, difference = $11, finished_at = $12
 WHERE program_id = $1 AND id = $2
"""


class Change(msgspec.Struct, frozen=True, kw_only=True):
    """By how much all accounts of a role changed together, in minor units."""

    role: wallet.Role
    currency: str
    amount_minor: int


class Reclassification(msgspec.Struct, frozen=True, kw_only=True):
    """A reclassification as it is stored. Without a rule its condition was given with the wish."""

    id: str
    program_id: str
    rule_id: str | None
    rule_version: int | None
    condition: Condition
    action: Action
    since: dt.datetime
    until: dt.datetime
    is_dry_run: bool
    state: State
    network_id: str | None
    conversion_id: str
    looked_at: int
    flagged: int
    held: int
    rejected: int
    released: int
    difference: list[Change]
    requested_by: str
    created_at: dt.datetime
    finished_at: dt.datetime | None

    @property
    def rule(self) -> Rule:
        """The rule as it looks at conversions; shadow mode is for reports."""
        return Rule(
            id=self.rule_id or "",
            version=self.rule_version or 0,
            name="",
            condition=self.condition,
            action=self.action,
            is_shadow=False,
        )


class New(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator wants to be looked at, and with what."""

    id: str
    rule: Rule | None
    condition: Condition
    action: Action
    since: dt.datetime
    until: dt.datetime
    is_dry_run: bool


async def add(db: Db, program_id: str, new: New, by: str, at: dt.datetime) -> Reclassification:
    """Want conversions looked at, if the caller's transaction commits; ProgramNotFound."""
    rule_id, version = (None, None) if new.rule is None else (new.rule.id, new.rule.version)
    condition = msgspec.json.encode(new.condition).decode()
    span = (new.since, new.until, new.is_dry_run)
    try:
        row = await db.fetchrow(
            INSERT, program_id, new.id, rule_id, version, condition, new.action, *span, by, at
        )
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    await outbox.add(db, tasks.Reclassify(new.id))
    return _made(row)


async def get(db: Db, program_id: str, reclassification_id: str) -> Reclassification:
    """The reclassification, or ReclassificationNotFound."""
    return _made(await db.fetchrow(SELECT, program_id, reclassification_id))


async def page(db: Db, program_id: str, *, before: str, limit: int) -> list[Reclassification]:
    """Up to `limit` reclassifications, the newest first."""
    return [_made(row) for row in await db.fetch(PAGE, program_id, before, limit)]


async def to_do(db: Db, reclassification_id: str) -> Reclassification | None:
    """The reclassification, locked, or None when nothing is left to do."""
    row = await db.fetchrow(LOAD, reclassification_id)
    found = None if row is None else _made(row)
    return None if found is None or found.state == "done" else found


async def step(db: Db, ring: KeyRing, job: Reclassification, act: Act) -> Reclassification:
    """Look at the next batch of a locked one, and note how far it is, in the caller's
    transaction."""
    outcome, following = Outcome(0, 0, 0, 0, 0, Counter()), ""
    if job.network_id is not None:
        network = await networks.lock(db, job.program_id, job.network_id)
        found = await _batch(db, job, network)
        if job.is_dry_run:
            transaction = db.transaction()
            await transaction.start()
            outcome = await regrading.look(db, ring, network, found, job.rule, act)
            await transaction.rollback()
        else:
            outcome = await regrading.look(db, ring, network, found, job.rule, act)
        following = found[-1].id if len(found) == BATCH else ""
    after = _added(job, outcome)
    if following:
        after = msgspec.structs.replace(after, state="running", conversion_id=following)
    else:
        after = await _next_network(db, after, act.at)
    await db.execute(
        ADVANCE,
        *(after.program_id, after.id, after.state, after.network_id, after.conversion_id),
        *(after.looked_at, after.flagged, after.held, after.rejected, after.released),
        *(msgspec.json.encode(after.difference).decode(), after.finished_at),
    )
    return after


async def _batch(db: Db, job: Reclassification, network: Network) -> list[Conversion]:
    start, end = (ids.first("conversion", _ms(at)) for at in (job.since, job.until))
    place = max(job.conversion_id, start)
    rows = await db.fetch(OF_NETWORK, job.program_id, network.id, place, end, BATCH)
    found = await conversions.known(db, network, [Key(*row) for row in rows])
    return sorted(found.values(), key=lambda one: one.id)


async def _next_network(db: Db, job: Reclassification, at: dt.datetime) -> Reclassification:
    found: str | None = None
    if job.network_id is not None:
        found = await db.fetchval(NEXT_NETWORK, job.program_id, job.network_id)
    after = msgspec.structs.replace(job, network_id=found, conversion_id="", state="running")
    return after if found else msgspec.structs.replace(after, state="done", finished_at=at)


def _added(job: Reclassification, outcome: Outcome) -> Reclassification:
    sums = Counter({(one.role, one.currency): one.amount_minor for one in job.difference})
    sums.update(outcome.difference)
    difference = [
        Change(role=role, currency=currency, amount_minor=amount)
        for (role, currency), amount in sorted(sums.items())
        if amount
    ]
    return msgspec.structs.replace(
        job,
        looked_at=job.looked_at + outcome.looked_at,
        flagged=job.flagged + outcome.flagged,
        held=job.held + outcome.held,
        rejected=job.rejected + outcome.rejected,
        released=job.released + outcome.released,
        difference=difference,
    )


def _ms(at: dt.datetime) -> int:
    return (at - EPOCH) // dt.timedelta(milliseconds=1)


def _made(row: asyncpg.Record | None) -> Reclassification:
    if row is None:
        raise errors.ReclassificationNotFound
    condition: Condition = msgspec.json.decode(row["condition"], type=Condition)
    difference = msgspec.json.decode(row["difference"], type=list[Change])
    return Reclassification(**{**row, "condition": condition, "difference": difference})
