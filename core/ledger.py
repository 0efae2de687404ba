"""The ledger's rules: amounts move between accounts, and nothing appears or vanishes.

A posting moves a positive amount of one unit from a source to a destination. Written as two signed
entries it sums to zero, so any number of postings do. A mistake is never edited: it is reversed.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final, Literal, NamedTuple

Role = Literal["budget", "available", "held", "redeemed"]
Type = Literal["award", "reversal", "spend", "hold", "capture", "release", "expire"]

MEMBER_ROLES: Final[frozenset[Role]] = frozenset({"available", "held"})

# What each points event moves: from where, to where.
MOVES: Final[dict[Type, tuple[Role, Role]]] = {
    "award": ("budget", "available"),
    "reversal": ("available", "budget"),
    "spend": ("available", "redeemed"),
    "hold": ("available", "held"),
    "capture": ("held", "redeemed"),
    "release": ("held", "available"),
    "expire": ("held", "available"),
}


class Account(NamedTuple):
    """Where units are. The program's own accounts have no member."""

    program_id: str
    role: Role
    member_id: str = ""


class Posting(NamedTuple):
    """`amount` of `unit` (a currency, points or stamps) goes from `source` to `destination`."""

    source: Account
    destination: Account
    unit: str
    amount: int


class LedgerEntry(NamedTuple):
    """One leg of a posting: what an account gains, or loses when negative."""

    account: Account
    unit: str
    amount: int


def points_postings(
    event_type: Type, *, program_id: str, member_id: str, unit: str, amount: int, remainder: int = 0
) -> list[Posting]:
    """The postings of a points event; `remainder` is what a partial capture gives back."""
    moves = [(MOVES[event_type], amount), (MOVES["release"], remainder)]
    return [
        posting(
            _account(program_id, source, member_id),
            _account(program_id, destination, member_id),
            unit,
            moved,
        )
        for (source, destination), moved in moves
        if moved
    ]


def posting(source: Account, destination: Account, unit: str, amount: int) -> Posting:
    """A posting that moves something somewhere, or ValueError."""
    if amount <= 0 or source == destination:
        raise ValueError("a posting moves a positive amount between two accounts")
    return Posting(source, destination, unit, amount)


def entries(postings: Iterable[Posting]) -> list[LedgerEntry]:
    """The postings as signed legs, source before destination."""
    return [
        entry
        for source, destination, unit, amount in postings
        for entry in (LedgerEntry(source, unit, -amount), LedgerEntry(destination, unit, amount))
    ]


def balanced(legs: Iterable[LedgerEntry]) -> bool:
    """Whether the legs sum to zero in every unit."""
    sums: Counter[str] = Counter()
    for _, unit, amount in legs:
        sums[unit] += amount
    return not any(sums.values())


def reverse(postings: Sequence[Posting]) -> list[Posting]:
    """The postings that undo these, the last one first."""
    return [
        Posting(destination, source, unit, amount)
        for source, destination, unit, amount in reversed(postings)
    ]


def _account(program_id: str, role: Role, member_id: str) -> Account:
    return Account(program_id, role, member_id if role in MEMBER_ROLES else "")
