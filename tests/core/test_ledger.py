from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import ledger

amounts = st.integers(1, 1 << 53)
units = st.sampled_from(["points", "stamps", "INR"])
accounts = st.builds(
    ledger.Account,
    st.sampled_from(["prg_1", "prg_2"]),
    st.sampled_from(get_args(ledger.Role)),
    st.sampled_from(["", "mem_1", "mem_2"]),
)


@st.composite
def postings(draw: st.DrawFn) -> ledger.Posting:
    source = draw(accounts)
    destination = draw(accounts.filter(lambda account: account != source))
    return ledger.posting(source, destination, draw(units), draw(amounts))


def member_balances(
    event_type: ledger.Type, amount: int, remainder: int = 0
) -> dict[ledger.Role, int]:
    moved = ledger.points_postings(
        event_type,
        program_id="prg_1",
        member_id="mem_1",
        unit="points",
        amount=amount,
        remainder=remainder,
    )
    sums: dict[ledger.Role, int] = {}
    for entry in ledger.entries(moved):
        sums[entry.account.role] = sums.get(entry.account.role, 0) + entry.amount
    return sums


@given(st.lists(postings()))
def test_postings_always_balance(moved: list[ledger.Posting]) -> None:
    assert ledger.balanced(ledger.entries(moved))


@given(st.lists(postings(), min_size=1), st.integers(1, 1 << 53))
def test_a_changed_leg_is_noticed(moved: list[ledger.Posting], error: int) -> None:
    first, *others = ledger.entries(moved)
    assert not ledger.balanced([first._replace(amount=first.amount + error), *others])
    assert not ledger.balanced(others)


def test_units_do_not_balance_each_other() -> None:
    account = ledger.Account("prg_1", "budget")
    legs = [ledger.LedgerEntry(account, "points", 5), ledger.LedgerEntry(account, "stamps", -5)]
    assert not ledger.balanced(legs)


@given(st.lists(postings()))
def test_a_reversal_undoes_every_account(moved: list[ledger.Posting]) -> None:
    sums: dict[tuple[ledger.Account, str], int] = {}
    for account, unit, amount in ledger.entries([*moved, *ledger.reverse(moved)]):
        sums[account, unit] = sums.get((account, unit), 0) + amount
    assert not any(sums.values())
    assert ledger.reverse(ledger.reverse(moved)) == moved


def test_each_points_event_moves_between_its_accounts() -> None:
    assert member_balances("award", 10) == {"budget": -10, "available": 10}
    assert member_balances("reversal", 10) == {"available": -10, "budget": 10}
    assert member_balances("spend", 10) == {"available": -10, "redeemed": 10}
    assert member_balances("hold", 10) == {"available": -10, "held": 10}
    assert member_balances("release", 10) == {"held": -10, "available": 10}
    assert member_balances("expire", 10) == {"held": -10, "available": 10}


def test_a_partial_capture_gives_the_rest_back() -> None:
    assert member_balances("capture", 7, remainder=3) == {
        "held": -10,
        "redeemed": 7,
        "available": 3,
    }
    assert member_balances("capture", 10) == {"held": -10, "redeemed": 10}


def test_only_member_accounts_name_a_member() -> None:
    (posting,) = ledger.points_postings(
        "award", program_id="prg_1", member_id="mem_1", unit="stamps", amount=1
    )
    assert posting.source == ledger.Account("prg_1", "budget")
    assert posting.destination == ledger.Account("prg_1", "available", "mem_1")


@pytest.mark.parametrize("amount", [0, -1])
def test_a_posting_of_nothing_is_refused(amount: int) -> None:
    account = ledger.Account("prg_1", "budget")
    with pytest.raises(ValueError):
        ledger.posting(account, ledger.Account("prg_1", "redeemed"), "points", amount)
    with pytest.raises(ValueError):
        ledger.posting(account, account, "points", 1)
