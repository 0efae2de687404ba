import pytest

from core import adjustments, errors, wallet
from core.programs import WithdrawalRules
from core.wallet import Account
from core.withdrawals import Money

AVAILABLE = Account("available", "INR", "mem_1")


@pytest.mark.parametrize(
    ("kind", "source"), [("promotion", "promotion"), ("write_off", "bad_debt")]
)
def test_what_a_member_gets_comes_from_somewhere(
    kind: adjustments.Kind, source: wallet.Role
) -> None:
    legs = adjustments.legs(kind, Money("mem_1", 100, "INR"))
    assert legs == {AVAILABLE: 100, Account(source, "INR"): -100}
    assert wallet.balanced(legs)


@pytest.mark.parametrize(
    ("kind", "amount"), [("promotion", 0), ("write_off", 0), ("write_off", -1)]
)
def test_an_amount_that_makes_no_sense_is_refused(kind: adjustments.Kind, amount: int) -> None:
    with pytest.raises(errors.InvalidRequest):
        adjustments.check(kind, amount)


def test_nothing_is_taken_that_is_not_there() -> None:
    adjustments.check_covered("promotion", 100, -100)
    adjustments.check_covered("promotion", -100, 50)
    with pytest.raises(errors.InsufficientBalance):
        adjustments.check_covered("promotion", 100, -101)
    with pytest.raises(errors.BalanceNegative):
        adjustments.check_covered("promotion", -1, -1)


def test_no_more_is_written_off_than_is_owed() -> None:
    adjustments.check_covered("write_off", -40, 40)
    for available in (-39, 0, 100):
        with pytest.raises(errors.Conflict):
            adjustments.check_covered("write_off", available, 40)


def test_taking_counts_as_giving_does() -> None:
    rules = WithdrawalRules(two_approvals_above_minor=100)
    assert [adjustments.needs_two(rules, n) for n in (100, -100, 101, -101)] == [
        *(False, False, True, True),
    ]
