"""Withdrawals: which step may follow which, and what each state means for the ledger.

    requested → approved → paying → paid → reversed
     │      │    │    └──────────────↑        the bank sent it back
     │      └────┴→ rejected  └→ failed
     └→ canceled

A provider that speaks of another amount than it was told is not followed: the withdrawal is then
`unclear`, until an operator has looked at the provider's books, and completes or rejects it.

By hand an approved withdrawal is paid at once, with the bank's reference (UTR). A provider is told
to pay only after `paying` is stored; from then on nobody can reject it or pay it by hand, because
it may have been paid: what the provider says of our id decides. No step leads backward.
"""

from __future__ import annotations

from decimal import Decimal
from typing import Final, Literal, NamedTuple, Protocol

from core import errors, wallet
from core.wallet import Account

State = Literal[
    "requested",
    "approved",
    "paying",
    "unclear",
    "paid",
    "failed",
    "rejected",
    "canceled",
    "reversed",
]
Step = Literal[
    "cancel", "approve", "reject", "complete", "send", "settle", "fail", "doubt", "reverse"
]
#: What is known of a payout from its provider.
News = Literal["under_way", "paid", "failed", "reversed"]

NEXT: Final[dict[State, dict[Step, State]]] = {
    "requested": {"cancel": "canceled", "approve": "approved", "reject": "rejected"},
    "approved": {"reject": "rejected", "complete": "paid", "send": "paying"},
    "paying": {"settle": "paid", "fail": "failed", "doubt": "unclear"},
    "unclear": {"complete": "paid", "reject": "rejected"},
    "paid": {"reverse": "reversed"},
    "failed": {},
    "rejected": {},
    "canceled": {},
    "reversed": {},
}
#: For these the money waits.
OPEN: Final[frozenset[State]] = frozenset({"requested", "approved", "paying", "unclear"})
#: In these the reason is in a provider's words.
SAID_BY_PROVIDERS: Final[frozenset[State]] = frozenset({"unclear", "failed"})

# What follows from a provider's word; what is not here changes nothing.
_FOLLOWS: Final[dict[tuple[State, News], Step]] = {
    ("paying", "paid"): "settle",
    ("paying", "failed"): "fail",
    # It was paid and came back before we heard of either.
    ("paying", "reversed"): "fail",
    ("paid", "reversed"): "reverse",
}
# Words that cannot follow: somebody has to look at the provider's books.
_ODD: Final = frozenset({
    *((state, "paid") for state in ("requested", "approved", "failed", "rejected", "canceled")),
    ("paid", "failed"),
})  # fmt: skip


class Rules(Protocol):
    """What a program's settings say of withdrawals."""

    @property
    def minimum_minor(self) -> int:
        """The least that can be withdrawn."""

    @property
    def two_approvals_above_minor(self) -> int | None:
        """Above this two operators have to approve."""


class Money(NamedTuple):
    """Whose money a withdrawal is about, and how much."""

    member_id: str
    amount_minor: int
    currency: str


def after(state: State, step: Step) -> State:
    """The state that a step leads to; WithdrawalNotOpen when it cannot be taken."""
    reached = NEXT[state].get(step)
    if reached is None:
        raise errors.WithdrawalNotOpen(f"The withdrawal is {state}.")
    return reached


def follows(state: State, news: News) -> Step | None:
    """The step that a provider's word leads to, None when it changes nothing."""
    return _FOLLOWS.get((state, news))


def is_odd(state: State, news: News) -> bool:
    """Whether a provider says what cannot be, such as that it paid what we took back."""
    return (state, news) in _ODD


def differs(money: Money, amount_minor: Decimal | None, currency: str | None) -> bool:
    """Whether a provider speaks of other money than it was told to pay; None is what it does not
    say."""
    return amount_minor not in {None, money.amount_minor} or currency not in {None, money.currency}


def booked(state: State | None, money: Money) -> dict[Account, int]:
    """What the ledger holds for a withdrawal in this state; None for one that is not there yet."""
    member_id, amount_minor, currency = money
    available = Account("available", currency, member_id)
    if state in OPEN:
        return {available: -amount_minor, Account("held", currency, member_id): amount_minor}
    if state == "paid":
        return {available: -amount_minor, Account("paid_out", currency): amount_minor}
    return {}


def accounts(money: Money) -> list[Account]:
    """All that a withdrawal ever changes."""
    member_id, _, currency = money
    return [
        Account("available", currency, member_id),
        Account("held", currency, member_id),
        Account("paid_out", currency),
    ]


def legs(before: State | None, reached: State, money: Money) -> dict[Account, int]:
    """The money that moves from one state to the other."""
    return wallet.change(booked(before, money), booked(reached, money))


def check_amount(rules: Rules, amount_minor: int) -> None:
    """AmountBelowMinimum."""
    if amount_minor < rules.minimum_minor:
        raise errors.AmountBelowMinimum(
            f"The least that can be withdrawn is {rules.minimum_minor}, in minor units."
        )


def check_covered(available_minor: int, amount_minor: int) -> None:
    """BalanceNegative when something is owed back, InsufficientBalance when there is too little."""
    if available_minor < 0:
        raise errors.BalanceNegative
    if available_minor < amount_minor:
        raise errors.InsufficientBalance


def needs_two(rules: Rules, amount_minor: int) -> bool:
    """Whether two operators have to approve."""
    limit = rules.two_approvals_above_minor
    return limit is not None and amount_minor > limit
