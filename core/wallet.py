"""The money ledger: whose money is where, and how it moves.

An account is a role in one currency: a member's, a network's, or the program's own. What is owed
to members stands in their accounts, and every minor unit of it came out of another account, so all
balances of a currency sum to zero:

    receivable   what a network owes us; below zero by as much
    settled      what networks have paid; below zero by as much
    promotion    what the program gives of its own; below zero by as much
    claims_float what was credited for claims before a network answered; below zero by as much
    referral     what it gives for members who were brought; below zero by as much
    expected     our part of commissions that are not approved yet
    margin       our part of those that are
    pending      a member's cashback that is not approved yet
    review       a member's cashback that an operator has to look at
    available    what a member may withdraw; below zero when cashback was reversed after it was paid
    held         what a withdrawal waits for
    paid_out     what has been paid to members
    bad_debt     what is owed by members who will not pay; below zero by as much
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable, Mapping
from typing import Final, Literal, NamedTuple

Role = Literal[
    "receivable",
    "settled",
    "promotion",
    "claims_float",
    "referral",
    "expected",
    "margin",
    "pending",
    "review",
    "available",
    "held",
    "paid_out",
    "bad_debt",
]

#: What the program owes its members.
LIABILITIES: Final[tuple[Role, ...]] = ("pending", "review", "available", "held")


class Account(NamedTuple):
    """Where money is. Members' roles name the member, a receivable names its network."""

    role: Role
    currency: str
    member_id: str = ""
    network_id: str = ""


class Posting(NamedTuple):
    """A positive amount goes from `source` to `destination`; both have the same currency."""

    source: Account
    destination: Account
    amount_minor: int


Legs = Mapping[Account, int]


def postings(legs: Legs) -> list[Posting]:
    """Postings that change each account by its leg; ValueError unless a currency sums to zero.

    The accounts that lose give to those that gain, both in the order of their names: the same legs
    are always the same postings.
    """
    if not balanced(legs):
        raise ValueError("the legs of a transaction must sum to zero in each currency")
    made: list[Posting] = []
    for currency in sorted({account.currency for account in legs}):
        own = sorted(one for one in legs.items() if one[0].currency == currency)
        losing = [(account, -leg) for account, leg in own if leg < 0]
        made += _paired(losing, [(account, leg) for account, leg in own if leg > 0])
    return made


def change(before: Legs, after: Legs) -> dict[Account, int]:
    """The legs that lead from one state of accounts to another; nothing where they agree."""
    legs = Counter(after)
    legs.subtract(before)
    return {account: leg for account, leg in legs.items() if leg}


def balanced(legs: Legs) -> bool:
    """Whether the legs sum to zero in every currency."""
    sums: Counter[str] = Counter()
    for account, leg in legs.items():
        sums[account.currency] += leg
    return not any(sums.values())


def accounts(made: Iterable[Posting]) -> set[Account]:
    """The accounts that postings change."""
    return {account for one in made for account in (one.source, one.destination)}


def balances(made: Iterable[Posting]) -> dict[Account, int]:
    """What postings change accounts by."""
    legs: Counter[Account] = Counter()
    for source, destination, amount_minor in made:
        legs[source] -= amount_minor
        legs[destination] += amount_minor
    return {account: leg for account, leg in legs.items() if leg}


def _paired(
    sources: Iterable[tuple[Account, int]], destinations: Iterable[tuple[Account, int]]
) -> list[Posting]:
    made, waiting = [], deque(destinations)
    for source, given in sources:
        left = given
        while left:
            destination, wanted = waiting.popleft()
            amount_minor = min(left, wanted)
            made.append(Posting(source, destination, amount_minor))
            left -= amount_minor
            if wanted > amount_minor:
                waiting.appendleft((destination, wanted - amount_minor))
    return made
