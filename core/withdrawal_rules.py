"""What a fraud rule looks at when a member asks to be paid: each kind is a few values and one
function, which says why a withdrawal is hit, or nothing.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import NamedTuple, TypeAlias

import msgspec

from core import fraud_kinds
from core.fraud_kinds import Count, Kind, Minor, Window


class Made(NamedTuple):
    """How many withdrawals a member has asked for, this one included, and what they come to."""

    times: int
    amount_minor: int


class Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of a withdrawal that is asked for. `made` is by how far back it goes, in
    seconds; those that the member canceled do not count."""

    amount_minor: int
    at: dt.datetime
    member_since: dt.datetime
    was_paid: bool = False
    made: Mapping[int, Made] = {}


class WithdrawalVelocity(Kind, frozen=True, kw_only=True, tag="withdrawal_velocity"):
    """The member asks for more than `most` withdrawals within `window_s`, or for more than
    `above_minor` with them, in minor units of the program's currency."""

    window_s: Window
    most: Count | None = None
    above_minor: Minor | None = None

    @property
    def is_empty(self) -> bool:
        """Whether it can hit nothing."""
        return self.most is None and self.above_minor is None

    def why(self, asked: Asked) -> str | None:
        """Why it is hit."""
        times, amount_minor = asked.made[self.window_s]
        if self.most is not None and times > self.most:
            return f"it is the member's withdrawal {times} within {self.window_s} s"
        if self.above_minor is not None and amount_minor > self.above_minor:
            said = f"the member's withdrawals within {self.window_s} s come to {amount_minor}"
            return f"{said}, above {self.above_minor}"
        return None


class FirstWithdrawal(Kind, frozen=True, kw_only=True, tag="first_withdrawal"):
    """The member was paid nothing before, joined less than `younger_than_s` ago, and asks for more
    than `above_minor`, in minor units of the program's currency."""

    younger_than_s: Window = 30 * fraud_kinds.DAY_S
    above_minor: Minor = 0

    def why(self, asked: Asked) -> str | None:
        """Why it is hit."""
        if asked.was_paid or asked.amount_minor <= self.above_minor:
            return None
        age_s = (asked.at - asked.member_since).total_seconds()
        if age_s >= self.younger_than_s:
            return None
        return f"it is the first of a member who joined {max(age_s, 0):.0f} s before"


OfWithdrawal: TypeAlias = WithdrawalVelocity | FirstWithdrawal


def windows_s(conditions: Iterable[OfWithdrawal]) -> list[int]:
    """How far back, in seconds, these look at a member's withdrawals."""
    return sorted({one.window_s for one in conditions if isinstance(one, WithdrawalVelocity)})
