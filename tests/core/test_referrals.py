"""Who may claim which code, what a first purchase is, and what is given for it."""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core import errors, referrals, wallet
from core.conversions import Conversion
from core.programs import ReferralRules
from core.referrals import Claim, Given, Referral, Standing
from core.wallet import Account

NOW: Final = dt.datetime(2026, 3, 1, tzinfo=dt.UTC)
DAY: Final = dt.timedelta(days=1)


def referral(**fields: Any) -> Referral:
    values: dict[str, Any] = {
        "id": "ref_1",
        "program_id": "prg_1",
        "member_id": "mem_new",
        "referrer_id": "mem_old",
        "version": 1,
        "state": "claimed",
        "currency": "INR",
        "referrer_minor": 100,
        "referee_minor": 50,
        "minimum_commission_minor": 0,
        "minimum_sale_minor": 0,
        "qualifies_until": NOW,
        "claimed_at": NOW,
        "updated_at": NOW,
    }
    return Referral(**values | fields)


def purchase(**fields: Any) -> Conversion:
    values: dict[str, Any] = {
        "id": "cnv_1",
        "program_id": "prg_1",
        "network_id": "net_1",
        "txn_id": "t1",
        "event": "",
        "version": 1,
        "state": "approved",
        "member_id": "mem_new",
        "currency": "USD",
        "sale_minor": 1_000,
        "sale_currency": "USD",
        "booked_currency": "INR",
        "booked_commission_minor": 10,
        "rate": "80",
        "first_seen_at": NOW,
        "updated_at": NOW,
    }
    return Conversion(**values | fields)


@given(st.binary(min_size=referrals.ENTROPY_BYTES, max_size=referrals.ENTROPY_BYTES))
def test_a_code_is_read_as_it_was_made_however_it_is_typed(entropy: bytes) -> None:
    code = referrals.new_code(entropy)
    assert len(code) == referrals.LENGTH
    assert not set(code) & set("ILOU")
    typed = f" {code[:4].lower()}-{code[4:]} ".replace("0", "o").replace("1", "L")
    assert referrals.spelled(code) == referrals.spelled(typed) == code


@pytest.mark.parametrize("text", ["", "ABCDEFG", "ABCDEFGHJ", "ABCDEFGU", "ABCDEFG!", "ÄBCDEFGH"])
def test_what_is_no_code_is_nobodys(text: str) -> None:
    with pytest.raises(errors.ReferralCodeNotFound):
        referrals.spelled(text)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("asha@example.com", "asha+tea@example.com", True),
        ("a.sha@gmail.com", "asha+1@googlemail.com", True),
        ("a.sha@example.com", "asha@example.com", False),
        ("asha@example.com", "asha@example.org", False),
        ("+x@example.com", "+y@example.com", False),
        ("+919876543210", "+919876543210", True),
        ("+919876543210", "+919876543211", False),
    ],
)
def test_addresses_of_one_mailbox_are_the_same(one: str, other: str, *, is_same: bool) -> None:
    assert (referrals.mailbox(one) == referrals.mailbox(other)) is is_same


FREE: Final = Claim(
    joined_at=NOW - 7 * DAY,
    is_referred=False,
    has_bought=False,
    is_same_person=False,
    is_loop=False,
    is_spent=False,
)


@pytest.mark.parametrize(
    ("rules", "known", "refusal"),
    [
        ({}, {}, None),
        ({"is_on": False}, {}, errors.ReferralsClosed),
        ({"starts_at": NOW}, {}, None),
        ({"starts_at": NOW + DAY}, {}, errors.ReferralsClosed),
        ({"ends_at": NOW + DAY}, {}, None),
        ({"ends_at": NOW}, {}, errors.ReferralsClosed),
        ({}, {"is_same_person": True}, errors.SelfReferral),
        ({}, {"is_referred": True}, errors.AlreadyReferred),
        ({}, {"is_loop": True}, errors.ReferralLoop),
        ({}, {"has_bought": True}, errors.ReferralTooLate),
        ({}, {"joined_at": NOW - 7 * DAY - dt.timedelta(seconds=1)}, errors.ReferralTooLate),
        ({"claim_days": 8}, {"joined_at": NOW - 8 * DAY}, None),
        ({}, {"is_spent": True}, errors.ReferralsClosed),
    ],
)
def test_a_claim_is_refused_for_a_reason(
    rules: dict[str, Any], known: dict[str, Any], refusal: type[errors.StampgateError] | None
) -> None:
    asked = ReferralRules(**{"is_on": True} | rules), FREE._replace(**known), NOW
    if refusal is None:
        referrals.check_claim(*asked)
    else:
        with pytest.raises(refusal):
            referrals.check_claim(*asked)


@pytest.mark.parametrize(
    ("promised", "fields", "does_count"),
    [
        ({}, {}, True),
        ({}, {"state": "settled"}, True),
        ({}, {"state": "pending"}, False),
        ({}, {"state": "reversed"}, False),
        ({}, {"review": "held"}, False),
        ({}, {"review": "released"}, True),
        ({}, {"review": "rejected"}, False),
        ({}, {"member_id": None}, False),
        ({}, {"member_id": "mem_old"}, False),
        ({}, {"booked_currency": None}, False),
        ({}, {"booked_currency": "EUR"}, False),
        ({}, {"booked_commission_minor": 0}, False),
        ({"minimum_commission_minor": 10}, {}, True),
        ({"minimum_commission_minor": 11}, {}, False),
        ({"minimum_sale_minor": 80_000}, {}, True),
        ({"minimum_sale_minor": 80_001}, {}, False),
        ({"minimum_sale_minor": 1_000}, {"sale_currency": "INR"}, True),
        ({"minimum_sale_minor": 1}, {"sale_currency": "EUR"}, False),
        ({"minimum_sale_minor": 1}, {"sale_minor": None}, False),
        ({}, {"first_seen_at": NOW + DAY}, False),
        ({}, {"first_seen_at": NOW + DAY, "event_at": NOW}, True),
        ({}, {"event_at": NOW + dt.timedelta(seconds=1)}, False),
    ],
)
def test_a_purchase_qualifies(
    promised: dict[str, Any], fields: dict[str, Any], *, does_count: bool
) -> None:
    assert referrals.counts(referral(**promised), purchase(**fields)) is does_count


def test_the_earliest_purchase_is_the_first() -> None:
    late, early = purchase(id="cnv_1"), purchase(id="cnv_2", event_at=NOW - DAY)
    pending = purchase(id="cnv_0", event_at=NOW - 2 * DAY, state="pending")
    assert referrals.first(referral(), [late, pending, early]) == early
    assert referrals.first(referral(), [pending]) is None


HERE: Final = Standing(
    is_member_here=True, is_referrer_here=True, is_same_person=False, given=Given(0, 0, 0)
)


@pytest.mark.parametrize(
    ("rules", "standing", "reason"),
    [
        ({}, {}, None),
        ({"is_on": False}, {}, "closed"),
        ({"ends_at": NOW - DAY}, {}, None),
        ({}, {"is_referrer_here": False}, "referrer_gone"),
        ({}, {"is_member_here": False}, "member_gone"),
        ({}, {"is_same_person": True}, "same_person"),
        ({}, {"given": Given(1, 100, 750)}, None),
        ({}, {"given": Given(2, 100, 750)}, "referrer_cap"),
        ({}, {"given": Given(1, 150, 750)}, None),
        ({}, {"given": Given(1, 151, 750)}, "referrer_cap"),
        ({}, {"given": Given(1, 100, 751)}, "budget_exhausted"),
        ({"cap_count": None, "cap_minor": None}, {"given": Given(99, 9_900, 0)}, None),
        ({"budget_minor": None}, {"given": Given(0, 0, 10**9)}, None),
        ({"cap_count": 0}, {}, "referrer_cap"),
        ({"budget_minor": 0}, {}, "budget_exhausted"),
    ],
)
def test_nothing_is_given_for_a_reason(
    rules: dict[str, Any], standing: dict[str, Any], reason: str | None
) -> None:
    # What was promised counts, not what the rules say now.
    said = {"is_on": True, "referrer_minor": 7, "referee_minor": 7}
    present = ReferralRules(
        **{**said, "cap_count": 2, "cap_minor": 250, "budget_minor": 900, **rules}
    )
    assert referrals.refusal(present, referral(), HERE._replace(**standing)) == reason


def test_what_is_given_is_what_is_taken_back() -> None:
    given = referrals.legs(referral())
    assert given == {
        Account("referral", "INR"): -150,
        Account("available", "INR", "mem_old"): 100,
        Account("available", "INR", "mem_new"): 50,
    }
    assert wallet.balanced(given)
    taken = referrals.legs(referral(), -1)
    assert {account: -leg for account, leg in taken.items()} == given
    assert referrals.legs(referral(referrer_minor=0, referee_minor=0)) == {}
    assert len(referrals.legs(referral(referrer_minor=0))) == 2


def test_a_cap_looks_back_so_many_days_or_for_ever() -> None:
    assert referrals.since(ReferralRules(cap_days=3), NOW) == NOW - 3 * DAY
    assert referrals.since(ReferralRules(cap_days=None), NOW) is None


def test_rules_that_end_before_they_begin_are_none() -> None:
    with pytest.raises(ValueError, match="later"):
        ReferralRules(starts_at=NOW, ends_at=NOW)
