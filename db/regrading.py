"""Looking at conversions again with a fraud rule: what it hits now is graded, what it does not hit
any more is given back, and the difference is booked, in the caller's transaction.

What a person has decided stays. A second time changes nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from core import cashback, fraud, wallet
from core.conversions import Conversion, Key
from core.fraud import Hit, Rule
from core.fraud_rules import Facts
from core.keyring import KeyRing
from db import conversions, fraud_facts
from db import fraud as stored
from db.bookings import Act, Pair
from db.fraud import Case, Change
from db.networks import Network
from db.pg import Db

WITHDRAW: Final = """
UPDATE fraud_hit SET withdrawn_at = $4
 WHERE program_id = $1 AND rule_id = $2 AND conversion_id = ANY($3::text[]) AND NOT is_shadow
   AND withdrawn_at IS NULL
"""
# One case of a conversion is open at most.
MOVE: Final = """
UPDATE fraud_hit SET case_id = moved.target
  FROM unnest($2::text[], $3::text[]) AS moved (source, target)
 WHERE fraud_hit.program_id = $1 AND fraud_hit.case_id = moved.source AND withdrawn_at IS NULL
"""
NO_MORE: Final = "it does not hit any more"


class Outcome(NamedTuple):
    """How many were looked at, what became of them, and what accounts changed by, by role and
    currency."""

    looked_at: int
    flagged: int
    held: int
    rejected: int
    released: int
    difference: Counter[tuple[wallet.Role, str]]


class _Plan(NamedTuple):
    """`target` is the open case that decides from now on about the hits of the other one."""

    before: Conversion
    after: Conversion
    change: Change
    is_first: bool
    target: Case | None


async def look(
    db: Db, ring: KeyRing, network: Network, found: Sequence[Conversion], rule: Rule, act: Act
) -> Outcome:
    """Look at locked conversions of a locked network."""
    judged = [one for one in found if fraud.is_at_stake(one)]
    names = [one.id for one in judged]
    hits = await stored.standing(db, network.program_id, names)
    loud = {name: [one for one in hits[name] if not one.is_shadow] for name in names}
    named = {one.case_id for known in loud.values() for one in known if one.case_id is not None}
    opened = await stored.cases(db, network.program_id, names, sorted(named))
    cases = {one.id: one for one in opened}
    stakes = [_at_stake(one, cases) for one in judged]
    facts = await fraud_facts.collect(db, ring, network.program_id, stakes, [rule.condition])
    plans = [
        plan
        for one, fact in zip(judged, facts, strict=True)
        if (plan := _plan(one, fact, loud[one.id], cases, rule, act)) is not None
    ]
    moved = await _carry_out(db, ring, network, plans, rule, act)
    reached = Counter(
        after.review for before, after in moved if before is not None and after != before
    )
    flagged = sum(one.is_first and rule.action == "flag" for one in plans)
    return Outcome(
        len(found), flagged, reached["held"], reached["rejected"], reached["released"],
        _difference(moved),
    )  # fmt: skip


async def _carry_out(
    db: Db, ring: KeyRing, network: Network, plans: Sequence[_Plan], rule: Rule, act: Act
) -> list[Pair]:
    """What changed of conversions, as it is stored now."""
    program_id = network.program_id
    names = [one.before.id for one in plans if not one.is_first]
    if names:
        await db.execute(WITHDRAW, program_id, rule.id, names, act.at)
    await stored.record(db, program_id, [one.change for one in plans], act)
    moved = [
        (one.change.case.id, one.target.id)
        for one in plans
        if one.change.case is not None and one.target is not None
    ]
    if moved:
        await db.execute(MOVE, program_id, *map(list, zip(*moved, strict=True)))
    pairs: list[Pair] = [
        (one.before, one.after) for one in plans if one.after.review != one.before.review
    ]
    await conversions.change_many(db, ring, network, pairs, act)
    keys = [Key(after.txn_id, after.event) for _, after in pairs]
    stored_now = await conversions.known(db, network, keys)
    return [(before, stored_now[key]) for (before, _), key in zip(pairs, keys, strict=True)]


def _plan(
    found: Conversion,
    facts: Facts,
    loud: Sequence[Hit],
    cases: Mapping[str, Case],
    rule: Rule,
    act: Act,
) -> _Plan | None:
    why = fraud.why(rule, facts)
    now_hit = None if why is None else fraud.hit(rule, found.id, why)
    if fraud.stays(found, loud, rule, now_hit):
        return None
    own = next((one for one in loud if one.rule_id == rule.id), None)
    case = None if own is None or own.case_id is None else cases[own.case_id]
    if case is None:
        case = _standing(found, cases)
    new = [] if now_hit is None else [now_hit]
    after = fraud.reviewed(found, fraud.regraded(found, loud, rule.id, now_hit))
    if why is not None and why not in after.reasons:
        after = after.replace(reasons=[*after.reasons, why])
    in_case = [one for one in loud if case and one.case_id == case.id and one.rule_id != rule.id]
    state = fraud.state_of([*in_case, *new])
    target = _open_beside(case, cases) if case is not None and state == "open" else None
    change = Change(
        before=facts.found,
        after=after,
        case=case,
        state=state if target is None else "released",
        by=rule.id,
        reason=why or NO_MORE,
        hits=new,
    )
    return _Plan(found, after.replace(updated_at=act.at), change, own is None, target)


def _open_beside(case: Case, cases: Mapping[str, Case]) -> Case | None:
    """The other case of its conversion that is open: from before rules joined one that another rule
    has rejected."""
    own = (one for one in cases.values() if one.conversion_id == case.conversion_id)
    return next((one for one in own if one.state == "open" and one.id != case.id), None)


def _standing(found: Conversion, cases: Mapping[str, Case]) -> Case | None:
    """The case that decides about it, which other rules join; of two the one that a rule has
    rejected."""
    own = [
        one
        for one in cases.values()
        if one.conversion_id == found.id and fraud.is_standing(one.state, one.decided_by)
    ]
    return max(own, key=lambda one: (one.state == "rejected", one.id), default=None)


def _at_stake(found: Conversion, cases: Mapping[str, Case]) -> Conversion:
    """With the cashback that a rejection has taken from it."""
    if found.review != "rejected":
        return found
    taken = [one.cashback_minor for one in cases.values() if one.conversion_id == found.id]
    return found.replace(booked_cashback_minor=max(taken, default=0))


def _difference(moved: Sequence[Pair]) -> Counter[tuple[wallet.Role, str]]:
    legs: Counter[tuple[wallet.Role, str]] = Counter()
    for before, after in moved:
        for account, leg in wallet.change(cashback.booked(before), cashback.booked(after)).items():
            legs[account.role, account.currency] += leg
    return legs
