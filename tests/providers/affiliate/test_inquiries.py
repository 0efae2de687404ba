"""Asking a network about a purchase: exactly what its API takes, once, or a clear error."""

from __future__ import annotations

from typing import Any

import pytest

from core.errors import BadSetting
from core.providers.affiliate.protocol import (
    AuthRefused,
    BadAnswer,
    CanInquire,
    Inquiry,
    PullFailed,
    Temporary,
    Throttled,
    Unaddressed,
)
from tests.providers.affiliate.conftest import KINDS, Setup
from tests.providers.affiliate.impact import INQUIRIES, Impact
from tests.providers.affiliate.server import EPOCH_MS
from tests.providers.server import Fault

impact = pytest.mark.parametrize("setup", ["impact"], indirect=True)
INQUIRY = Inquiry(
    claim_id="clm_01h455vb4pex5vsknk084sn02q",
    click_id="c0ffee",
    clicked_at_ms=EPOCH_MS - 60_000,
    campaign="https://tea.sjv.io/c/11/22/10306?x=1",
    order_id="#OD&1",
    amount_minor=4_999,
    currency="INR",
    ordered_at_ms=EPOCH_MS,
)
ASKED = {
    "CampaignId": "10306",
    "OrderId": "#OD&1",
    "TransactionDate": "2026-08-20T00:00:00Z",
    "TransactionAmount": "49.99",
    "InquiryType": "UNTRACKED",
    "MediaPartnerInquiryId": "clm_01h455vb4pex5vsknk084sn02q",
    "InquiryNotes": "subId1 c0ffee; clicked at 2026-08-19T23:59:00Z; the amount is in INR",
}
FAULTS: dict[str, tuple[Fault, type[PullFailed]]] = {
    "401": (Fault(401), AuthRefused),
    "403": (Fault(403), AuthRefused),
    "429": (Fault(429), Throttled),
    "503": (Fault(503), Temporary),
    "400": (Fault(400), BadAnswer),
    "not JSON": (Fault(200, b"<html>"), BadAnswer),
    "a list": (Fault(200, b"[]"), BadAnswer),
    "silence": (Fault(is_hanging=True), Temporary),
}


def theirs(setup: Setup) -> Impact:
    assert isinstance(setup.theirs, Impact)
    return setup.theirs


async def ask(setup: Setup, **changes: Any) -> str:
    assert isinstance(setup.ours, CanInquire)
    return await setup.ours.inquire(setup.send, INQUIRY._replace(**changes))


@pytest.mark.parametrize("setup", KINDS, indirect=True)
def test_one_network_is_known_to_have_an_api_for_it(setup: Setup) -> None:
    assert isinstance(setup.ours, CanInquire) == (setup.theirs.slug == "impact")


@pytest.mark.parametrize("setup", KINDS, indirect=True)
def test_who_gets_mail_has_an_address(setup: Setup) -> None:
    setup.with_config(contact_email="Partner.Support+tea@network.example", calls_per_minute=2)
    for address in ("network.example", "a@b", "a b@network.example", "a@network.example\n"):
        with pytest.raises(BadSetting, match="contact_email"):
            setup.with_config(contact_email=address)
    with pytest.raises(BadSetting, match="calls_per_minute"):
        setup.with_config(calls_per_minute=1)


@impact
async def test_a_network_is_asked_in_its_own_words(setup: Setup) -> None:
    assert await ask(setup) == "15652378"
    assert theirs(setup).inquiries == [ASKED]


@impact
async def test_a_claim_is_asked_about_once(setup: Setup) -> None:
    first = await ask(setup)
    assert await ask(setup) == first
    assert await ask(setup, claim_id="clm_2") == "15652379"
    assert len(theirs(setup).inquiries) == 2


@impact
async def test_an_answer_that_was_lost_is_found(setup: Setup) -> None:
    theirs(setup).is_forgetful = True
    with pytest.raises(Temporary):
        await ask(setup)
    assert await ask(setup) == "15652378"
    assert len(theirs(setup).inquiries) == 1


@impact
@pytest.mark.parametrize("fault", FAULTS)
async def test_a_failure_is_of_a_known_kind(setup: Setup, fault: str) -> None:
    answer, kind = FAULTS[fault]
    setup.theirs.faults[INQUIRIES] = [answer]
    with pytest.raises(kind) as failed:
        await ask(setup)
    assert type(failed.value) is kind
    assert theirs(setup).inquiries == []
    setup.theirs.released.set()


@impact
@pytest.mark.parametrize("body", [b"{}", b'{"Status": "OK", "Uri": "/x/ActionInquiries/"}'])
async def test_an_answer_without_an_id_is_refused(setup: Setup, body: bytes) -> None:
    theirs(setup).made_body = body
    with pytest.raises(BadAnswer):
        await ask(setup)


@impact
@pytest.mark.parametrize(
    "campaign", ["https://tea.sjv.io/c/11/22", "https://tea.sjv.io/tea", "10306", "/c/1/2/3"]
)
async def test_a_link_that_names_no_campaign_is_not_asked_about(
    setup: Setup, campaign: str
) -> None:
    with pytest.raises(Unaddressed):
        await ask(setup, campaign=campaign)
    assert setup.theirs.asked == []


@impact
async def test_without_a_campaign_it_is_the_accounts(setup: Setup) -> None:
    await ask(setup, campaign="", click_id="", clicked_at_ms=None)
    [asked] = theirs(setup).inquiries
    assert (asked["CampaignId"], asked["InquiryNotes"]) == ("3", "the amount is in INR")
