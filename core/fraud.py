"""What follows when fraud rules hit a conversion.

    flag     a case is opened, and the money flows
    hold     its cashback waits for an operator
    reject   its cashback is not given

Of several hits the strongest counts. A rule in shadow mode is only noted. A rule that has hit a
conversion does not hit it again: what an operator has released stays so.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Collection, Iterable, Sequence
from typing import Final, Literal, NamedTuple

import msgspec

from core import conversions, errors, ids
from core.conversions import Conversion, Review
from core.fraud_rules import Condition, Facts, OfConversion

Action = Literal["flag", "hold", "reject"]
CaseState = Literal["open", "released", "rejected"]
Step = Literal["release", "reject"]

#: More rules than anybody reads.
RULES_MAX: Final = 50

_STRENGTH: Final[dict[Action, int]] = {"flag": 0, "hold": 1, "reject": 2}
_REVIEWS: Final[dict[Action, Review]] = {"hold": "held", "reject": "rejected"}
_REACHED: Final[dict[Step, CaseState]] = {"release": "released", "reject": "rejected"}


class Rule(msgspec.Struct, frozen=True, kw_only=True):
    """A rule of a program, as it is in this version."""

    id: str
    version: int
    name: str
    condition: Condition
    action: Action
    is_shadow: bool


class Hit(NamedTuple):
    """Which rule hit which conversion, and why. `is_decided`: a person has decided about it."""

    conversion_id: str
    rule_id: str
    rule_version: int
    action: Action
    is_shadow: bool
    reason: str
    case_id: str | None = None
    is_decided: bool = False


def is_judged(found: Conversion) -> bool:
    """Whether rules look at what is reported of it: somebody would be given cashback."""
    return is_at_stake(found) and found.review != "rejected"


def is_at_stake(found: Conversion) -> bool:
    """Whether somebody is given cashback, or would be without a review."""
    is_somebodys = found.member_id is not None and found.parked is None
    return is_somebodys and found.state not in conversions.FINAL


def hits(rules: Iterable[Rule], facts: Facts, known: Collection[Hit]) -> list[Hit]:
    """What these rules, and its network, say of a conversion that they have not said before."""
    by_network = held_by_network(facts.found, known)
    by_rules = [
        hit(rule, facts.found.id, said)
        for rule in rules
        if not any(_has_said(rule, one) for one in known) and (said := why(rule, facts)) is not None
    ]
    return by_rules if by_network is None else [by_network, *by_rules]


def why(rule: Rule, facts: Facts) -> str | None:
    """Why the rule hits the conversion, if it does; one about withdrawals never does."""
    condition = rule.condition
    return condition.why(facts) if isinstance(condition, OfConversion) else None


def hit(rule: Rule, conversion_id: str, reason: str) -> Hit:
    """The rule hits the conversion."""
    return Hit(conversion_id, rule.id, rule.version, rule.action, rule.is_shadow, reason)


def held_by_network(found: Conversion, known: Iterable[Hit]) -> Hit | None:
    """What is held and hit by no rule is held by its network's `click_min_s`."""
    if found.review != "held" or any(not one.is_shadow for one in known):
        return None
    return Hit(found.id, found.network_id, 0, "hold", False, found.reasons[-1])


def strongest(found: Iterable[Hit]) -> Hit | None:
    """The one that counts."""
    return max(found, key=lambda one: _STRENGTH[one.action], default=None)


def state_of(found: Collection[Hit]) -> CaseState:
    """Where a case stands in which these hits are, as long as no person decides."""
    if not found:
        return "released"
    return "rejected" if any(one.action == "reject" for one in found) else "open"


def graded(found: Conversion, new: Sequence[Hit]) -> Conversion:
    """The conversion after new hits."""
    loud = [one for one in new if not one.is_shadow]
    first = strongest(loud)
    if first is None or first.action == "flag":
        return found
    said = [one.reason for one in loud if one.reason not in found.reasons]
    return reviewed(found.replace(reasons=[*found.reasons, *said]), _REVIEWS[first.action])


def reviewed(found: Conversion, review: Review | None) -> Conversion:
    """The conversion in this review; who is rejected gets nothing."""
    after = found.replace(review=review)
    return after.replace(booked_cashback_minor=0) if review == "rejected" else after


def stays(found: Conversion, standing: Collection[Hit], rule: Rule, now_hit: Hit | None) -> bool:
    """Whether nothing changes when a rule is looked at again: it says what it said, or a person
    has decided. `standing` are the loud hits on the conversion."""
    own = next((one for one in standing if one.rule_id == rule.id), None)
    if own is None and now_hit is None:
        return True
    if own is not None and (own.is_decided or (now_hit and own.action == now_hit.action)):
        return True
    by_rules = any(one.action == "reject" and not one.is_decided for one in standing)
    return found.review == "rejected" and not by_rules


def regraded(
    found: Conversion, standing: Collection[Hit], rule_id: str, now_hit: Hit | None
) -> Review | None:
    """The review of a conversion when a rule hits it now as given, whatever it said before.

    `standing` are the loud hits on it. What a person has decided about is not looked at.
    """
    others = [one for one in standing if one.rule_id != rule_id and not one.is_decided]
    first = strongest(others if now_hit is None else [*others, now_hit])
    if first is not None and first.action != "flag":
        return _REVIEWS[first.action]
    return "released" if found.review in ("held", "rejected") else found.review


def is_standing(state: CaseState, decided_by: str | None) -> bool:
    """Whether a case still decides about its conversion: it is open, or a rule has rejected it."""
    is_rules = decided_by is not None and ids.is_id(decided_by, "fraud_rule")
    return state == "open" or (state == "rejected" and is_rules)


def decided(state: CaseState, decided_by: str | None, step: Step) -> CaseState:
    """The state that an operator's step leads to; FraudCaseNotOpen. What a rule has rejected can
    be released."""
    if is_standing(state, decided_by) and (state == "open" or step == "release"):
        return _REACHED[step]
    raise errors.FraudCaseNotOpen(f"The case is {state}.")


def settled(found: Conversion, step: Step, now: dt.datetime) -> Conversion:
    """The conversion after an operator's step; a release of what nobody held changes nothing."""
    if step == "reject":
        return reviewed(found, "rejected").replace(updated_at=now)
    if found.review in ("held", "rejected"):
        return found.replace(review="released", updated_at=now)
    return found


def _has_said(rule: Rule, known: Hit) -> bool:
    if known.rule_id != rule.id:
        return False
    return not known.is_shadow or known.rule_version == rule.version
