"""Reports in any order, twice, and late: the money is that of the newest one."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import attribution, cashback, conversions, rates, wallet
from core.conversions import Conversion, Key
from core.errors import ConversionNotOpen
from core.networks import Dedupe, Rules
from core.offers import Fixed, Terms
from core.providers.affiliate.report import Report, Status

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
RULES = Rules(cashback_bp=5_000)
TABLE = rates.Table([])
PATHS: tuple[tuple[Status, ...], ...] = (
    ("pending", "approved", "settled"),
    ("pending", "rejected"),
    ("pending", "approved", "reversed"),
    ("approved", "settled", "reversed"),
    ("pending", "pending", "approved", "approved"),
)


def report(status: Status, at: int | None = None, amount: int | None = 100, **more: Any) -> Report:
    return Report(
        txn_id="t",
        status=status,
        status_word=status,
        commission_minor=amount,
        updated_at_ms=at,
        **{"currency": "INR"} | more,
    )


def start() -> Conversion:
    begun = conversions.begin(Key("t", ""), report("pending"), ("cnv_1", "prg_1", "net_1"), NOW)
    return begun.replace(member_id="mem_1", attribution="click")


def after(reports: list[Report], dedupe: Dedupe = "update_status") -> Conversion:
    """What is known after these reports, valued."""
    found = start()
    for one in reports:
        taken = conversions.take(found, one, dedupe, NOW)
        if not isinstance(taken, str):
            found = taken.replace(version=found.version + 1)
    return cashback.valued(found, RULES, "INR", TABLE)


@st.composite
def histories(draw: st.DrawFn) -> list[Report]:
    """What a network says of a transaction, each report newer than the one before."""
    path = draw(st.sampled_from(PATHS))
    amounts = st.integers(0, 10_000)
    return [report(status, 1_000 + at, draw(amounts)) for at, status in enumerate(path)]


@given(histories(), st.data())
def test_any_order_and_repetition_ends_in_the_money_of_the_newest(
    history: list[Report], data: st.DataObject
) -> None:
    arrived = data.draw(st.permutations(history * 2))
    assert cashback.booked(after(arrived)) == cashback.booked(after([history[-1]]))


@given(
    st.lists(
        st.builds(
            report,
            st.sampled_from(["pending", "approved", "settled", "rejected", "reversed", "unknown"]),
            st.none() | st.integers(0, 9),
            st.integers(0, 500),
        )
    ),
    st.sampled_from(["reject", "update_status", "increment", "keep_max"]),
)
def test_states_go_forward_and_each_step_balances(reports: list[Report], dedupe: Dedupe) -> None:
    ranks = {"pending": 0, "approved": 1, "settled": 2, "rejected": 3, "reversed": 3}
    found, held = start(), dict[wallet.Account, int]()
    for one in reports:
        taken = conversions.take(found, one, dedupe, NOW)
        if isinstance(taken, str):
            continue
        assert ranks[taken.state] >= ranks[found.state]
        found = cashback.valued(taken.replace(version=found.version + 1), RULES, "INR", TABLE)
        legs = wallet.change(held, cashback.booked(found))
        assert wallet.balanced(legs)
        held = dict(cashback.booked(found))


@pytest.mark.parametrize("dedupe", ["update_status", "reject", "keep_max", "increment", "new_each"])
def test_a_repetition_changes_nothing(dedupe: Dedupe) -> None:
    one = report("approved", 5)
    first = conversions.take(start(), one, dedupe, NOW)
    assert isinstance(first, Conversion)
    assert conversions.take(first.replace(version=1), one, dedupe, NOW) == "duplicate"


@pytest.mark.parametrize(
    ("dedupe", "owed"),
    [("update_status", 60), ("reject", 100), ("keep_max", 100), ("increment", 160)],
)
def test_what_a_second_report_does_depends_on_the_mode(dedupe: Dedupe, owed: int) -> None:
    assert after([report("pending", 1), report("approved", 2, 60)], dedupe).owed_minor == owed


def test_each_report_is_a_conversion_of_its_own_if_the_mode_says_so() -> None:
    one = report("pending", event="sale")
    assert conversions.key(one, "new_each", "pbk_1") != conversions.key(one, "new_each", "pbk_2")
    assert conversions.key(one, "by_event_id", "") == Key("sale", "")
    assert conversions.key(one, "update_status", "pbk_1") == Key("t", "sale")


@given(st.permutations(range(4)))
def test_corrections_count_once_in_any_order(order: list[int]) -> None:
    said = [
        report("approved", 1, 100),
        report("reversed", 2, -30, correction_id="c1"),
        report("reversed", 2, -30, correction_id="c1"),
        report("reversed", 3, -20, correction_id="c2"),
    ]
    found = after([said[index] for index in order])
    assert (found.owed_minor, found.state) == (50, "approved")
    gone = after([*(said[index] for index in order), report("reversed", 4, -50, correction_id="c")])
    assert (gone.owed_minor, gone.state) == (0, "reversed")


@pytest.mark.parametrize(
    ("dedupe", "first", "second"),
    [
        ("keep_max", {}, {"currency": "USD"}),
        ("keep_max", {"sale_currency": "INR"}, {"sale_currency": "USD"}),
        ("increment", {}, {"currency": "USD"}),
        ("increment", {"commission_minor": 0}, {"currency": "USD"}),
        ("update_status", {}, {"currency": "USD", "correction_id": "c1"}),
        ("update_status", {"correction_id": "c1"}, {"currency": "USD"}),
    ],
)
def test_amounts_of_two_currencies_are_neither_added_nor_compared(
    dedupe: Dedupe, first: dict[str, Any], second: dict[str, Any]
) -> None:
    said = [msgspec.structs.replace(report("approved"), **one) for one in (first, second)]
    known = conversions.take(start(), said[0], dedupe, NOW)
    assert isinstance(known, Conversion)
    assert conversions.take(known.replace(version=1), said[1], dedupe, NOW) == "amount_implausible"
    # Where they replace each other there is nothing to mix.
    assert after([report("pending"), report("approved", currency="USD")]).currency == "USD"


def test_corrections_take_no_more_than_there_is() -> None:
    gone = after([report("approved", 1, 100), report("reversed", 2, -150, correction_id="c1")])
    assert (gone.owed_minor, gone.state) == (0, "reversed")


def test_corrections_that_nobody_can_mean_are_not_added_up() -> None:
    known = start().replace(corrected_minor=conversions.AMOUNT_MAX, version=1)
    more = report("approved", 2, 1, correction_id="c1")
    assert conversions.take(known, more, "update_status", NOW) == "amount_implausible"


@pytest.mark.parametrize("dedupe", ["update_status", "reject", "new_each"])
def test_a_report_that_comes_after_its_correction_counts(dedupe: Dedupe) -> None:
    said = [report("reversed", 2, -30, correction_id="c1"), report("approved", 3, 100)]
    assert (after(said, dedupe).owed_minor, after(said, dedupe).state) == (70, "approved")


def test_the_largest_sale_is_kept_with_the_largest_commission() -> None:
    said = [report("pending", 1, 100, sale_minor=500), report("approved", 2, 90, sale_minor=400)]
    found = after([*said, report("approved", 3, None)], "keep_max")
    assert (found.commission_minor, found.sale_minor) == (100, 500)


def test_a_currency_without_an_amount_changes_no_amount() -> None:
    found = after([report("pending", 1), report("approved", 2, None, currency="USD")])
    assert (found.currency, found.booked_commission_minor) == ("INR", 100)


def test_a_fixed_cashback_in_another_currency_is_not_taken_for_ours() -> None:
    for currency, gives_minor in (("INR", 50), ("USD", 0)):
        terms = Terms(cashback=Fixed(amount_minor=50, currency=currency))
        found = start().replace(commission_minor=100, currency="INR", terms=terms)
        assert cashback.valued(found, RULES, "INR", TABLE).booked_cashback_minor == gives_minor


def test_an_operator_opens_only_what_is_final() -> None:
    with pytest.raises(ConversionNotOpen):
        conversions.reopened(start(), NOW)
    ended = conversions.refused(start(), NOW)
    assert ended.state == "rejected"
    with pytest.raises(ConversionNotOpen):
        conversions.refused(ended, NOW)
    assert conversions.reopened(ended, NOW).state == "pending"


def test_rates_are_exact_and_round_down() -> None:
    rate = rates.Rate("USD", "INR", NOW, rates.parse("83.125"))
    assert rates.convert(101, rate) == 8_395
    assert rates.convert(100, rates.Rate("USD", "JPY", NOW, rates.parse("150.5"))) == 150
    table = rates.Table([rate, rate._replace(valid_from=NOW + dt.timedelta(days=1))])
    assert table.find("USD", "INR", NOW - dt.timedelta(seconds=1)) is None
    assert table.find("USD", "INR", NOW) == rate
    assert table.find("INR", "INR", NOW) is not None


@pytest.mark.parametrize("text", ["", "0", "-1", "1e3", "1.", ".5", "1,5", "٣", "NaN", "1" * 25])
def test_what_is_no_rate_is_refused(text: str) -> None:
    with pytest.raises(rates.BadRate):
        rates.parse(text)


def test_a_report_that_is_late_says_no_more_than_whose_it_is() -> None:
    first = conversions.take(
        start().replace(attribution="none"), report("approved", 5), "reject", NOW
    )
    assert isinstance(first, Conversion)
    known = first.replace(version=1)
    late = report("pending", 4, 70)
    assert conversions.take(known, late, "update_status", NOW) == "stale"
    for said in ({"click_id": "c1"}, {"coupon": "TEA"}):
        named = conversions.take(known, msgspec.structs.replace(late, **said), "update_status", NOW)
        assert isinstance(named, Conversion)
        assert (named.attribution, named.state, named.owed_minor) == ("", "approved", 100)


@given(histories(), st.integers(1, 10_000), st.integers(2, 9))
def test_what_was_booked_stays_whatever_is_promised_to_others(
    history: list[Report], share_bp: int, rupees: int
) -> None:
    dollars = [msgspec.structs.replace(one, currency="USD") for one in history]
    at = NOW - dt.timedelta(days=1)

    def end(changed: Rules, table: rates.Table) -> Conversion:
        """Valued after each report, the first time under RULES and at one rupee."""
        found, first = start(), rates.Table([rates.Rate("USD", "INR", at, rates.parse("1"))])
        for number, one in enumerate(dollars):
            taken = conversions.take(found, one, "update_status", NOW)
            if not isinstance(taken, str):
                rules, known = (changed, table) if number else (RULES, first)
                found = cashback.valued(taken.replace(version=1), rules, "INR", known)
        return found

    dearer = rates.Table([rates.Rate("USD", "INR", at, rates.parse(str(rupees)))])
    once = end(RULES, rates.Table([]))
    assert end(Rules(cashback_bp=share_bp), dearer) == once
    assert cashback.stays(once, once.replace(state="reversed", updated_at=at))
    assert not cashback.stays(once, once.replace(terms=None))


@pytest.mark.parametrize(
    ("at_ms", "after_ms"), [(0, 0), (700, 0), (699, -1), (-1_000, -1_700), (1_000, 300)]
)
def test_what_was_in_the_second_of_its_click_was_not_before_it(at_ms: int, after_ms: int) -> None:
    clicked_at = NOW + dt.timedelta(milliseconds=700)
    taken = attribution.since_click(clicked_at, NOW + dt.timedelta(milliseconds=at_ms))
    assert taken == dt.timedelta(milliseconds=after_ms)
