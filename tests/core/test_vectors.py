"""Signatures that others have published, against the code with which the product checks its own.

A vector is what a scheme signs, in named parts, and the signature of it. Each has a bad twin for
every part, in which one character of that part is another one.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import json
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final, NamedTuple
from urllib.parse import urlencode

import pytest

from core import signing, totp
from core.errors import BadSignature
from core.http import HttpRequest, HttpResponse, OutboundFailed
from core.providers.affiliate import admitad
from core.providers.affiliate.protocol import DAY_MS, PullFailed, Window
from core.providers.payouts import cashfree, razorpayx
from core.providers.reports import sendgrid, twilio
from core.providers.social import flow
from tests.core import test_totp


class Vector(NamedTuple):
    """`is_taken` is what the product makes of the parts."""

    is_taken: Callable[..., bool]
    parts: Mapping[str, str]


def is_signed(verify: Callable[[], object]) -> bool:
    try:
        verify()
    except BadSignature:
        return False
    return True


def by_razorpay(secret: str, body: str, signature: str) -> bool:
    config = razorpayx.Config(
        key_id="k", key_secret="k", account_number="1", webhook_secrets=(secret,)
    )
    headers = {"x-razorpay-signature": signature, "x-razorpay-event-id": "evt_1"}
    ours = razorpayx.RazorpayX(config)
    return is_signed(lambda: ours.event(headers, body.encode(), RAZORPAY_S))


def by_cashfree(secret: str, time: str, body: str, signature: str) -> bool:
    ours = cashfree.Cashfree(cashfree.Config(client_id="c", client_secret=secret))
    headers = {"x-webhook-timestamp": time, "x-webhook-signature": signature}
    return is_signed(lambda: ours.event(headers, body.encode(), 1_746_427_760))


def by_sendgrid(key: str, time: str, body: str, signature: str) -> bool:
    headers = {sendgrid.TIMESTAMP_HEADER: time, sendgrid.SIGNATURE_HEADER: signature}
    return is_signed(lambda: sendgrid.verify(key, headers, body.encode()))


def by_twilio(token: str, url: str, body: str, signature: str, *, is_form: bool) -> bool:
    return is_signed(
        lambda: twilio.verify(token, url, body.encode(), is_form=is_form, signature=signature)
    )


def by_standard_webhooks(
    secret: str, message_id: str, time: str, body: str, signature: str
) -> bool:
    headers = {
        signing.ID_HEADER: message_id,
        signing.TIMESTAMP_HEADER: time,
        signing.SIGNATURE_HEADER: signature,
    }
    return is_signed(lambda: signing.verify([secret], headers, body.encode(), 1_614_265_330))


def is_of_the_app(now_s: int, seed: str, code: str) -> bool:
    secret = base64.b32encode(seed.encode()).decode()
    return totp.accepted_step(secret, code, now_s, None) is not None


def is_shown_to_admitad(client_id: str, client_secret: str, basic: str) -> bool:
    """Whether that is what asking for a token says of who asks."""
    credentials = admitad.Credentials(client_id=client_id, client_secret=client_secret)
    ours = admitad.Admitad(admitad.Config(), credentials)
    asked: list[HttpRequest] = []

    async def send(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        raise OutboundFailed

    async def pull() -> None:
        with contextlib.suppress(PullFailed):
            _ = [page async for page in ours.pull(send, Window(0, DAY_MS))]

    asyncio.run(pull())
    return asked[0].headers["Authorization"] == f"Basic {basic}"


# What Razorpay's own library for Python is tested with.
RAZORPAY_S: Final = 1_400_826_760
RAZORPAY: Final = {
    "event": "payment.authorized",
    "entity": "event",
    "contains": ["payment"],
    "payload": {
        "payment": {
            "entity": {
                "id": "pay_6koWN7bvxujzxM",
                "entity": "payment",
                "amount": 1_000_000,
                "currency": "INR",
                "status": "captured",
                "order_id": "order_100000000order",
                "international": False,
                "method": "card",
                "amount_refunded": 0,
                "refund_status": None,
                "captured": True,
                "description": "random description",
                "card_id": "card_6koWNAT6LASUqy",
                "bank": None,
                "wallet": None,
                "vpa": None,
                "email": "a@b.com",
                "contact": "+919999999999",
                "notes": {"merchant_order_id": "random order id"},
                "fee": 23_000,
                "service_tax": 3_000,
                "error_code": None,
                "error_description": None,
                "created_at": 1_479_978_483,
            }
        }
    },
    "created_at": RAZORPAY_S,
}
# SendGrid's: the body ends in CR and LF, which are signed, too.
SENDGRID: Final = {
    "email": "hello@world.com",
    "event": "dropped",
    "reason": "Bounced Address",
    "sg_event_id": "ZHJvcC0xMDk5NDkxOS1MUnpYbF9OSFN0T0doUTRrb2ZTbV9BLTA",
    "sg_message_id": "LRzXl_NHStOGhQ4kofSm_A.filterdrecv-p3mdw1-756b745b58-kmzbl-18-5F5FC76C-9.0",
    "smtp-id": "<LRzXl_NHStOGhQ4kofSm_A@ismtpd0039p1iad1.sendgrid.net>",
    "timestamp": 1_600_112_492,
}
# Twilio's: a call, fields that stand twice, and a body that is no form.
CALL: Final = [
    ("CallSid", "CA1234567890ABCDE"),
    ("Digits", "1234"),
    ("From", "+14158675309"),
    ("To", "+18005551212"),
    ("Caller", "+14158675309"),
]
TWICE: Final = [
    ("Sid", "CA123"),
    ("SidAccount", "AC123"),
    ("Digits", "5678"),
    ("Digits", "1234"),
    ("Digits", "1234"),
]
TWILIO: Final = {"token": "12345", "url": "https://mycompany.com/myapp.php?foo=1&bar=2"}
BODY_HASH: Final = "0a1ff7634d9ab3b95db5c9a2dfe9416e41502b283a80c7cf19632632f96e6620"

VECTORS: Final[dict[str, Vector]] = {
    "Razorpay webhook": Vector(
        by_razorpay,
        {
            "secret": "key_secret",
            "body": json.dumps(RAZORPAY, indent=2) + "\n",
            "signature": "d60e67fd884556c045e9be7dad57903e33efc7172c17c6e3ef77db42d2b366e9",
        },
    ),
    "4 Cashfree": Vector(
        by_cashfree,
        {
            "secret": "test_client_secret",
            "time": "1746427759733",
            "body": (
                '{"data":{"order":{"order_id":"order_OFR_2","order_amount":170.00}},'
                '"type":"PAYMENT_SUCCESS_WEBHOOK"}'
            ),
            "signature": "IkkeyHUwo1telweYbekipeV+TcjZLJl8pedqFQFRM8c=",
        },
    ),
    "6 SendGrid": Vector(
        by_sendgrid,
        {
            "key": (
                "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE83T4O/n84iotIvIW4mdBgQ/7dAfSmpqIM8kF9mN1flpV"
                "KS3GRqe62gw+2fNNRaINXvVpiglSI8eNEc6wEA3F+g=="
            ),
            "time": "1600112502",
            "body": json.dumps([SENDGRID], sort_keys=True, separators=(",", ":")) + "\r\n",
            "signature": (
                "MEUCIGHQVtGj+Y3LkG9fLcxf3qfI10QysgDWmMOVmxG0u6ZUAiEAyBiXDWzM+uOe5W0JuG+luQAbPIqH"
                "h89M15TluLtEZtM="
            ),
        },
    ),
    "7 Twilio, a form": Vector(
        partial(by_twilio, is_form=True),
        {**TWILIO, "body": urlencode(CALL), "signature": "RSOYDt4T1cUTdK1PDd93/VVr8B8="},
    ),
    "7 Twilio, fields twice": Vector(
        partial(by_twilio, is_form=True),
        {**TWILIO, "body": urlencode(TWICE), "signature": "IK+Dwps556ElfBT0I3Rgjkr1wJU="},
    ),
    "7 Twilio, no form": Vector(
        partial(by_twilio, is_form=False),
        {
            "token": TWILIO["token"],
            "url": f"{TWILIO['url']}&bodySHA256={BODY_HASH}",
            "body": '{"property": "value", "boolean": true}',
            "signature": "a9nBmqA0ju/hNViExpshrM61xv4=",
        },
    ),
    "8 Standard Webhooks": Vector(
        by_standard_webhooks,
        {
            "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
            "message_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
            "time": "1614265330",
            "body": '{"test": 2432232314}',
            "signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
        },
    ),
    # RFC 7636, appendix B.
    "10 PKCE": Vector(
        flow.is_answered,
        {
            "verifier": "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "asked": "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        },
    ),
    # Codes of six digits are the last six of eight.
    **{
        f"11 TOTP, {now_s}": Vector(
            partial(is_of_the_app, now_s),
            {"seed": test_totp.SEED.decode(), "code": code[2:]},
        )
        for now_s, code, *_ in test_totp.VECTORS
    },
    "16 Admitad": Vector(
        is_shown_to_admitad,
        {
            "client_id": "cb281d918a37e346b45e9aea1c6eb7",
            "client_secret": "a0f8a8b24de8b8182a0ddd2e89f5b1",
            "basic": (
                "Y2IyODFkOTE4YTM3ZTM0NmI0NWU5YWVhMWM2ZWI3OmEwZjhhOGIyNGRlOGI4MTgyYTBkZGQyZTg5ZjVi"
                "MQ=="
            ),
        },
    ),
}
TWINS: Final = [(name, part) for name, vector in VECTORS.items() for part in vector.parts]


@pytest.mark.parametrize("name", VECTORS)
def test_what_others_have_published_is_taken(name: str) -> None:
    assert VECTORS[name].is_taken(**VECTORS[name].parts)


@pytest.mark.parametrize(("name", "part"), TWINS)
def test_its_bad_twins_are_not(name: str, part: str) -> None:
    parts = VECTORS[name].parts
    assert not VECTORS[name].is_taken(**{**parts, part: changed(parts[part])})


def changed(text: str) -> str:
    """The text with another character in its middle."""
    place = len(text) // 2
    other = "1" if text[place] == "0" else "0"
    return text[:place] + other + text[place + 1 :]
