"""What is kept for a while only."""

from __future__ import annotations

import datetime as dt
from typing import Final

from core import ids
from db.pg import Db

KEEP_CLICK_PARTITIONS: Final = "SELECT keep_click_partitions($1, $2, $3)"
DELETE_SALTS: Final = "DELETE FROM address_salt WHERE day < $1"
DELETE_DELIVERIES: Final = """
DELETE FROM webhook_delivery WHERE id < $1 AND state <> 'pending'
"""
DELETE_NOTIFICATIONS: Final = "DELETE FROM notification WHERE id < $1 AND state <> 'queued'"
DELETE_NOTICES: Final = "DELETE FROM notice WHERE id < $1"
# Whoever was paid is remembered for as long as the law asks; of whoever was not, at once.
FORGET_DESTINATIONS: Final = """
UPDATE withdrawal SET destination = NULL
 WHERE destination IS NOT NULL
   AND (state IN ('failed', 'rejected', 'canceled') AND updated_at < $1
     OR state IN ('paid', 'reversed') AND updated_at < $2)
"""
DELETE_PAYOUT_EVENTS: Final = """
DELETE FROM payout_event WHERE received_at < to_timestamp($1::bigint / 1000.0)
"""
FORGET_DOCUMENTS: Final = """
DELETE FROM kyc USING member
 WHERE member.id = kyc.member_id AND member.erased_at IS NOT NULL
   AND NOT EXISTS (SELECT FROM withdrawal w WHERE w.member_id = kyc.member_id
                      AND (w.state IN ('requested', 'approved', 'paying', 'unclear')
                        OR w.state IN ('paid', 'reversed') AND w.updated_at >= $1))
"""
# A moment of exclusive access is needed, and nobody shall queue up behind the wait for it.
LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = '2s'"


async def keep_click_partitions(
    db: Db, today: dt.date, *, ahead_days: int, retention_days: int
) -> None:
    """Make partitions for the days to come, drop those past retention; in a transaction."""
    await db.execute(LOCK_TIMEOUT)
    await db.execute(KEEP_CLICK_PARTITIONS, today, ahead_days, retention_days)


async def delete_salts(db: Db, before: dt.date) -> None:
    """Forget the address salts of days before `before`: their hashes can be made no more."""
    await db.execute(DELETE_SALTS, before)


async def delete_deliveries(db: Db, before_ms: int) -> None:
    """Forget settled webhook deliveries made before `before_ms`."""
    await db.execute(DELETE_DELIVERIES, ids.new("delivery", before_ms, bytes(ids.ENTROPY_BYTES)))


async def delete_notifications(db: Db, before_ms: int) -> None:
    """Forget notices and notifications made before `before_ms`, but for messages that wait, and
    their dedupe keys."""
    entropy = bytes(ids.ENTROPY_BYTES)
    await db.execute(DELETE_NOTIFICATIONS, ids.new("notification", before_ms, entropy))
    await db.execute(DELETE_NOTICES, ids.new("notice", before_ms, entropy))


async def forget_destinations(db: Db, unpaid_before: dt.datetime, paid_before: dt.datetime) -> None:
    """Forget where money was to go whose withdrawal ended before the time for its end."""
    await db.execute(FORGET_DESTINATIONS, unpaid_before, paid_before)


async def forget_documents(db: Db, paid_before: dt.datetime) -> None:
    """Forget who erased members were to the tax office, unless they were paid since."""
    await db.execute(FORGET_DOCUMENTS, paid_before)


async def delete_payout_events(db: Db, before_ms: int) -> None:
    """Forget what providers of payouts called us with before `before_ms`."""
    await db.execute(DELETE_PAYOUT_EVENTS, before_ms)
