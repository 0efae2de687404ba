"""Fraud rules at their boundaries, and what follows from several hits."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
import pytest

from core import clickid, conversions, errors, fraud, fraud_lists, fraud_rules, ids
from core.conversions import Conversion
from core.fraud import Action, Hit, Rule
from core.fraud_lists import Found
from core.fraud_rules import (
    AddressVelocity,
    AgentBurst,
    Amount,
    ClickClass,
    ClickToConversion,
    Condition,
    DisposableMail,
    Facts,
    History,
    ListedNetwork,
    MemberVelocity,
    NewMember,
    OfConversion,
    Referrer,
    Reversals,
    SharedDocument,
    SharedPayoutMethod,
    SourceOutlier,
)
from core.fraud_sources import Key, Measure, Rate, Share
from core.withdrawal_rules import WithdrawalVelocity
from tests.conftest import RING

NOW = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
NOW_MS = (NOW - conversions.EPOCH) // dt.timedelta(milliseconds=1)
DAY = 86_400
LINK = "lnk_01h455vb4pex5vsknk084sn02q"
RULE = "frl_01h455vb4pex5vsknk084sn02q"
OTHER = "frl_01h455vb4pex5vsknk084sn02r"


def click(age_ms: int) -> str:
    key = RING.active_click
    return clickid.Minter(key, RING.click[key], 7).mint(
        NOW_MS - age_ms, "prg_1", ids.link_bits(LINK)
    )


def conversion(**fields: Any) -> Conversion:
    values: dict[str, Any] = {
        "state": "approved",
        "member_id": "mem_1",
        "attribution": "click",
        "click_id": click(10_000),
        "booked_currency": "INR",
        "booked_commission_minor": 200,
        "booked_cashback_minor": 100,
        "reasons": ["its click id proves itself"],
    } | fields
    return Conversion(
        id="cnv_1", program_id="prg_1", network_id="net_1", txn_id="t", event="", version=1,
        first_seen_at=NOW, updated_at=NOW, **values,
    )  # fmt: skip


def after(age_ms: int) -> Facts:
    return Facts(found=conversion(click_id=click(age_ms)))


def lately(made: int, taken_back: int = 0, span_s: int = DAY) -> Facts:
    return Facts(found=conversion(), histories={span_s: History(made, taken_back)})


def joined(age_s: int, made: int = 1, cashback: int = 100) -> Facts:
    return Facts(
        found=conversion(booked_cashback_minor=cashback),
        member_since=NOW - dt.timedelta(seconds=age_s),
        histories={DAY: History(made, 0)},
    )


def compared(own: tuple[int, int], others: tuple[int, int], of: Measure = "approvals") -> Facts:
    return known(rates={Key(of, "network", 30): Rate(Share(*own), Share(*others))})


def known(**fields: Any) -> Facts:
    return Facts(found=conversion(), **fields)


NOBODYS = Facts(found=conversion(attribution="none", click_id=None))
LATE = ClickToConversion(min_s=5, max_s=60)
QUICK = MemberVelocity(most=3, window_s=DAY)
CROWD = AddressVelocity(most=3, window_s=DAY)
FRESH = NewMember(younger_than_s=DAY, above_minor=99)
SHADY = Referrer(hosts=["incentives.example"])
TAKEN = Reversals(percent=50, at_least=4, window_s=DAY)
BURST = AgentBurst(most=3)
REFUSED = SourceOutlier(of="approvals")
FAST = SourceOutlier(of="conversions", at_least=100)
BUILT_IN, TOR = Found(fraud_lists.BUILT_IN, ""), Found("tor", "exit")

EDGES: list[tuple[OfConversion, Facts, bool]] = [
    (LATE, after(4_999), True),
    (LATE, after(5_000), False),
    (LATE, after(60_000), False),
    (LATE, after(60_001), True),
    (LATE, NOBODYS, False),
    (ClickToConversion(max_s=60), after(1), False),
    (ClickToConversion(min_s=5), after(10**9), False),
    (ClickClass(), known(click_class=0), False),
    (ClickClass(), known(click_class=1), True),
    (ClickClass(), known(click_class=None), False),
    (ClickClass(classes=["bot"]), known(click_class=1), False),
    (ClickClass(classes=["bot"]), known(click_class=2), True),
    (SHADY, known(referrer="incentives.example"), True),
    (SHADY, known(referrer="www.incentives.example"), True),
    (SHADY, known(referrer="notincentives.example"), False),
    (SHADY, known(referrer="incentives.example.org"), False),
    (SHADY, known(referrer=""), False),
    (QUICK, lately(3), False),
    (QUICK, lately(4), True),
    (CROWD, known(from_address={DAY: 3}), False),
    (CROWD, known(from_address={DAY: 4}), True),
    (CROWD, known(), False),
    (FRESH, joined(DAY - 1), True),
    (FRESH, joined(DAY), False),
    (FRESH, joined(DAY - 1, made=2), False),
    (FRESH, joined(DAY - 1, cashback=99), False),
    (FRESH, known(), False),
    (TAKEN, lately(5, 2), True),
    (TAKEN, lately(5, 1), False),
    (TAKEN, lately(4, 3), False),
    (TAKEN, lately(6, 2), False),
    (Amount(above_minor=99), known(), True),
    (Amount(above_minor=100), known(), False),
    (Amount(of="commission", above_minor=199), known(), True),
    (Amount(of="commission", above_minor=200), known(), False),
    (SharedPayoutMethod(), known(payees=1), False),
    (SharedPayoutMethod(), known(payees=2), True),
    (SharedPayoutMethod(most=2), known(payees=2), False),
    (SharedDocument(), known(holders=1), False),
    (SharedDocument(), known(holders=2), True),
    (BURST, known(same_agent={60: 3}), False),
    (BURST, known(same_agent={60: 4}), True),
    (BURST, known(), False),
    (REFUSED, compared((25, 50), (450, 500)), True),
    (REFUSED, compared((25, 49), (450, 500)), False),
    (REFUSED, compared((40, 50), (450, 500)), False),
    (REFUSED, compared((50, 50), (250, 500)), False),
    (REFUSED, compared((25, 50), (0, 0)), False),
    (REFUSED, compared((50, 50), (500, 500)), False),
    (REFUSED, compared((25, 50), (450, 500), "conversions"), False),
    (REFUSED, known(), False),
    (FAST, compared((30, 100), (20, 1_000), "conversions"), True),
    (FAST, compared((0, 100), (500, 1_000), "conversions"), False),
    (DisposableMail(), known(mail_lists=[BUILT_IN]), True),
    (DisposableMail(), known(), False),
    (DisposableMail(lists=["own"]), known(mail_lists=[BUILT_IN]), False),
    (ListedNetwork(), known(networks=[TOR]), True),
    (ListedNetwork(), known(), False),
    (ListedNetwork(lists=["tor"]), known(networks=[TOR]), True),
    (ListedNetwork(lists=["hosting"]), known(networks=[TOR]), False),
]


@pytest.mark.parametrize(("condition", "facts", "is_hit"), EDGES)
def test_a_rule_hits_from_its_boundary_on(
    condition: OfConversion, facts: Facts, *, is_hit: bool
) -> None:
    why = condition.why(facts)
    assert (why is not None) is is_hit
    assert why is None or "mem_" not in why


def test_a_purchase_in_the_second_of_its_click_is_not_one_before_it() -> None:
    found = conversion(click_id=click(-700), event_at=NOW)
    assert fraud_rules.after_click_s(found) == 0
    why = ClickToConversion(min_s=15).why(Facts(found=found))
    assert why == "it came 0 s after its click, sooner than 15 s"


def test_each_kind_has_a_boundary_here() -> None:
    assert {type(condition) for condition, _, _ in EDGES} == set(OfConversion.__args__)


def test_a_rule_is_stored_as_it_is_said() -> None:
    for condition, _, _ in EDGES:
        text = msgspec.json.encode(condition)
        assert msgspec.json.decode(text, type=Condition) == condition


@pytest.mark.parametrize(
    "condition",
    [
        ClickToConversion(),
        ClickToConversion(min_s=6, max_s=5),
        WithdrawalVelocity(window_s=DAY),
    ],
)
def test_a_rule_that_can_hit_nothing_or_everything_is_refused(condition: Condition) -> None:
    with pytest.raises(errors.InvalidRequest):
        fraud_rules.check(condition)


def test_how_far_rules_look_back_is_known_once() -> None:
    assert fraud_rules.spans_s([QUICK, FRESH, TAKEN, LATE]) == [DAY]
    assert fraud_rules.spans_s([LATE]) == []


def rule(action: Action = "hold", **fields: Any) -> Rule:
    values: dict[str, Any] = {
        "id": RULE,
        "version": 1,
        "is_shadow": False,
        "condition": Amount(above_minor=0),
    }
    return Rule(name="Large", action=action, **(values | fields))


def said(action: Action = "hold", **fields: Any) -> Hit:
    return fraud.hit(rule(action), "cnv_1", "why")._replace(**fields)


def test_a_rule_says_a_thing_once_unless_it_was_in_shadow_mode() -> None:
    facts = known()
    assert len(fraud.hits([rule()], facts, [])) == 1
    assert fraud.hits([rule()], facts, [said()]) == []
    assert fraud.hits([rule(version=2)], facts, [said()]) == []
    assert len(fraud.hits([rule(id=OTHER)], facts, [said()])) == 1
    quiet = said(is_shadow=True)
    assert fraud.hits([rule(is_shadow=True)], facts, [quiet]) == []
    assert len(fraud.hits([rule(version=2)], facts, [quiet])) == 1


@pytest.mark.parametrize(
    ("actions", "review", "cashback"),
    [
        ([], None, 100),
        (["flag"], None, 100),
        (["flag", "hold"], "held", 100),
        (["reject", "hold", "flag"], "rejected", 0),
    ],
)
def test_the_strongest_hit_counts(actions: list[Action], review: str | None, cashback: int) -> None:
    hits = [said(action) for action in actions]
    graded = fraud.graded(conversion(), hits)
    assert (graded.review, graded.booked_cashback_minor) == (review, cashback)
    in_shadow = [one._replace(is_shadow=True) for one in hits]
    assert fraud.graded(conversion(), in_shadow) == conversion()


def test_what_a_network_holds_is_a_case_too_and_only_once() -> None:
    held = conversion(review="held", reasons=["too soon"])
    [found] = fraud.hits([], Facts(found=held), [])
    assert (found.rule_id, found.rule_version, found.reason) == ("net_1", 0, "too soon")
    assert fraud.hits([], Facts(found=held), [found]) == []
    assert fraud.hits([], Facts(found=held), [said()]) == []
    assert len(fraud.hits([], Facts(found=held), [said(is_shadow=True)])) == 1


@pytest.mark.parametrize(
    ("fields", "is_judged"),
    [
        ({}, True),
        ({"review": "released"}, True),
        ({"review": "rejected"}, False),
        ({"member_id": None}, False),
        ({"parked": "unattributed"}, False),
        ({"state": "reversed"}, False),
        ({"state": "rejected"}, False),
    ],
)
def test_rules_look_at_what_gives_somebody_cashback(
    fields: dict[str, Any], *, is_judged: bool
) -> None:
    assert fraud.is_judged(conversion(**fields)) is is_judged


@pytest.mark.parametrize(
    ("review", "standing", "now_hit", "reached"),
    [
        (None, [], "hold", "held"),
        (None, [], "reject", "rejected"),
        (None, [], "flag", None),
        (None, [], None, None),
        ("held", [said()], None, "released"),
        ("rejected", [said("reject")], None, "released"),
        ("held", [said()], "reject", "rejected"),
        ("rejected", [said("reject")], "hold", "held"),
        ("rejected", [said("reject")], "flag", "released"),
        ("held", [said(), said(rule_id=OTHER)], None, "held"),
        ("rejected", [said("reject"), said(rule_id=OTHER)], None, "held"),
        ("held", [said(), said(rule_id=OTHER, is_decided=True)], None, "released"),
        ("released", [said(rule_id=OTHER, is_decided=True)], None, "released"),
    ],
)
def test_looking_again_counts_what_still_hits(
    review: Any, standing: list[Hit], now_hit: Action | None, reached: str | None
) -> None:
    hit = None if now_hit is None else said(now_hit)
    assert fraud.regraded(conversion(review=review), standing, RULE, hit) == reached


def test_a_case_is_decided_once_but_what_a_rule_rejected_can_be_released() -> None:
    assert fraud.decided("open", None, "release") == "released"
    assert fraud.decided("open", None, "reject") == "rejected"
    assert fraud.decided("rejected", RULE, "release") == "released"
    for state, by, step in (
        ("rejected", RULE, "reject"),
        ("rejected", "opr_1", "release"),
        ("released", RULE, "reject"),
        ("released", "opr_1", "release"),
    ):
        with pytest.raises(errors.FraudCaseNotOpen):
            fraud.decided(state, by, step)  # type: ignore[arg-type]  # words of a loop


def test_a_decision_is_a_review() -> None:
    held = conversion(review="held")
    assert fraud.settled(held, "release", NOW).review == "released"
    rejected = fraud.settled(held, "reject", NOW)
    assert (rejected.review, rejected.booked_cashback_minor) == ("rejected", 0)
    assert fraud.settled(conversion(), "release", NOW) == conversion()
