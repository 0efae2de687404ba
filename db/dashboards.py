"""How a program is doing: members, awards, clicks and budgets, in numbers, of the last 30 days."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from typing import Any, Final

import msgspec

from core.programs import ProgramSettings
from db import keys, programs
from db.pg import Db
from db.redis import Connection

PERIOD: Final = dt.timedelta(days=30)
#: How long the numbers of a program are good for whoever asks again.
FRESH_S: Final = 30

SNAPSHOT: Final = "SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY"
MEMBERS: Final = """
SELECT count(*) AS members, count(*) FILTER (WHERE created_at >= $2) AS new_members
  FROM member WHERE program_id = $1 AND deleted_at IS NULL
"""
# The ledger gives a member an account with the first award.
ACTIVITY: Final = """
SELECT count(recent.member_id) AS active_members,
       count(*) - count(recent.member_id) AS at_risk_members
  FROM (SELECT DISTINCT member_id FROM account
         WHERE program_id = $1 AND role = 'available') AS account
  JOIN member ON member.id = account.member_id AND deleted_at IS NULL
  LEFT JOIN (SELECT DISTINCT t.member_id
               FROM member m JOIN ledger_transaction t ON t.member_id = m.id
              WHERE m.program_id = $1 AND t.program_id = $1 AND t.type = 'award'
                AND t.recorded_at >= $2) AS recent
         ON recent.member_id = account.member_id
"""
# By time or by the program's members, whichever are fewer.
EVENTS: Final = """
SELECT t.unit, t.type, count(*) AS number, sum(t.amount)::bigint AS amount
  FROM member m JOIN ledger_transaction t ON t.member_id = m.id
 WHERE m.program_id = $1 AND t.program_id = $1 AND t.recorded_at >= $2
 GROUP BY t.unit, t.type
"""
CLICKS: Final = """
SELECT coalesce(sum(clicks), 0)::bigint AS clicks,
       coalesce(sum(clicks) FILTER (WHERE class = 0), 0)::bigint AS human_clicks
  FROM click_daily WHERE program_id = $1 AND day >= $2
"""
LEASED: Final = "SELECT unit, leased FROM budget WHERE program_id = $1"


class UnitMetrics(msgspec.Struct, frozen=True, kw_only=True):
    """Points or stamps in the period: how many awards, and the amounts of all awards, of what was
    taken back of any, and of what was spent. `budget_left` is of all times; null without a budget,
    and while Redis is away.
    """

    awards: int
    awarded: int
    taken_back: int
    spent: int
    budget_left: int | None


class Metrics(msgspec.Struct, frozen=True, kw_only=True):
    """The numbers from `since`, the first moment of a day in UTC, to `as_of`. Active members got an
    award in the period; at risk are those who got their last one before it. `retention_percent` is
    the share of the active among both, rounded down; null when there are none.
    """

    since: dt.datetime
    as_of: dt.datetime
    members: int
    new_members: int
    active_members: int
    at_risk_members: int
    retention_percent: int | None
    points: UnitMetrics
    stamps: UnitMetrics
    clicks: int
    human_clicks: int


async def read(
    db: Db, program_id: str, now: dt.datetime, unspent: Mapping[str, int] | None
) -> Metrics:
    """The program's numbers at one moment, in the caller's transaction, which must be new;
    ProgramNotFound. `unspent` is what partitions have left of leased budgets, as `Points.unspent`.
    """
    await db.execute(SNAPSHOT)
    since = now.astimezone(dt.UTC).replace(hour=0, minute=0, second=0, microsecond=0) - PERIOD
    settings = (await programs.get(db, program_id)).settings
    members = await _row(db, MEMBERS, program_id, since)
    activity = await _row(db, ACTIVITY, program_id, since)
    clicks = await _row(db, CLICKS, program_id, since.date())
    events = {
        (row["unit"], row["type"]): (row["number"], row["amount"])
        for row in await db.fetch(EVENTS, program_id, since)
    }
    leased = {row["unit"]: row["leased"] for row in await db.fetch(LEASED, program_id)}

    def of(unit: str) -> UnitMetrics:
        left = _left(settings, unit, leased.get(unit, 0), unspent)
        return _unit(unit, events, left)

    ever = activity["active_members"] + activity["at_risk_members"]
    percent = 100 * activity["active_members"] // ever if ever else None
    return Metrics(
        since=since,
        as_of=now,
        retention_percent=percent,
        points=of("points"),
        stamps=of("stamps"),
        **members,
        **activity,
        **clicks,
    )


async def fetch(redis: Connection, program_id: str) -> bytes | None:
    """The numbers that somebody read less than FRESH_S ago; raises as `Connection.call`."""
    kept: bytes | None = await redis.call("GET", keys.dashboard(program_id))
    return kept


async def keep(redis: Connection, program_id: str, body: bytes) -> None:
    """Leave the numbers for the others; raises as `Connection.call`."""
    await redis.call("SET", keys.dashboard(program_id), body, "EX", FRESH_S)


async def _row(db: Db, statement: str, *arguments: object) -> dict[str, Any]:
    row = await db.fetchrow(statement, *arguments)
    assert row is not None
    return dict(row)


def _unit(
    unit: str, events: Mapping[tuple[str, str], tuple[int, int]], budget_left: int | None
) -> UnitMetrics:
    def of(kind: str) -> tuple[int, int]:
        return events.get((unit, kind), (0, 0))

    return UnitMetrics(
        awards=of("award")[0],
        awarded=of("award")[1],
        taken_back=of("reversal")[1],
        spent=of("spend")[1] + of("capture")[1],
        budget_left=budget_left,
    )


def _left(
    settings: ProgramSettings, unit: str, leased: int, unspent: Mapping[str, int] | None
) -> int | None:
    total = settings.rules(unit).budget
    if total is None or unspent is None:
        return None
    # One that was lowered may have been given out already.
    return max(0, total - leased + unspent[unit])
