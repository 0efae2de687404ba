"""What follows when fraud rules hit a withdrawal that a member asks for.

    flag     operators see why
    hold     a person has to approve it: no key can
    reject   it is not paid, and the member has the money back

A withdrawal is looked at once. Whoever approves or rejects it decides about what was found.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from core.fraud import Action, Rule
from core.withdrawal_rules import Asked, OfWithdrawal


class Hit(NamedTuple):
    """Which rule hit the withdrawal, and why."""

    rule_id: str
    rule_version: int
    action: Action
    is_shadow: bool
    reason: str


class Grade(NamedTuple):
    """What becomes of a withdrawal: its reasons, and by which rule it is rejected, if any."""

    is_held: bool
    reasons: list[str]
    rejected_by: str | None


def hits(rules: Iterable[Rule], asked: Asked) -> list[Hit]:
    """What these rules say of it; those about conversions say nothing."""
    return [
        Hit(rule.id, rule.version, rule.action, rule.is_shadow, why)
        for rule in rules
        if isinstance(rule.condition, OfWithdrawal)
        and (why := rule.condition.why(asked)) is not None
    ]


def grade(found: Sequence[Hit]) -> Grade:
    """What follows from hits; a rule in shadow mode is only noted."""
    loud = [one for one in found if not one.is_shadow]
    return Grade(
        is_held=any(one.action == "hold" for one in loud),
        reasons=[one.reason for one in loud],
        rejected_by=next((one.rule_id for one in loud if one.action == "reject"), None),
    )
