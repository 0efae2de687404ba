"""What referrals bring, in the transaction that books the purchases: found before accounts are
locked, so that those of both members are locked with all others, and given once they are.

Whoever books locks a referral before any account, so that of two networks that report a member's
first purchase at once one waits, and finds it rewarded. The account that rewards come from is
locked whenever one might be given: caps and budget are looked at by one at a time.
"""

from __future__ import annotations

import datetime as dt
import os
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from core import conversions, ids, referrals, tasks, wallet
from core.conversions import Conversion
from core.keyring import KeyRing
from core.programs import ReferralRules
from core.referrals import GIVEN, OPEN, Referral, Standing, State
from core.wallet import Account
from db import members, money, outbox, programs, webhooks
from db import referrals as stored
from db.money import Locked
from db.pg import Db

OF_MEMBERS: Final = """
SELECT id, program_id, member_id, referrer_id, version, state, reason, currency, referrer_minor,
       referee_minor, minimum_commission_minor, minimum_sale_minor, qualifies_until, conversion_id,
       claimed_at, qualified_at, updated_at
  FROM referral
 WHERE program_id = $1 AND member_id = ANY($2::text[]) AND state <> 'refused'
 ORDER BY id FOR UPDATE
"""
# What the rule looks at; it has the last word about each.
PURCHASES: Final = """
SELECT id, program_id, network_id, txn_id, event, version, state, review, sale_minor,
       sale_currency, currency, event_at, member_id, booked_currency, booked_commission_minor, rate,
       first_seen_at, updated_at
  FROM conversion
 WHERE program_id = $1 AND member_id = $2 AND state IN ('approved', 'settled')
   AND booked_commission_minor >= $3 AND coalesce(event_at, first_seen_at) <= $4
 ORDER BY coalesce(event_at, first_seen_at), id LIMIT 200
"""
# What a rule has rejected can be released; what a person has cannot.
IS_STANDING: Final = """
SELECT EXISTS (
    SELECT FROM fraud_case
     WHERE program_id = $1 AND conversion_id = $2
       AND (state = 'open' OR (state = 'rejected' AND starts_with(decided_by, 'frl_'))))
"""
UPDATE: Final = """
UPDATE referral
   SET version = $3, state = $4, reason = $5, conversion_id = $6, qualified_at = $7,
       updated_at = $8
 WHERE program_id = $1 AND id = $2
"""


class Due(NamedTuple):
    """A locked referral, and the purchase that it qualifies by from now on; None for none.
    `suspended_by` is the conversion whose review alone, which may still release it, is the reason
    for that."""

    referral: Referral
    purchase: Conversion | None
    suspended_by: str | None = None


class Act(NamedTuple):
    """Who books, and when."""

    by: str
    at: dt.datetime


async def due(
    db: Db, program_id: str, pairs: Sequence[tuple[Conversion | None, Conversion]]
) -> list[Due]:
    """The referrals for which stored changes of conversions, before and after, do something."""
    touched = {
        one.member_id
        for pair in pairs
        for one in pair
        if one is not None and one.member_id is not None and one.state in {"approved", "settled"}
    }
    if not touched:
        return []
    rows = await db.fetch(OF_MEMBERS, program_id, sorted(touched))
    changed = {after.id: after for _, after in pairs}
    found = [await _due(db, stored.referral(row), changed) for row in rows]
    return [one for one in found if one is not None]


def accounts(found: Iterable[Due]) -> set[Account]:
    """The accounts that `settle` needs locked."""
    return {
        account
        for one, *_ in found
        for account in (referrals.source(one), *(each for each, _ in referrals.sides(one)))
    }


async def settle(db: Db, ring: KeyRing, locked: Locked, found: Sequence[Due], act: Act) -> None:
    """Give and take back what is due, and have both sides and endpoints told."""
    if not found:
        return
    rules = (await programs.get(db, locked.program_id)).settings.referrals
    for one, purchase, suspended_by in found:
        if purchase is None:
            await _take_back(db, locked, one, suspended_by, act)
        elif one.state in GIVEN:
            await _store(db, msgspec.structs.replace(one, conversion_id=purchase.id), act)
        else:
            await _qualify(db, ring, locked, one, purchase, rules, act)


async def _due(db: Db, one: Referral, changed: dict[str, Conversion]) -> Due | None:
    purchase = referrals.first(one, changed.values())
    own = changed.get(one.conversion_id or "")
    may_count = own is not None and await _may_count(db, one, own)
    if one.state in OPEN:
        if own is not None and not may_count:
            # What was suspended is lost: for another purchase it is asked anew whether it may be.
            return Due(msgspec.structs.replace(one, conversion_id=None), purchase)
        return None if purchase is None else Due(one, purchase)
    if own is None or referrals.counts(one, own):
        return None
    # The purchase that it qualified by does not count any more: is there another one?
    if purchase is None:
        asked = (one.minimum_commission_minor, one.qualifies_until)
        rows = await db.fetch(PURCHASES, one.program_id, one.member_id, *asked)
        purchase = referrals.first(one, [Conversion(**row) for row in rows])
    return Due(one, purchase, own.id if may_count else None)


async def _may_count(db: Db, one: Referral, own: Conversion) -> bool:
    """Whether it counts, or does as soon as a review releases it, which may still be."""
    if not referrals.would_count(one, own):
        return False
    if own.review != "rejected":
        return True
    return bool(await db.fetchval(IS_STANDING, one.program_id, own.id))


async def _qualify(
    db: Db,
    ring: KeyRing,
    locked: Locked,
    before: Referral,
    purchase: Conversion,
    rules: ReferralRules,
    act: Act,
) -> None:
    standing = await _standing(db, ring, locked, before, rules, act)
    reason = referrals.refusal(rules, before, standing)
    state: State = "refused" if reason else "rewarded" if before.total_minor else "qualified"
    after = msgspec.structs.replace(
        before,
        state=state,
        reason=reason,
        conversion_id=purchase.id,
        qualified_at=before.qualified_at if before.is_suspended else act.at,
    )
    after = await _store(db, after, act)
    if state == "rewarded":
        await _move(db, locked, after, 1, act)
        await outbox.add_many(db, [tasks.TellReferral(after.id)])
    await webhooks.queue_events(db, [_event(after, "referral.qualified", act)])
    await _watch_budget(db, locked, after, rules, act)


async def _standing(
    db: Db, ring: KeyRing, locked: Locked, one: Referral, rules: ReferralRules, act: Act
) -> Standing:
    spent_minor = -locked.balances[referrals.source(one)]
    asked = (one.program_id, one.referrer_id, one.currency, rules, spent_minor, act.at)
    return Standing(
        is_member_here=await members.exists(db, one.program_id, one.member_id),
        is_referrer_here=await members.exists(db, one.program_id, one.referrer_id),
        is_same_person=await stored.is_same_person(
            db, ring, one.program_id, one.member_id, one.referrer_id
        ),
        given=await stored.given(db, *asked),
    )


async def _take_back(
    db: Db, locked: Locked, before: Referral, suspended_by: str | None, act: Act
) -> None:
    after = msgspec.structs.replace(before, state="reversed", conversion_id=suspended_by)
    after = await _store(db, after, act)
    if before.state not in GIVEN:  # It was only suspended, and is lost now.
        return
    were = dict(locked.balances)
    await _move(db, locked, after, -1, act)
    own = [account for account, _ in referrals.sides(after)]
    below = [one for one in own if locked.balances[one] < 0 <= were[one]]
    events = [_event(after, "referral.reversed", act)]
    events += [_event(after, "balance.negative", act, account.member_id) for account in below]
    await webhooks.queue_events(db, events)


async def _store(db: Db, changed: Referral, act: Act) -> Referral:
    after = msgspec.structs.replace(changed, version=changed.version + 1, updated_at=act.at)
    await db.execute(
        UPDATE,
        *(after.program_id, after.id, after.version, after.state, after.reason),
        *(after.conversion_id, after.qualified_at, after.updated_at),
    )
    return after


async def _move(db: Db, locked: Locked, after: Referral, sign: Literal[1, -1], act: Act) -> None:
    legs = referrals.legs(after, sign)
    if not legs:
        return
    moved = money.Transaction(
        id=ids.new("transaction", _ms(act.at), os.urandom(ids.ENTROPY_BYTES)),
        type=f"referral_{after.state}",
        subject=after.id,
        step=after.version,
        member_id=after.member_id,
        reason=None,
        recorded_by=act.by,
        recorded_at=act.at,
        postings=wallet.postings(legs),
    )
    await money.post(db, locked, [moved])


async def _watch_budget(
    db: Db, locked: Locked, one: Referral, rules: ReferralRules, act: Act
) -> None:
    """Tell endpoints, once for each budget, that it does not reach for another reward."""
    spent_minor = -locked.balances[referrals.source(one)]
    if rules.budget_minor is None or spent_minor + one.total_minor <= rules.budget_minor:
        return
    name = f"{one.program_id}_{one.currency}_referrals_{rules.budget_minor}"
    data: dict[str, object] = {
        "currency": one.currency,
        "budget_minor": rules.budget_minor,
        "spent_minor": spent_minor,
    }
    kind = "referral.budget_exhausted"
    event = webhooks.Event(one.program_id, kind, name, _ms(act.at), data)
    await webhooks.queue_events(db, [event])


def _event(after: Referral, kind: str, act: Act, negative: str | None = None) -> webhooks.Event:
    data = {
        "id": after.id,
        "member": negative or after.member_id,
        "referrer": after.referrer_id,
        "conversion": after.conversion_id,
        "state": after.state,
        "reason": after.reason,
        "currency": after.currency,
        "referrer_minor": after.referrer_minor,
        "referee_minor": after.referee_minor,
    }
    name = f"evt_{after.id}_{after.version}_{kind.rpartition('.')[2]}"
    if negative is not None:
        name += f"_{negative}"
    return webhooks.Event(after.program_id, kind, name, _ms(act.at), data)


def _ms(moment: dt.datetime) -> int:
    return (moment - conversions.EPOCH) // dt.timedelta(milliseconds=1)
