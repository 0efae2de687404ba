"""Claims: what our records say decides, and the ledger follows from the claim alone."""

from __future__ import annotations

import datetime as dt
from typing import Any, get_args

import msgspec
import pytest

from core import claim_rules, claims, errors, wallet
from core.claim_rules import Facts, Policy
from core.claims import Act, Claim, State, Step
from core.conversions import Conversion
from core.money import Money
from core.offers import Cashback, Fixed, MemberCap, OfCommission, OfferConfig, OfSale, Used
from core.texts import builtin
from core.wallet import Account

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DAY = dt.timedelta(days=1)
POLICY = Policy()
ACT = Act(by="opr_1", at=NOW)
GOOD = Facts(
    clicked_at=NOW - 5 * DAY,
    hit_class="human",
    offer_id="off_1",
    order_after_s=600,
    claim_after_s=5 * 86_400,
    most_s=30 * 86_400,
    order_value_minor=200_000,
    cashback_minor=10_000,
)


def facts(**changes: Any) -> Facts:
    return msgspec.structs.replace(GOOD, **changes)


def claim(state: State = "opened", **fields: Any) -> Claim:
    values: dict[str, Any] = {
        "id": "clm_1",
        "program_id": "prg_1",
        "member_id": "mem_1",
        "state": state,
        "version": 1,
        "click_id": "click",
        "clicked_at": NOW - 5 * DAY,
        "offer_id": "off_1",
        "merchant_id": "mrc_1",
        "network_id": "net_1",
        "order_id": "#OD-1",
        "order_minor": 200_000,
        "order_currency": "INR",
        "ordered_at": NOW - 4 * DAY,
        "proposal": "accept",
        "reasons": ["proved"],
        "facts": GOOD,
        "currency": "INR",
        "estimate_minor": 10_000,
        "language": "en",
        "opened_by": "mem_1",
        "opened_at": NOW,
        "updated_at": NOW,
    }
    return Claim(**(values | fields))


def conversion(**fields: Any) -> Conversion:
    values: dict[str, Any] = {
        "id": "cnv_1",
        "program_id": "prg_1",
        "network_id": "net_1",
        "txn_id": "t1",
        "event": "",
        "version": 1,
        "state": "pending",
        "click_id": "click",
        "member_id": "mem_1",
        "merchant_id": "mrc_1",
        "booked_currency": "INR",
        "first_seen_at": NOW,
        "updated_at": NOW,
    }
    return Conversion(**(values | fields))


@pytest.mark.parametrize(
    ("changes", "verdict", "reasons"),
    [
        ({}, "accept", ["proved"]),
        ({"order_value_minor": 1_000_000}, "accept", ["proved"]),
        ({"claim_after_s": 45 * 86_400}, "accept", ["proved"]),
        ({"least_s": 600}, "accept", ["proved"]),
        ({"clicked_at": None}, "reject", ["no_click"]),
        ({"offer_id": None}, "reject", ["not_an_offer"]),
        ({"hit_class": "bot"}, "reject", ["click_not_human"]),
        ({"hit_class": "test"}, "reject", ["click_not_human"]),
        ({"order_after_s": -1, "refusal": "before_click"}, "reject", ["order_before_click"]),
        ({"order_after_s": 30 * 86_400 + 1}, "reject", ["order_too_late"]),
        ({"refusal": "too_late"}, "reject", ["order_too_late"]),
        ({"refusal": "outside_window"}, "reject", ["order_too_late"]),
        ({"claim_after_s": 45 * 86_400 + 1}, "reject", ["claim_too_late"]),
        ({"is_click_reported": True}, "reject", ["click_reported"]),
        ({"is_order_reported": True}, "reject", ["order_reported"]),
        ({"cashback_minor": 0}, "reject", ["no_cashback"]),
        ({"hit_class": "suspect"}, "send_to_network", ["click_suspect"]),
        ({"least_s": 601}, "send_to_network", ["order_too_soon"]),
        ({"refusal": "too_soon"}, "send_to_network", ["order_too_soon"]),
        ({"has_other_order": True}, "send_to_network", ["other_order"]),
        ({"later_click": "other"}, "send_to_network", ["later_click"]),
        ({"is_device_shared": True}, "send_to_network", ["same_device"]),
        ({"order_value_minor": None}, "send_to_network", ["currency_unknown"]),
        ({"order_value_minor": 1_000_001}, "send_to_network", ["amount_above_maximum"]),
        ({"cashback_minor": None}, "send_to_network", ["cashback_unknown"]),
        ({"needs_two": True}, "send_to_network", ["amount_needs_two"]),
        (
            {"later_click": "other", "is_device_shared": True},
            "send_to_network",
            ["later_click", "same_device"],
        ),
        (
            {"is_click_reported": True, "is_order_reported": True, "later_click": "other"},
            "reject",
            ["click_reported", "order_reported"],
        ),
    ],
)
def test_what_our_records_say_decides(
    changes: dict[str, Any], verdict: str, reasons: list[str]
) -> None:
    assert claim_rules.decide(facts(**changes), POLICY) == (verdict, reasons)


def test_every_reason_is_one_that_can_be_told_apart() -> None:
    assert set(get_args(claim_rules.Reason)) > claim_rules.TOLD


@pytest.mark.parametrize(
    ("age", "error"),
    [
        (dt.timedelta(hours=71), errors.ClaimTooEarly),
        (-dt.timedelta(seconds=1), errors.InvalidRequest),
        (733 * DAY, errors.InvalidRequest),
    ],
)
def test_a_claim_has_its_time(age: dt.timedelta, error: type[errors.StampgateError]) -> None:
    claim_rules.check_time(POLICY, NOW - dt.timedelta(hours=72), NOW)
    with pytest.raises(error):
        claim_rules.check_time(POLICY, NOW - age, NOW)


def test_a_member_has_so_many_claims() -> None:
    claim_rules.check_count(POLICY, 4)
    with pytest.raises(errors.TooManyClaims):
        claim_rules.check_count(POLICY, 5)


@pytest.mark.parametrize(
    ("gives", "order_minor", "cap", "expected"),
    [
        (OfSale(rate_bp=500), 200_001, None, 10_000),
        (OfSale(rate_bp=500), None, None, None),
        (OfSale(rate_bp=500), 200_000, 9_000, 2_000),
        (Fixed(amount_minor=5_000, currency="INR"), None, None, 5_000),
        (Fixed(amount_minor=5_000, currency="USD"), 200_000, None, None),
        (OfCommission(rate_bp=5_000), 200_000, None, None),
        (None, 200_000, None, None),
    ],
)
def test_what_an_offer_gives_is_known_without_the_network_or_not(
    gives: Cashback | None, order_minor: int | None, cap: int | None, expected: int | None
) -> None:
    offer = OfferConfig(
        merchant_id="mrc_1",
        title="Tea",
        kind="deal",
        destination="https://shop.example/",
        cashback=gives,
        member_cap=None if cap is None else MemberCap(period="ever", amount_minor=cap),
    )
    order = None if order_minor is None else Money(order_minor, "INR")
    used = Used(7_000, 1)
    assert claim_rules.cashback_minor(offer, order, "INR", used) == expected
    assert claim_rules.cashback_minor(None, order, "INR", used) is None


@pytest.mark.parametrize("state", get_args(State))
@pytest.mark.parametrize("step", get_args(Step))
def test_no_step_leads_backward(state: State, step: Step) -> None:
    before = claim(state, credited_to="pending" if state == "accepted" else None)
    order = ["opened", "sent", "accepted", "rejected", "settled", "declined"]
    if step in claims.NEXT[state]:
        after = claims.after(before, step, ACT)
        assert order.index(after.state) > order.index(state)
        assert (after.decision is not None) is (step in claims.DECIDING)
    else:
        with pytest.raises(errors.ClaimNotOpen):
            claims.after(before, step, ACT)


def test_the_first_decision_is_what_is_compared_with_the_proposal() -> None:
    sent = claims.after(claim(), "send_to_network", ACT)
    accepted = claims.after(sent, "accept", Act(by="opr_2", at=NOW + DAY))
    assert (accepted.decision, accepted.decided_by) == ("send_to_network", "opr_1")
    assert (accepted.accepted_by, accepted.credit_minor) == ("opr_2", 10_000)


def test_what_is_given_is_named_or_known() -> None:
    named = Act(by="opr_1", at=NOW, amount_minor=7)
    assert claims.after(claim(), "accept", named).credit_minor == 7
    unknown = claim(estimate_minor=None)
    assert claims.after(unknown, "accept", named).credit_minor == 7
    with pytest.raises(errors.InvalidRequest):
        claims.after(unknown, "accept", ACT)
    # What was given before stays as it is.
    accepted = claim("accepted", credit_minor=9, credited_to="pending")
    assert claims.after(accepted, "settle", named).credit_minor == 9


@pytest.mark.parametrize(
    ("step", "act"),
    [("reject", ACT), ("decline", ACT), ("send_to_network", Act(by="o", at=NOW, amount_minor=1))],
)
def test_a_step_says_what_it_has_to(step: Step, act: Act) -> None:
    with pytest.raises(errors.InvalidRequest):
        claims.check(step, act)


@pytest.mark.parametrize(
    ("step", "act"), [("accept", ACT), ("settle", Act(by="o", at=NOW, amount_minor=1))]
)
def test_a_conversion_is_named_to_settle_and_gives_what_it_gives(step: Step, act: Act) -> None:
    claims.check("settle", ACT, is_named=True)
    with pytest.raises(errors.InvalidRequest):
        claims.check(step, act, is_named=True)


@pytest.mark.parametrize(
    ("state", "credited_to", "role"),
    [
        ("accepted", "pending", "pending"),
        ("accepted", "available", "available"),
        ("settled", "pending", "available"),
        ("declined", "pending", None),
        ("rejected", None, None),
    ],
)
def test_the_ledger_follows_from_the_claim(
    state: State, credited_to: Any, role: wallet.Role | None
) -> None:
    legs = claims.booked(claim(state, credit_minor=100, credited_to=credited_to))
    assert wallet.balanced(legs)
    given = {} if role is None else {Account(role, "INR", "mem_1"): 100}
    assert {account: leg for account, leg in legs.items() if leg > 0} == given
    answered = claim(state, credit_minor=100, credited_to=credited_to, conversion_id="cnv_1")
    assert claims.booked(answered) == {}


BY_ORDER: dict[str, Any] = {"order_id": "od-1"}
BY_SALE: dict[str, Any] = {
    "sale_minor": 200_000,
    "sale_currency": "INR",
    "event_at": NOW - 4 * DAY,
}


@pytest.mark.parametrize(
    ("fields", "state"),
    [
        (BY_ORDER, "settled"),
        (BY_ORDER | {"click_id": "later"}, "settled"),
        (BY_ORDER | {"click_id": None}, "settled"),
        (BY_ORDER | {"sale_minor": 1}, "settled"),
        (BY_ORDER | {"state": "rejected"}, "declined"),
        (BY_ORDER | {"state": "reversed"}, "declined"),
        (BY_ORDER | {"parked": "currency_unknown", "booked_currency": None}, None),
        (BY_ORDER | {"member_id": "mem_2"}, None),
        (BY_ORDER | {"click_id": "later", "merchant_id": "mrc_2"}, None),
        (BY_SALE, "settled"),
        (BY_SALE | {"sale_minor": 204_000}, "settled"),
        (BY_SALE | {"sale_minor": 195_999}, None),
        (BY_SALE | {"event_at": NOW - 5 * DAY}, "settled"),
        (BY_SALE | {"event_at": NOW - 3 * DAY + dt.timedelta(seconds=1)}, None),
        (BY_SALE | {"event_at": None}, None),
        (BY_SALE | {"sale_currency": "USD"}, None),
        (BY_SALE | {"state": "rejected"}, "declined"),
        # Another order of the click, or one that may be another.
        (BY_SALE | {"order_id": "another"}, None),
        (BY_SALE | {"click_id": "later"}, None),
        ({"order_id": "another", "state": "rejected"}, None),
        ({"state": "rejected"}, None),
        ({}, None),
    ],
)
def test_a_networks_answer_ends_a_claim(fields: dict[str, Any], state: State | None) -> None:
    before = claim("accepted", credit_minor=100, credited_to="pending")
    after = claims.answered(before, [conversion(**fields)], NOW)
    if state is None:
        assert after is before
    else:
        assert (after.state, after.conversion_id) == (state, "cnv_1")
        assert claims.booked(after) == {}


@pytest.mark.parametrize("state", ["opened", "sent", "settled"])
def test_also_one_that_nobody_has_decided_or_that_was_settled_by_hand(state: State) -> None:
    assert claims.answered(claim(state), [conversion(**BY_ORDER)], NOW).conversion_id == "cnv_1"


@pytest.mark.parametrize("state", ["rejected", "declined"])
def test_a_claim_that_was_refused_stays_so(state: State) -> None:
    before = claim(state)
    assert claims.answered(before, [conversion(**BY_ORDER)], NOW) is before


def test_what_has_answered_a_claim_answers_another_one_by_its_number_alone() -> None:
    before = claim()
    assert claims.answered(before, [conversion(**BY_SALE)], NOW, {"cnv_1"}) is before
    assert claims.answered(before, [conversion(**BY_ORDER)], NOW, {"cnv_1"}).state == "settled"


def test_where_it_is_not_clear_a_person_says_which_conversion_is_the_order() -> None:
    before = claim("accepted", credit_minor=100, credited_to="pending")
    after = claims.answered_by(before, conversion(), ACT)
    assert (after.state, after.conversion_id, claims.booked(after)) == ("settled", "cnv_1", {})
    with pytest.raises(errors.ClaimNotOpen):
        claims.answered_by(after, conversion(id="cnv_2"), ACT)
    for nothing in ({"state": "reversed"}, {"booked_currency": None}):
        with pytest.raises(errors.Conflict):
            claims.answered_by(before, conversion(**nothing), ACT)


def test_a_refusal_is_explained_in_the_members_language_without_what_tells_of_fraud() -> None:
    refused = claim("rejected", reasons=["click_reported", "click_suspect"], language="de-AT")
    said = "Das Netzwerk des Shops hat zu Ihrem Klick schon einen Kauf gemeldet."
    assert claims.explanation(refused) == said
    hidden = claim("rejected", reasons=["click_not_human"], language="pt")
    assert claims.explanation(hidden) == "Our records do not confirm the purchase."
    written = msgspec.structs.replace(hidden, reason="It was canceled.")
    assert claims.explanation(written) == "It was canceled."
    # What was written with an earlier step is not told as why the network declines.
    before = claim("accepted", credit_minor=100, credited_to="pending", reason="a good customer")
    declined = claims.answered(before, [conversion(**BY_ORDER, state="rejected")], NOW)
    assert claims.explanation(declined) == "The shop's network did not confirm the order."


@pytest.mark.parametrize("language", ["en", "de", "es", "fr", "hi"])
def test_each_reason_that_members_are_told_has_its_sentence(language: str) -> None:
    for code in (*claim_rules.TOLD, "declined", "other"):
        said = builtin.claim_reasons([code], language)
        assert said
        assert (said == builtin.claim_reasons([code], "en")) == (language == "en")
