"""What the points script is asked, and what its answers mean."""

from __future__ import annotations

from typing import Final, NamedTuple

from core import errors

# Statuses of db/lua/points_state.lua.
DONE, REPLAYED = 0, 1
REFUSALS: Final[dict[int, tuple[type[errors.StampgateError], str]]] = {
    2: (errors.IdempotencyKeyReused, ""),
    3: (errors.MemberNotFound, ""),
    4: (errors.LimitReached, "The member's limit for the day leaves {}."),
    5: (errors.LimitReached, "The next one is possible in {} ms."),
    6: (errors.BudgetExhausted, ""),
    7: (errors.InsufficientBalance, "The balance is {}."),
    8: (errors.BalanceNegative, "The balance is {}."),
    9: (errors.BalanceTooLarge, ""),
    10: (errors.HoldNotOpen, ""),
    11: (errors.ReversalTooLarge, "At most {} is left."),
    12: (errors.CaptureTooLarge, "The hold has set {} aside."),
}
UNKNOWN_MEMBER: Final = 3
BUDGET: Final = 6


class Item(NamedTuple):
    """One thing to decide. `marker` is the idempotency scope; an empty hash means no key."""

    op: str
    account: str
    amount: int
    body_hash: bytes
    facts: bytes
    marker: bytes
    at_ms: int
    related: str = ""
    bound: int = 0
    day: str = ""
    limit: int = -1
    interval_ms: int = 0
    has_budget: bool = False


class Decision(NamedTuple):
    """What was decided, now or the first time. Ids are made of it."""

    generation: int
    sequence: int
    balance: int
    at_ms: int
    amount: int
    remainder: int
    account: str
    is_replay: bool


class Outcome(NamedTuple):
    """The script's answer to one item: a status, and the text that goes with it."""

    status: int
    text: bytes

    def decision(self) -> Decision:
        """The decision, or the refusal as the error that the API answers."""
        if self.status > REPLAYED:
            kind, detail = REFUSALS[self.status]
            raise kind(detail.format(self.text.decode()) if detail else None)
        generation, sequence, balance, at_ms, amount, remainder, account = self.text.split(b" ")
        return Decision(
            int(generation), int(sequence), int(balance), int(at_ms), int(amount), int(remainder),
            account.decode(), self.status == REPLAYED,
        )  # fmt: skip
