"""A program's fraud rules. Each change is a version of its own, and all of them stay."""

from __future__ import annotations

import datetime as dt
from typing import Final, NamedTuple

import asyncpg
import msgspec

from core import errors, fraud
from core.fraud import Action, Rule
from core.fraud_rules import Condition
from db.pg import Db

INSERT: Final = """
INSERT INTO fraud_rule (id, program_id, version, created_at)
SELECT $2, $1, 1, $3
 WHERE $4 > (SELECT count(*) FROM fraud_rule WHERE program_id = $1 AND deleted_at IS NULL)
RETURNING id
"""
INSERT_VERSION: Final = """
INSERT INTO fraud_rule_version (rule_id, version, program_id, name, condition, action, is_shadow,
                                changed_by, changed_at)
VALUES ($2, $3, $1, $4, $5, $6, $7, $8, $9)
"""
SELECT: Final = """
SELECT r.id, r.version, v.name, v.condition, v.action, v.is_shadow, r.created_at,
       v.changed_at AS updated_at
  FROM fraud_rule r JOIN fraud_rule_version v ON v.rule_id = r.id AND v.version = r.version
 WHERE r.program_id = $1 AND r.deleted_at IS NULL AND r.id = $2
"""
LOCK: Final = """
SELECT r.id, r.version, v.name, v.condition, v.action, v.is_shadow, r.created_at,
       v.changed_at AS updated_at
  FROM fraud_rule r JOIN fraud_rule_version v ON v.rule_id = r.id AND v.version = r.version
 WHERE r.program_id = $1 AND r.deleted_at IS NULL AND r.id = $2
   FOR UPDATE OF r
"""
CURRENT: Final = """
SELECT r.id, r.version, v.name, v.condition, v.action, v.is_shadow, r.created_at,
       v.changed_at AS updated_at
  FROM fraud_rule r JOIN fraud_rule_version v ON v.rule_id = r.id AND v.version = r.version
 WHERE r.program_id = $1 AND r.deleted_at IS NULL ORDER BY r.id
"""
UPDATE: Final = "UPDATE fraud_rule SET version = $3 WHERE program_id = $1 AND id = $2"
DELETE: Final = "UPDATE fraud_rule SET deleted_at = $3 WHERE program_id = $1 AND id = $2"
COUNT_HITS: Final = """
SELECT rule_id, count(*) FILTER (WHERE NOT is_shadow) AS loud,
       count(*) FILTER (WHERE is_shadow) AS in_shadow
  FROM (SELECT rule_id, rule_version, is_shadow FROM fraud_hit
         WHERE program_id = $1 AND withdrawn_at IS NULL
         UNION ALL
        SELECT rule_id, rule_version, is_shadow FROM withdrawal_hit WHERE program_id = $1) AS hit
 WHERE (rule_id, rule_version) IN (SELECT * FROM unnest($2::text[], $3::integer[]))
 GROUP BY rule_id
"""


class Stored(Rule, frozen=True, kw_only=True):
    """A rule as it is stored, since when there is one, and since when it is as it is."""

    created_at: dt.datetime
    updated_at: dt.datetime


class New(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator says of a rule."""

    name: str
    condition: Condition
    action: Action
    is_shadow: bool


class Hits(NamedTuple):
    """How many conversions, or withdrawals, the present version of a rule has hit."""

    loud: int = 0
    in_shadow: int = 0


async def add(db: Db, program_id: str, rule_id: str, new: New, by: str, at: dt.datetime) -> Stored:
    """Store a rule, in the caller's transaction; ProgramNotFound, Conflict when there are too
    many."""
    try:
        made = await db.fetchval(INSERT, program_id, rule_id, at, fraud.RULES_MAX)
    except asyncpg.ForeignKeyViolationError:
        raise errors.ProgramNotFound from None
    if made is None:
        raise errors.Conflict(f"A program has at most {fraud.RULES_MAX} fraud rules.")
    await _write(db, program_id, rule_id, 1, new, by, at)
    return await get(db, program_id, rule_id)


async def put(
    db: Db, program_id: str, before: Stored, new: New, by: str, at: dt.datetime
) -> Stored:
    """Replace what a locked rule says; the same again is no new version."""
    if new == New(**{name: getattr(before, name) for name in New.__struct_fields__}):
        return before
    version = before.version + 1
    await _write(db, program_id, before.id, version, new, by, at)
    await db.execute(UPDATE, program_id, before.id, version)
    return await get(db, program_id, before.id)


async def delete(db: Db, program_id: str, rule_id: str, at: dt.datetime) -> None:
    """Have a rule hit nothing more; its cases stay."""
    await db.execute(DELETE, program_id, rule_id, at)


async def get(db: Db, program_id: str, rule_id: str) -> Stored:
    """The rule, or FraudRuleNotFound."""
    return _stored(await db.fetchrow(SELECT, program_id, rule_id))


async def lock(db: Db, program_id: str, rule_id: str) -> Stored:
    """The same, which nobody else changes before the transaction ends."""
    return _stored(await db.fetchrow(LOCK, program_id, rule_id))


async def current(db: Db, program_id: str) -> list[Stored]:
    """All rules of a program, the oldest first."""
    return [_stored(row) for row in await db.fetch(CURRENT, program_id)]


async def count_hits(db: Db, program_id: str, rules: list[Stored]) -> dict[str, Hits]:
    """What the rules have hit as they are now, by rule; those that hit nothing are not there."""
    columns = [one.id for one in rules], [one.version for one in rules]
    rows = await db.fetch(COUNT_HITS, program_id, *columns)
    return {row["rule_id"]: Hits(row["loud"], row["in_shadow"]) for row in rows}


async def _write(
    db: Db, program_id: str, rule_id: str, version: int, new: New, by: str, at: dt.datetime
) -> None:
    condition = msgspec.json.encode(new.condition).decode()
    said = (new.name, condition, new.action, new.is_shadow)
    await db.execute(INSERT_VERSION, program_id, rule_id, version, *said, by, at)


def _stored(row: asyncpg.Record | None) -> Stored:
    if row is None:
        raise errors.FraudRuleNotFound
    condition: Condition = msgspec.json.decode(row["condition"], type=Condition)
    return Stored(**{**row, "condition": condition})
