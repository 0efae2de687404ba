"""Fraud rules at work on withdrawals: what a member asks for is looked at once, in the transaction
that stores it. Whoever calls has locked the member's accounts, so that of many at once each sees
those before it.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Final

from core import withdrawal_fraud, withdrawal_rules
from core.fraud_kinds import HISTORY_MAX
from core.withdrawal_fraud import Hit
from core.withdrawal_rules import Asked, Made, OfWithdrawal
from core.withdrawals import Money
from db import fraud_rules
from db.pg import Db

MEMBER: Final = """
SELECT created_at,
       EXISTS (SELECT FROM withdrawal w
                WHERE w.program_id = $1 AND w.member_id = m.id AND w.state = 'paid') AS was_paid
  FROM member m WHERE program_id = $1 AND id = $2
"""
# Of each window no more than the latest.
MADE: Final = """
SELECT asked.window_s, count(before.amount_minor) AS count,
       coalesce(sum(before.amount_minor), 0)::bigint AS amount_minor
  FROM unnest($3::integer[]) AS asked (window_s)
  LEFT JOIN LATERAL (
       SELECT amount_minor FROM withdrawal
        WHERE program_id = $1 AND member_id = $2 AND state <> 'canceled'
          AND requested_at > $4::timestamptz - make_interval(secs => asked.window_s)
        ORDER BY id DESC LIMIT $5) AS before ON true
 GROUP BY asked.window_s
"""
STORE: Final = """
INSERT INTO withdrawal_hit (program_id, withdrawal_id, hit_at, rule_id, rule_version, action,
                            is_shadow, reason)
SELECT $1, $2, $3, * FROM unnest($4::text[], $5::integer[], $6::text[], $7::boolean[], $8::text[])
"""


async def look(db: Db, program_id: str, about: Money, at: dt.datetime) -> list[Hit]:
    """What the program's rules say of a withdrawal that is asked for."""
    rules = await fraud_rules.current(db, program_id)
    conditions = [one.condition for one in rules if isinstance(one.condition, OfWithdrawal)]
    if not conditions:
        return []
    member = await db.fetchrow(MEMBER, program_id, about.member_id)
    assert member is not None
    windows = withdrawal_rules.windows_s(conditions)
    rows = await db.fetch(MADE, program_id, about.member_id, windows, at, HISTORY_MAX)
    asked = Asked(
        amount_minor=about.amount_minor,
        at=at,
        member_since=member["created_at"],
        was_paid=member["was_paid"],
        made={
            row["window_s"]: Made(row["count"] + 1, row["amount_minor"] + about.amount_minor)
            for row in rows
        },
    )
    return withdrawal_fraud.hits(rules, asked)


async def store(
    db: Db, program_id: str, withdrawal_id: str, hits: Sequence[Hit], at: dt.datetime
) -> None:
    """Store what hit a withdrawal, in shadow mode too."""
    if hits:
        columns = [list(column) for column in zip(*hits, strict=True)]
        await db.execute(STORE, program_id, withdrawal_id, at, *columns)
