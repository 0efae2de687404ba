"""Fraud rules at work: what reports made of conversions is looked at, what is hit is graded, and
the case of it is opened or resolved, in the transaction of the reports.

Whoever calls has locked the network and stored the conversions, so that rules see them all.
"""

from __future__ import annotations

import datetime as dt
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

import msgspec

from core import conversions, fraud
from core.conversions import Conversion
from core.fraud import CaseState, Hit
from core.fraud_rules import OfConversion
from core.keyring import KeyRing
from db import bookings, fraud_facts, fraud_rules, webhooks
from db.bookings import Act, Pair
from db.pg import Db

# Those that stand, and whether a person has decided about them.
STANDING: Final = """
SELECT h.conversion_id, h.rule_id, h.rule_version, h.action, h.is_shadow, h.reason, h.case_id,
       coalesce(k.state <> 'open' AND NOT starts_with(k.decided_by, 'frl_'), false) AS is_decided
  FROM fraud_hit h LEFT JOIN fraud_case k ON k.id = h.case_id AND k.program_id = h.program_id
 WHERE h.program_id = $1 AND h.conversion_id = ANY($2::text[]) AND h.withdrawn_at IS NULL
 ORDER BY h.conversion_id, h.hit_at, h.rule_id
"""
GRADE: Final = """
UPDATE conversion
   SET review = item.review, reasons = item.reasons,
       booked_cashback_minor = item.booked_cashback_minor
  FROM jsonb_to_recordset($2::jsonb)
       AS item (id text, review text, reasons text[], booked_cashback_minor bigint)
 WHERE conversion.program_id = $1 AND conversion.id = item.id
"""
OF_CONVERSIONS: Final = """
SELECT id, conversion_id, state, version, currency, cashback_minor, decided_by, reason, opened_at,
       decided_at
  FROM fraud_case
 WHERE program_id = $1 AND conversion_id = ANY($2::text[])
   AND (state = 'open' OR id = ANY($3::text[]))
 ORDER BY id FOR UPDATE
"""
STORE_CASES: Final = """
INSERT INTO fraud_case (id, program_id, conversion_id, state, version, currency, cashback_minor,
                        decided_by, reason, opened_at, decided_at)
SELECT id, $1, conversion_id, state, version, currency, cashback_minor, decided_by, reason,
       opened_at, decided_at
  FROM jsonb_populate_recordset(NULL::fraud_case, $2::jsonb)
    ON CONFLICT (id) DO UPDATE
   SET state = excluded.state, version = excluded.version, decided_by = excluded.decided_by,
       reason = excluded.reason, decided_at = excluded.decided_at
 WHERE fraud_case.program_id = $1
"""
STORE_HITS: Final = """
INSERT INTO fraud_hit (program_id, conversion_id, rule_id, rule_version, action, is_shadow, reason,
                       case_id, hit_at)
SELECT $1, *, $2 FROM unnest($3::text[], $4::text[], $5::integer[], $6::text[], $7::boolean[],
                             $8::text[], $9::text[])
    ON CONFLICT (conversion_id, rule_id, rule_version) DO UPDATE
   SET reason = excluded.reason, case_id = excluded.case_id, hit_at = excluded.hit_at,
       withdrawn_at = NULL
 WHERE fraud_hit.program_id = $1
"""


class Case(msgspec.Struct, frozen=True, kw_only=True):
    """A case as it is stored."""

    id: str
    conversion_id: str
    state: CaseState
    version: int
    currency: str | None
    cashback_minor: int
    decided_by: str | None
    reason: str | None
    opened_at: dt.datetime
    decided_at: dt.datetime | None


class Change(NamedTuple):
    """What becomes of a conversion's case: these hits come to it, and the rule `by` leaves it in
    `state`, because of `reason`. Without a case one is opened."""

    before: Conversion
    after: Conversion
    case: Case | None
    state: CaseState
    by: str
    reason: str
    hits: Sequence[Hit]


async def judge(
    db: Db, ring: KeyRing, program_id: str, pairs: Sequence[Pair], act: Act
) -> tuple[list[Pair], set[str]]:
    """Look at what reports changed: the same pairs as the rules leave them, which are stored, and
    which conversions they hold."""
    current = await fraud_rules.current(db, program_id)
    rules = [one for one in current if isinstance(one.condition, OfConversion)]
    found = [
        after for _, after in pairs if fraud.is_judged(after) and (rules or after.review == "held")
    ]
    if not found:
        return list(pairs), set()
    known = await standing(db, program_id, [one.id for one in found])
    conditions = [one.condition for one in rules]
    facts = await fraud_facts.collect(db, ring, program_id, found, conditions)
    new = {one.found.id: fraud.hits(rules, one, known[one.found.id]) for one in facts}
    graded = {one.id: fraud.graded(one, new[one.id]) for one in found if new[one.id]}
    changed = [one for one in found if graded.get(one.id, one) != one]
    if changed:
        await store_grades(db, program_id, [graded[one.id] for one in changed])
    await _note(db, program_id, [one for one in found if new[one.id]], graded, new, act)
    held = {one.id for one in changed if one.review != "held" and graded[one.id].review == "held"}
    return [(before, graded.get(after.id, after)) for before, after in pairs], held


async def standing(db: Db, program_id: str, names: Sequence[str]) -> defaultdict[str, list[Hit]]:
    """What hits these conversions, by conversion."""
    known: defaultdict[str, list[Hit]] = defaultdict(list)
    for row in await db.fetch(STANDING, program_id, names):
        known[row["conversion_id"]].append(Hit(**row))
    return known


async def store_grades(db: Db, program_id: str, graded: Iterable[Conversion]) -> None:
    """Store review, reasons and cashback of conversions."""
    items = [
        {name: getattr(one, name) for name in ("id", "review", "reasons", "booked_cashback_minor")}
        for one in graded
    ]
    await db.execute(GRADE, program_id, msgspec.json.encode(items).decode())


async def cases(
    db: Db, program_id: str, names: Sequence[str], case_ids: Sequence[str] = ()
) -> list[Case]:
    """The open cases of these conversions, and those that are named, locked."""
    rows = await db.fetch(OF_CONVERSIONS, program_id, names, list(case_ids))
    return [Case(**row) for row in rows]


async def record(db: Db, program_id: str, changes: Sequence[Change], act: Act) -> None:
    """Store what becomes of cases, with their hits, and tell endpoints if the caller commits."""
    stored, events, hits = [], [], []
    for change in changes:
        case, told = _case(program_id, change, act)
        stored += [case] if told else []
        events += told
        hits += [one._replace(case_id=case.id) for one in change.hits if not one.is_shadow]
    if stored:
        await db.execute(STORE_CASES, program_id, msgspec.json.encode(stored).decode())
    await store_hits(db, program_id, hits, act.at)
    if events:
        await webhooks.queue_events(db, events)


async def store_hits(db: Db, program_id: str, hits: Sequence[Hit], at: dt.datetime) -> None:
    """Store hits, each with its case, or in shadow mode without one."""
    if hits:
        columns = [list(column) for column in zip(*[one[:7] for one in hits], strict=True)]
        await db.execute(STORE_HITS, program_id, at, *columns)


def event(program_id: str, case: Case, found: Conversion, at: dt.datetime) -> webhooks.Event:
    """What endpoints are told of a case that was opened, or resolved, by its latest step."""
    kind = "fraud.case_opened" if case.state == "open" else "fraud.case_resolved"
    data = {
        "id": case.id,
        "conversion": case.conversion_id,
        "member": found.member_id,
        "state": case.state,
        "reason": case.reason,
        "currency": case.currency,
        "cashback_minor": case.cashback_minor,
    }
    at_ms = (at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    return webhooks.Event(program_id, kind, f"evt_{case.id}_{case.version}", at_ms, data)


async def _note(
    db: Db,
    program_id: str,
    found: Sequence[Conversion],
    graded: Mapping[str, Conversion],
    new: Mapping[str, list[Hit]],
    act: Act,
) -> None:
    loud = {one.id: [hit for hit in new[one.id] if not hit.is_shadow] for one in found}
    found_open = await cases(db, program_id, [name for name, hits in loud.items() if hits])
    open_ = {one.conversion_id: one for one in found_open}
    changes = []
    for one in found:
        if hits := loud[one.id]:
            state, first = fraud.state_of(hits), fraud.strongest(hits)
            assert first is not None
            by, why = first.rule_id, first.reason
            changes.append(Change(one, graded[one.id], open_.get(one.id), state, by, why, hits))
    await record(db, program_id, changes, act)
    quiet = [hit for one in found for hit in new[one.id] if hit.is_shadow]
    await store_hits(db, program_id, quiet, act.at)


def _case(program_id: str, change: Change, act: Act) -> tuple[Case, list[webhooks.Event]]:
    """The case after a change, and what is told of it."""
    told = []
    case = change.case
    if case is None:
        case = Case(
            id=bookings.new_id("fraud_case", act.at),
            conversion_id=change.after.id,
            state="open",
            version=1,
            currency=change.before.booked_currency,
            cashback_minor=change.before.booked_cashback_minor,
            decided_by=None,
            reason=change.reason,
            opened_at=act.at,
            decided_at=None,
        )
        told.append(event(program_id, case, change.after, act.at))
    if change.state != case.state:
        is_open = change.state == "open"
        case = msgspec.structs.replace(
            case,
            state=change.state,
            version=case.version + 1,
            decided_by=None if is_open else change.by,
            reason=change.reason,
            decided_at=None if is_open else act.at,
        )
        told.append(event(program_id, case, change.after, act.at))
    return case, told
