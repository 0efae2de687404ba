from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import wallet
from core.wallet import Account, Posting

accounts = st.builds(
    Account,
    st.sampled_from(get_args(wallet.Role)),
    st.sampled_from(["INR", "EUR"]),
    st.sampled_from(["", "mem_1", "mem_2"]),
    st.sampled_from(["", "net_1"]),
)


@st.composite
def legs(draw: st.DrawFn) -> dict[Account, int]:
    """Some accounts, the last of each currency taking what the others leave."""
    drawn = draw(st.dictionaries(accounts, st.integers(-(10**12), 10**12), max_size=8))
    for currency in ("INR", "EUR"):
        own = [account for account in drawn if account.currency == currency]
        if own:
            drawn[own[-1]] -= sum(drawn[account] for account in own)
    return {account: leg for account, leg in drawn.items() if leg}


@given(legs())
def test_postings_change_each_account_by_its_leg(wanted: dict[Account, int]) -> None:
    made = wallet.postings(wanted)
    assert wallet.balances(made) == wanted
    assert all(one.amount_minor > 0 and one.source != one.destination for one in made)
    assert len(made) < max(1, len(wanted))


@given(legs(), legs())
def test_a_change_leads_from_one_state_to_the_other(
    before: dict[Account, int], after: dict[Account, int]
) -> None:
    way = wallet.change(before, after)
    assert wallet.change(after, before) == {account: -leg for account, leg in way.items()}
    reached = {account: before.get(account, 0) + way.get(account, 0) for account in {*before, *way}}
    assert {account: leg for account, leg in reached.items() if leg} == after


@given(legs().filter(bool))
def test_the_order_in_which_legs_are_given_does_not_matter(wanted: dict[Account, int]) -> None:
    assert wallet.postings(dict(reversed(wanted.items()))) == wallet.postings(wanted)


def test_legs_that_do_not_sum_to_zero_move_nothing() -> None:
    with pytest.raises(ValueError, match="sum to zero"):
        wallet.postings({Account("receivable", "INR", network_id="net_1"): -5})


def test_two_currencies_do_not_balance_each_other() -> None:
    assert not wallet.balanced({Account("settled", "INR"): -5, Account("margin", "EUR"): 5})


def test_a_cashback_comes_out_of_what_the_network_owes() -> None:
    receivable = Account("receivable", "INR", network_id="net_1")
    pending, expected = Account("pending", "INR", "mem_1"), Account("expected", "INR")
    assert wallet.postings({receivable: -1000, pending: 700, expected: 300}) == [
        Posting(receivable, expected, 300),
        Posting(receivable, pending, 700),
    ]
