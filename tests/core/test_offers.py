"""When an offer is to be had, and what of a commission becomes cashback."""

from __future__ import annotations

import datetime as dt
from fractions import Fraction
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors, offers
from core.money import Money
from core.offers import Fixed, MemberCap, OfCommission, OfferConfig, OfSale, Used

NOW_MS = 1_767_225_600_000
NOW = dt.datetime.fromtimestamp(NOW_MS / 1000, dt.UTC)
SECOND = dt.timedelta(seconds=1)
AMOUNTS = st.integers(0, 10**12)
RATES = st.integers(1, 10_000)
RULES = st.one_of(
    st.none(),
    st.builds(OfCommission, RATES),
    st.builds(OfSale, RATES),
    st.builds(Fixed, st.integers(1, 10**9), st.just("INR")),
)


def config(**more: Any) -> OfferConfig:
    fields = {"merchant_id": "mrc_1", "title": "Tea", "kind": "deal", "state": "active"}
    return OfferConfig(**{"destination": "https://shop.example/?c={click_id}", **fields, **more})


def rupees(amount_minor: int) -> Money:
    return Money(amount_minor, "INR")


@pytest.mark.parametrize(
    ("more", "is_active"),
    [
        ({}, True),
        ({"state": "draft"}, False),
        ({"state": "paused"}, False),
        ({"state": "ended"}, False),
        ({"starts_at": NOW}, True),
        ({"starts_at": NOW + SECOND}, False),
        ({"ends_at": NOW}, False),
        ({"ends_at": NOW + SECOND}, True),
    ],
)
def test_an_offer_is_active_from_its_start_to_before_its_end(
    more: dict[str, Any], *, is_active: bool
) -> None:
    assert offers.is_active(config(**more), NOW_MS) is is_active


@pytest.mark.parametrize(
    ("rule", "cashback", "margin"),
    [
        (OfCommission(7_000), 699, 300),
        (OfSale(500), 499, 500),
        (Fixed(250, "INR"), 250, 749),
        (Fixed(2_500, "INR"), 2_500, -1_501),
        (None, 0, 999),
    ],
)
def test_cashback_is_rounded_down_and_the_rest_is_margin(
    rule: offers.Cashback | None, cashback: int, margin: int
) -> None:
    found = offers.share(config(cashback=rule), rupees(999), rupees(9_999))
    assert found == (rupees(cashback), rupees(margin))


@given(RULES, AMOUNTS, AMOUNTS)
def test_cashback_and_margin_are_the_commission(
    rule: offers.Cashback | None, commission: int, sale: int
) -> None:
    found = offers.share(config(cashback=rule), rupees(commission), rupees(sale))
    assert found.cashback.amount_minor + found.margin.amount_minor == commission
    assert found.cashback.amount_minor >= 0


@given(RATES, AMOUNTS)
def test_no_whole_minor_unit_is_kept_from_the_member(rate_bp: int, amount: int) -> None:
    for rule in (OfCommission(rate_bp), OfSale(rate_bp)):
        found = offers.share(config(cashback=rule), rupees(amount), rupees(amount))
        lost = Fraction(amount * rate_bp, 10_000) - found.cashback.amount_minor
        assert 0 <= lost < 1


@given(RULES, st.lists(AMOUNTS, max_size=20), AMOUNTS.filter(bool), st.integers(1, 10))
def test_many_purchases_never_get_more_than_the_cap(
    rule: offers.Cashback | None, commissions: list[int], amount: int, count: int
) -> None:
    capped = config(
        cashback=rule, member_cap=MemberCap(period="day", amount_minor=amount, count=count)
    )
    used = Used()
    for commission in commissions:
        found = offers.share(capped, rupees(commission), rupees(commission), used)
        free = offers.share(config(cashback=rule), rupees(commission), rupees(commission))
        assert found.cashback.amount_minor <= free.cashback.amount_minor
        assert sum(part.amount_minor for part in found) == commission
        if found.cashback.amount_minor:
            used = Used(used.amount_minor + found.cashback.amount_minor, used.count + 1)
    assert used.amount_minor <= amount
    assert used.count <= count


def test_what_is_left_of_a_cap_is_given() -> None:
    capped = config(
        cashback=Fixed(100, "INR"), member_cap=MemberCap(period="ever", amount_minor=250)
    )
    assert offers.share(capped, rupees(200), used=Used(200, 2)).cashback == rupees(50)
    assert offers.share(capped, rupees(200), used=Used(250, 3)).cashback == rupees(0)


def test_of_a_sale_that_is_not_known_there_is_no_share() -> None:
    assert offers.share(config(cashback=OfSale(500)), rupees(200)).margin == rupees(200)


def test_amounts_of_two_currencies_are_not_mixed() -> None:
    sale = config(cashback=OfSale(500))
    with pytest.raises(ValueError, match="one currency"):
        offers.share(sale, rupees(200), Money(100, "EUR"))
    with pytest.raises(ValueError, match="another currency"):
        offers.share(config(cashback=Fixed(5, "EUR")), rupees(200))
    with pytest.raises(ValueError, match="below zero"):
        offers.share(sale, rupees(-200))


@pytest.mark.parametrize(
    ("after_s", "why"),
    [
        (-1, "before_click"),
        (9, "too_soon"),
        (10, ""),
        (86_400, ""),
        (86_401, "outside_window"),
    ],
)
def test_a_purchase_counts_in_its_time(after_s: int, why: str) -> None:
    timed = config(attribution_window_days=1, click_to_conversion_min_s=10)
    assert offers.refusal(timed, NOW_MS, NOW_MS + after_s * 1000) == why


def test_the_longest_time_may_be_shorter_than_the_window() -> None:
    timed = config(click_to_conversion_max_s=60)
    assert offers.refusal(timed, NOW_MS, NOW_MS + 60_000) == ""
    assert offers.refusal(timed, NOW_MS, NOW_MS + 60_001) == "too_late"


@pytest.mark.parametrize(
    ("period", "begins", "ends"),
    [
        ("day", "2026-01-01T00:00:00+05:30", "2026-01-02T00:00:00+05:30"),
        ("week", "2025-12-29T00:00:00+05:30", "2026-01-05T00:00:00+05:30"),
        ("month", "2026-01-01T00:00:00+05:30", "2026-02-01T00:00:00+05:30"),
    ],
)
def test_periods_are_those_of_the_programs_time_zone(
    period: offers.Period, begins: str, ends: str
) -> None:
    found = offers.period_of(period, NOW_MS, "Asia/Kolkata")
    assert found == (dt.datetime.fromisoformat(begins), dt.datetime.fromisoformat(ends))
    assert offers.period_of("ever", NOW_MS, "Asia/Kolkata") is None


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        ({"kind": "coupon"}, "/coupon_code"),
        ({"kind": "cashback"}, "/cashback"),
        ({"starts_at": NOW, "ends_at": NOW}, "/ends_at"),
        (
            {"click_to_conversion_min_s": 5, "click_to_conversion_max_s": 4},
            "/click_to_conversion_max_s",
        ),
        ({"member_cap": MemberCap(period="day")}, "/member_cap"),
        ({"cashback": OfSale(5), "destination": "https://shop.example/"}, "/destination"),
        ({"destination": "javascript:alert(1)"}, "/destination"),
        ({"destination": "https://10.0.0.1/"}, "/destination"),
    ],
)
def test_contradictions_are_named(more: dict[str, Any], pointer: str) -> None:
    with pytest.raises(errors.Invalid) as refused:
        offers.validate(config(**more))
    assert refused.value.errors is not None
    assert refused.value.errors[0]["pointer"] == pointer


def test_a_known_network_gets_the_click_id_in_its_parameter() -> None:
    known = config(destination="https://shop.example/", network_id="awin", cashback=OfSale(5))
    assert offers.link_config("off_1", offers.validate(known)).network == "awin"
    other = msgspec.structs.replace(known, network_id="net_1")
    assert offers.link_config("off_1", offers.validate(other)).network is None


def test_a_published_offer_does_not_become_a_draft_again() -> None:
    assert offers.next_state(None, None) == "draft"
    assert offers.next_state("draft", "draft") == "draft"
    assert offers.next_state("paused", None) == "paused"
    assert offers.next_state("ended", "active") == "active"
    with pytest.raises(errors.OfferInUse):
        offers.next_state("paused", "draft")


def test_the_words_of_a_search_are_quoted() -> None:
    assert offers.search_query("Tea  Shop") == "'Tea':* & 'Shop':*"
    assert offers.search_query("o'neill \\' & | !") == "'o':* & 'neill':* & '&':* & '|':* & '!':*"


@pytest.mark.parametrize(
    ("host", "names"),
    [
        ("WWW.Shop.example:8443", ["www.shop.example", "shop.example"]),
        ("shop.example.", ["shop.example"]),
        ("localhost", ["localhost"]),
        ("", [""]),
    ],
)
def test_a_host_is_found_by_the_names_above_it(host: str, names: list[str]) -> None:
    assert offers.hosts_of(host) == names
