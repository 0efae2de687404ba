"""Money that operators give, take, or write off by hand.

A promotion is given out of the program's own, or taken back into it, down to nothing and not below.
A write-off gives up what a member owes, up to all of it: it becomes bad debt.
"""

from __future__ import annotations

from typing import Final, Literal

from core import errors, withdrawals
from core.wallet import Account, Role
from core.withdrawals import Money, Rules

Kind = Literal["promotion", "write_off"]
State = Literal["proposed", "posted", "dropped"]

#: Where the money comes from.
_SOURCES: Final[dict[Kind, Role]] = {"promotion": "promotion", "write_off": "bad_debt"}


def legs(kind: Kind, money: Money) -> dict[Account, int]:
    """The money that moves."""
    member_id, amount_minor, currency = money
    return {
        Account("available", currency, member_id): amount_minor,
        Account(_SOURCES[kind], currency): -amount_minor,
    }


def check(kind: Kind, amount_minor: int) -> None:
    """InvalidRequest for an amount that the kind does not have."""
    if amount_minor == 0 or (kind == "write_off" and amount_minor < 0):
        detail = "A write-off is above zero, and nothing is zero."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/amount_minor"}])


def check_covered(kind: Kind, available_minor: int, amount_minor: int) -> None:
    """BalanceNegative, InsufficientBalance when more would be taken than there is; Conflict when
    more would be written off than is owed."""
    if kind == "write_off" and amount_minor > max(-available_minor, 0):
        raise errors.Conflict("The member owes less than that.")
    if amount_minor < 0:
        withdrawals.check_covered(available_minor, -amount_minor)


def needs_two(rules: Rules, amount_minor: int) -> bool:
    """Whether a second operator has to approve, as for a withdrawal of as much."""
    return withdrawals.needs_two(rules, abs(amount_minor))
