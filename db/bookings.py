"""What changes of conversions do to the ledger, and who is told, in the caller's transaction."""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Sequence
from typing import Final, NamedTuple

from core import cashback, conversions, ids, tasks, wallet
from core.conversions import Conversion
from core.keyring import KeyRing
from db import claims, money, outbox, referral_rewards, webhooks
from db.pg import Db

#: How many members one task tells.
TOLD_AT_ONCE: Final = 100

#: A conversion before and after a change; None before there was one.
Pair = tuple[Conversion | None, Conversion]


class Act(NamedTuple):
    """Who takes the step, when, why, and for how long conversions wait for their clicks."""

    by: str
    at: dt.datetime
    patience: dt.timedelta
    reason: str | None = None


async def move(db: Db, ring: KeyRing, program_id: str, pairs: Sequence[Pair], act: Act) -> set[str]:
    """Move the money of these changes, and take back what was given for claims that they answer;
    the ids of conversions that left a member below zero."""
    answers = await claims.answer(db, ring, program_id, [one for _, one in pairs], act.by, act.at)
    moved = answers + [
        (after.id, _transaction(after, legs, act))
        for before, after in pairs
        if (legs := wallet.change(cashback.booked(before), cashback.booked(after)))
    ]
    due = await referral_rewards.due(db, program_id, pairs)
    if not moved and not due:
        return set()
    named = [(name, wallet.accounts(one.postings)) for name, one in moved]
    wanted = {one for _, some in named for one in some} | referral_rewards.accounts(due)
    locked = await money.lock(db, program_id, wanted)
    were = dict(locked.balances)
    await money.post(db, locked, [one for _, one in moved])
    below = {one for one, had in were.items() if locked.balances[one] < 0 <= had}
    await referral_rewards.settle(db, ring, locked, due, referral_rewards.Act(act.by, act.at))
    return {
        name
        for name, accounts in named
        if any(account.role == "available" and account in below for account in accounts)
    }


def _transaction(after: Conversion, legs: wallet.Legs, act: Act) -> money.Transaction:
    return money.Transaction(
        id=new_id("transaction", act.at),
        type=f"conversion_{after.state}",
        subject=after.id,
        step=after.version,
        member_id=after.member_id,
        reason=act.reason,
        recorded_by=act.by,
        recorded_at=act.at,
        postings=wallet.postings(legs),
    )


async def announce(db: Db, pairs: Sequence[Pair], negative: set[str], act: Act) -> None:
    """Tell endpoints and members of these changes, if the caller commits."""
    events = [
        _event(after, kind, act)
        for before, after in pairs
        if (kind := conversions.event_type(before, after)) is not None
    ]
    events += [_event(after, "balance.negative", act) for _, after in pairs if after.id in negative]
    if events:
        await webhooks.queue_events(db, events)
    told = [after.id for before, after in pairs if cashback.became_available(before, after)]
    parts = [told[start : start + TOLD_AT_ONCE] for start in range(0, len(told), TOLD_AT_ONCE)]
    if parts:
        await outbox.add_many(db, map(tasks.TellCashback, parts))


def _event(after: Conversion, kind: str, act: Act) -> webhooks.Event:
    data = {
        "id": after.id,
        "network": after.network_id,
        "member": after.member_id,
        "click": after.click_id,
        "state": after.state,
        "currency": after.booked_currency,
        "commission_minor": after.booked_commission_minor,
        "cashback_minor": after.booked_cashback_minor,
    }
    at_ms = (act.at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    name = f"evt_{after.id}_{after.version}_{kind.rpartition('.')[2]}"
    return webhooks.Event(after.program_id, kind, name, at_ms, data)


def new_id(kind: ids.Kind, at: dt.datetime) -> str:
    """A new id of that moment."""
    at_ms = (at - conversions.EPOCH) // dt.timedelta(milliseconds=1)
    return ids.new(kind, at_ms, os.urandom(ids.ENTROPY_BYTES))
