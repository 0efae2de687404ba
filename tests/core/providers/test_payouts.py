"""Providers of payouts: their sections, their signatures, and what their words mean."""

from __future__ import annotations

import base64
import hashlib
import hmac

import msgspec
import pytest

from core.errors import BadReply, BadSetting, BadSignature
from core.providers.payouts import builtin, cashfree, razorpayx
from core.providers.payouts.protocol import News
from tests.core.test_vectors import VECTORS

RAZOR = razorpayx.Config(
    key_id="k", key_secret="s", account_number="1", webhook_secrets=("one", "before")
)
CASH = cashfree.Config(client_id="c", client_secret="test_client_secret")
NOW_S = 1_746_427_760


def razor_call(status: str, **more: object) -> bytes:
    entity = {"id": "pout_1", "status": status, "reference_id": "wdr_1", **more}
    return msgspec.json.encode(
        {"event": f"payout.{status}", "payload": {"payout": {"entity": entity}}}
    )


def razor_headers(body: bytes, secret: str = "one") -> dict[str, str]:
    made = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    return {"x-razorpay-signature": made, "x-razorpay-event-id": "evt_1"}


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *(("queued", "under_way"), ("pending", "under_way"), ("processing", "under_way")),
        *(("processed", "paid"), ("reversed", "reversed"), ("failed", "failed")),
        *(("rejected", "failed"), ("cancelled", "failed"), ("invented", "under_way")),
    ],
)
def test_what_razorpayx_says(status: str, state: str) -> None:
    body = razor_call(status, utr="U1")
    event = razorpayx.RazorpayX(RAZOR).event(razor_headers(body), body, NOW_S)
    assert event.id == "evt_1"
    assert event.news is not None
    assert (event.news.id, event.news.state, event.news.utr) == ("wdr_1", state, "U1")


def test_a_call_of_somebody_elses_reference_is_nobodys() -> None:
    body = razor_call("processed", reference_id=None)
    event = razorpayx.RazorpayX(RAZOR).event(razor_headers(body), body, NOW_S)
    assert event.news == News(id="", state="paid", reference="pout_1")


@pytest.mark.parametrize("secret", ["one", "before"])
def test_razorpayx_signs_with_the_secret_or_the_one_before(secret: str) -> None:
    body = razor_call("processed")
    razorpayx.RazorpayX(RAZOR).event(razor_headers(body, secret), body, NOW_S)


@pytest.mark.parametrize("given", ["", "00", "x" * 64, "é"])
def test_a_bad_twin_of_a_razorpayx_signature_is_refused(given: str) -> None:
    body = razor_call("processed")
    headers = {**razor_headers(body), "x-razorpay-signature": given}
    with pytest.raises(BadSignature):
        razorpayx.RazorpayX(RAZOR).event(headers, body, NOW_S)
    with pytest.raises(BadSignature):
        razorpayx.RazorpayX(RAZOR).event(razor_headers(body), body + b" ", NOW_S)


def test_cashfree_signs_numbers_as_it_writes_them_and_lately() -> None:
    parts = VECTORS["4 Cashfree"].parts
    body = parts["body"].encode()
    headers = {"x-webhook-timestamp": parts["time"], "x-webhook-signature": parts["signature"]}
    provider = cashfree.Cashfree(CASH)
    event = provider.event(headers, body, NOW_S)
    assert (event.news, len(event.id)) == (None, 64)
    with pytest.raises(BadSignature):
        provider.event(headers, body.replace(b"170.00", b"170.0"), NOW_S)
    with pytest.raises(BadSignature, match="lately"):
        provider.event(headers, body, NOW_S + 4 * 86_400)


@pytest.mark.parametrize(
    ("status", "state"),
    [
        *(("RECEIVED", "under_way"), ("PENDING", "under_way"), ("SUCCESS", "paid")),
        *(("REVERSED", "reversed"), ("FAILED", "failed"), ("REJECTED", "failed")),
        ("INVENTED", "under_way"),
    ],
)
def test_what_cashfree_says(status: str, state: str) -> None:
    data = {"transfer_id": "wdr_1", "cf_transfer_id": 17, "status": status}
    body = msgspec.json.encode({"type": f"TRANSFER_{status}", "data": data})
    digest = hmac.new(b"test_client_secret", b"1746427759733" + body, hashlib.sha256).digest()
    headers = {
        "x-webhook-timestamp": "1746427759733",
        "x-webhook-signature": base64.b64encode(digest).decode(),
    }
    event = cashfree.Cashfree(CASH).event(headers, body, NOW_S)
    assert event.news is not None
    assert (event.news.id, event.news.state, event.news.reference) == ("wdr_1", state, "17")
    with pytest.raises(BadSignature):
        cashfree.Cashfree(CASH).event(headers, body[:-1], NOW_S)


def test_a_signed_call_that_is_cut_off_cannot_be_read() -> None:
    body = razor_call("processed")[:-9]
    with pytest.raises(BadReply):
        razorpayx.RazorpayX(RAZOR).event(razor_headers(body), body, NOW_S)
    whole = razor_call("processed")
    headers = {**razor_headers(whole), "x-razorpay-event-id": ""}
    with pytest.raises(BadReply):
        razorpayx.RazorpayX(RAZOR).event(headers, whole, NOW_S)


@pytest.mark.parametrize(
    ("sections", "said"),
    [
        ({"paypal": {}}, "payouts.paypal: there is no such provider"),
        ({"razorpayx": {"key_id": "k"}}, "payouts.razorpayx: Object missing"),
        ({"cashfree-payouts": {"client_id": "c", "client_secret": "s", "base": "http://a.b"}},
         "payouts.cashfree-payouts"),
    ],
)  # fmt: skip
def test_a_section_that_cannot_serve_is_named(sections: dict[str, object], said: str) -> None:
    with pytest.raises(BadSetting, match=said):
        builtin.make(sections)


def test_a_config_does_not_show_its_secrets() -> None:
    assert "test_client_secret" not in repr(CASH)
    assert "before" not in repr(RAZOR)
