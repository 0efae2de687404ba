"""Withdrawals: whatever is tried in whatever order, money is not lost, doubled, or overdrawn."""

from __future__ import annotations

from collections import Counter
from decimal import Decimal
from typing import get_args

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, rule

from core import errors, wallet, withdrawals
from core.programs import WithdrawalRules
from core.wallet import Account
from core.withdrawals import Money, News, State, Step

MONEY = Money("mem_1", 100, "INR")
AVAILABLE = Account("available", "INR", "mem_1")
HELD = Account("held", "INR", "mem_1")
PAID_OUT = Account("paid_out", "INR")


def test_every_state_and_every_step_has_its_place() -> None:
    assert set(withdrawals.NEXT) == set(get_args(State))
    assert {step for steps in withdrawals.NEXT.values() for step in steps} == set(get_args(Step))


def test_these_are_the_ways_and_no_others() -> None:
    ways = {state: " ".join(sorted(steps)) for state, steps in withdrawals.NEXT.items() if steps}
    assert ways == {
        "requested": "approve cancel reject",
        "approved": "complete reject send",
        "paying": "doubt fail settle",
        "unclear": "complete reject",
        "paid": "reverse",
    }


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("step", get_args(Step))
def test_a_step_leads_on_or_is_refused(state: State, step: Step) -> None:
    if step in withdrawals.NEXT[state]:
        assert withdrawals.after(state, step) == withdrawals.NEXT[state][step]
    else:
        with pytest.raises(errors.WithdrawalNotOpen):
            withdrawals.after(state, step)


def test_no_way_leads_back() -> None:
    reached: dict[State, set[State]] = {}

    def ahead(state: State) -> set[State]:
        if state not in reached:
            reached[state] = set()
            for one in withdrawals.NEXT[state].values():
                reached[state] |= {one} | ahead(one)
        return reached[state]

    assert all(state not in ahead(state) for state in withdrawals.NEXT)


@pytest.mark.parametrize("state", [None, *get_args(State)])
def test_what_is_booked_sums_to_zero_and_names_known_accounts(state: State | None) -> None:
    legs = withdrawals.booked(state, MONEY)
    assert wallet.balanced(legs)
    assert set(legs) <= set(withdrawals.accounts(MONEY))


def test_money_is_held_then_paid_out_or_given_back() -> None:
    assert withdrawals.legs(None, "requested", MONEY) == {AVAILABLE: -100, HELD: 100}
    assert withdrawals.legs("requested", "approved", MONEY) == {}
    assert withdrawals.legs("approved", "paid", MONEY) == {HELD: -100, PAID_OUT: 100}
    assert withdrawals.legs("paid", "reversed", MONEY) == {PAID_OUT: -100, AVAILABLE: 100}
    for state in ("failed", "rejected", "canceled"):
        assert withdrawals.legs("paying", state, MONEY) == {HELD: -100, AVAILABLE: 100}


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("news", get_args(News))
def test_a_providers_word_leads_to_a_step_that_can_be_taken(state: State, news: News) -> None:
    step = withdrawals.follows(state, news)
    assert step is None or step in withdrawals.NEXT[state]
    assert step is None or not withdrawals.is_odd(state, news)


@pytest.mark.parametrize("state", ["requested", "approved", "failed", "rejected", "canceled"])
def test_a_provider_that_pays_what_it_was_not_told_to_is_noticed(state: State) -> None:
    assert withdrawals.is_odd(state, "paid")


@pytest.mark.parametrize(
    ("amount_minor", "currency", "is_other"),
    [
        (None, None, False),
        (Decimal(100), "INR", False),
        (Decimal("100.00"), None, False),
        (Decimal("100.5"), "INR", True),
        (Decimal(99), None, True),
        (Decimal(100), "USD", True),
        (None, "USD", True),
    ],
)
def test_a_provider_that_speaks_of_other_money_is_noticed(
    amount_minor: Decimal | None, currency: str | None, *, is_other: bool
) -> None:
    assert withdrawals.differs(MONEY, amount_minor, currency) is is_other


def test_a_provider_that_pays_what_was_given_back_is_noticed() -> None:
    assert withdrawals.is_odd("failed", "paid")
    assert withdrawals.is_odd("paid", "failed")
    assert not withdrawals.is_odd("paid", "paid")
    assert not withdrawals.is_odd("paying", "paid")


@pytest.mark.parametrize(
    ("available", "refusal"),
    [
        (-1, errors.BalanceNegative),
        (0, errors.InsufficientBalance),
        (99, errors.InsufficientBalance),
    ],
)
def test_what_is_not_there_is_not_withdrawn(
    available: int, refusal: type[errors.StampgateError]
) -> None:
    with pytest.raises(refusal):
        withdrawals.check_covered(available, 100)


def test_what_is_there_is() -> None:
    withdrawals.check_covered(100, 100)


def test_the_rules_of_a_program() -> None:
    rules = WithdrawalRules(minimum_minor=50, two_approvals_above_minor=100)
    withdrawals.check_amount(rules, 50)
    with pytest.raises(errors.AmountBelowMinimum):
        withdrawals.check_amount(rules, 49)
    assert not withdrawals.needs_two(rules, 100)
    assert withdrawals.needs_two(rules, 101)
    assert not withdrawals.needs_two(WithdrawalRules(two_approvals_above_minor=None), 10**9)


class Desk(RuleBasedStateMachine):
    """A member's withdrawals, with cashback that comes and is taken back meanwhile, and a provider
    whose words come late, twice and out of order."""

    ids = Bundle("ids")

    @initialize()
    def begin(self) -> None:
        self.balances: Counter[Account] = Counter()
        self.states: dict[int, State] = {}
        self.amounts: dict[int, int] = {}
        self.payments: Counter[int] = Counter()

    def move(self, legs: wallet.Legs) -> None:
        for account, leg in legs.items():
            self.balances[account] += leg

    @rule(amount=st.integers(-300, 500))
    def cashback(self, amount: int) -> None:
        self.move({AVAILABLE: amount, Account("receivable", "INR", "", "net_1"): -amount})

    @rule(target=ids, amount=st.integers(1, 300))
    def request(self, amount: int) -> int:
        number, before = len(self.states), self.balances[AVAILABLE]
        try:
            withdrawals.check_covered(before, amount)
        except errors.Conflict:
            return -1
        self.states[number], self.amounts[number] = "requested", amount
        self.move(withdrawals.legs(None, "requested", self.about(number)))
        assert self.balances[AVAILABLE] >= 0
        return number

    @rule(number=ids, step=st.sampled_from(get_args(Step)))
    def step(self, number: int, step: Step) -> None:
        if number in self.states and step in withdrawals.NEXT[self.states[number]]:
            self.take(number, step)

    @rule(number=ids, news=st.sampled_from(get_args(News)))
    def hear(self, number: int, news: News) -> None:
        if number in self.states:
            step = withdrawals.follows(self.states[number], news)
            if step is not None:
                self.take(number, step)

    def take(self, number: int, step: Step) -> None:
        before = self.states[number]
        after = withdrawals.after(before, step)
        self.move(withdrawals.legs(before, after, self.about(number)))
        self.states[number] = after
        self.payments[number] += after == "paid"

    def about(self, number: int) -> Money:
        return Money("mem_1", self.amounts[number], "INR")

    @invariant()
    def nothing_is_paid_twice(self) -> None:
        assert all(times <= 1 for times in getattr(self, "payments", {}).values())

    @invariant()
    def the_ledger_agrees_with_the_states(self) -> None:
        if hasattr(self, "states"):
            held = sum(self.amounts[one] for one, s in self.states.items() if s in withdrawals.OPEN)
            paid = sum(self.amounts[one] for one, s in self.states.items() if s == "paid")
            assert (self.balances[HELD], self.balances[PAID_OUT]) == (held, paid)
            assert sum(self.balances.values()) == 0


TestDesk = Desk.TestCase
