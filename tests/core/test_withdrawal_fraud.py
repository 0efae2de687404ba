"""Fraud rules about withdrawals at their boundaries, and what follows from several hits."""

from __future__ import annotations

import datetime as dt

import msgspec
import pytest

from core import withdrawal_fraud, withdrawal_rules
from core.fraud import Action, Rule
from core.fraud_rules import Amount, Condition
from core.withdrawal_fraud import Hit
from core.withdrawal_rules import Asked, FirstWithdrawal, Made, OfWithdrawal, WithdrawalVelocity

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DAY = 86_400


def asked(
    count: int = 1, total: int = 100, *, amount: int = 100, age_s: int = DAY, was_paid: bool = False
) -> Asked:
    return Asked(
        amount_minor=amount,
        at=NOW,
        member_since=NOW - dt.timedelta(seconds=age_s),
        was_paid=was_paid,
        made={DAY: Made(count, total)},
    )


OFTEN = WithdrawalVelocity(window_s=DAY, most=3)
MUCH = WithdrawalVelocity(window_s=DAY, above_minor=500)
FRESH = FirstWithdrawal(younger_than_s=DAY, above_minor=99)
EDGES: list[tuple[OfWithdrawal, Asked, str | None]] = [
    (OFTEN, asked(3), None),
    (OFTEN, asked(4), f"it is the member's withdrawal 4 within {DAY} s"),
    (OFTEN, asked(1, 10**9), None),
    (MUCH, asked(9, 500), None),
    (MUCH, asked(1, 501), f"the member's withdrawals within {DAY} s come to 501, above 500"),
    (FRESH, asked(age_s=DAY), None),
    (FRESH, asked(age_s=DAY - 1), f"it is the first of a member who joined {DAY - 1} s before"),
    (FRESH, asked(age_s=-5), "it is the first of a member who joined 0 s before"),
    (FRESH, asked(age_s=1, amount=99), None),
    (FRESH, asked(age_s=1, was_paid=True), None),
]


@pytest.mark.parametrize(("condition", "facts", "reason"), EDGES)
def test_a_rule_hits_from_its_boundary_on(
    condition: OfWithdrawal, facts: Asked, reason: str | None
) -> None:
    assert condition.why(facts) == reason


def test_each_kind_has_a_boundary_here_and_is_stored_as_it_is_said() -> None:
    assert {type(condition) for condition, _, _ in EDGES} == set(OfWithdrawal.__args__)
    for condition, _, _ in EDGES:
        text = msgspec.json.encode(condition)
        assert msgspec.json.decode(text, type=Condition) == condition


def test_how_far_rules_look_back_is_known_once() -> None:
    assert withdrawal_rules.windows_s([OFTEN, MUCH, FRESH]) == [DAY]


def rule(condition: Condition, action: Action, *, is_shadow: bool = False) -> Rule:
    return Rule(
        id=f"frl_{action}", version=2, name="x", condition=condition, action=action,
        is_shadow=is_shadow,
    )  # fmt: skip


def test_rules_about_conversions_say_nothing_of_a_withdrawal() -> None:
    found = withdrawal_fraud.hits(
        [rule(Amount(above_minor=0), "reject"), rule(OFTEN, "hold")], asked(4)
    )
    assert found == [
        Hit("frl_hold", 2, "hold", False, f"it is the member's withdrawal 4 within {DAY} s")
    ]


def test_the_strongest_hit_counts_and_a_shadow_does_not() -> None:
    rules = [rule(OFTEN, "flag"), rule(OFTEN, "hold"), rule(OFTEN, "reject")]
    found = withdrawal_fraud.hits(rules, asked(4))
    reasons = [one.reason for one in found]
    assert withdrawal_fraud.grade(found) == (True, reasons, "frl_reject")
    assert withdrawal_fraud.grade(found[:2]) == (True, reasons[:2], None)
    assert withdrawal_fraud.grade(found[:1]) == (False, reasons[:1], None)
    quiet = [one._replace(is_shadow=True) for one in found]
    assert withdrawal_fraud.grade(quiet) == (False, [], None)
