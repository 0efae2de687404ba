"""What providers report, and what is not signed by them though it looks like it."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlencode

import pytest

from core.errors import BadReply, BadSignature
from core.providers.notifications.sendgrid import Config as SendgridConfig
from core.providers.reports import kaleyra, msg91, report, sendgrid, ses, sns, twilio
from core.providers.reports.report import ORDER
from tests.core.test_vectors import CALL, TWICE, TWILIO, VECTORS

SENDGRID = VECTORS["6 SendGrid"].parts
KEY, BODY = SENDGRID["key"], SENDGRID["body"].encode()
OTHER_KEY = (
    "MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEqTxd43gyp8IOEto2LdIfjRQrIbsd4SXZkLW6jDutdhXS"
    "JCWHw8REntlo7aNDthvj+y7GjUuFDb/R1NGe1OPzpA=="
)
OTHER_SIGNATURE = (
    "MEUCIQCtIHJeH93Y+qpYeWrySphQgpNGNr/U+UyUlBkU6n7RAwIgJTz2C+8a8xonZGi6BpSzoQsbVRam"
    "r2nlxFDWYNH3j/0="
)
HEADERS = {
    "x-twilio-email-event-webhook-signature": SENDGRID["signature"],
    "x-twilio-email-event-webhook-timestamp": SENDGRID["time"],
}
TOKEN, URL = TWILIO["token"], TWILIO["url"]
CALL_SIGNATURE = VECTORS["7 Twilio, a form"].parts["signature"]
TWICE_SIGNATURE = VECTORS["7 Twilio, fields twice"].parts["signature"]
HASHED = VECTORS["7 Twilio, no form"].parts
HASHED_URL, HASHED_BODY = HASHED["url"], HASHED["body"].encode()
HASHED_SIGNATURE = HASHED["signature"]


@pytest.mark.parametrize(
    ("key", "changes", "body"),
    [
        (OTHER_KEY, {}, BODY),
        (KEY, {"x-twilio-email-event-webhook-timestamp": "1600112503"}, BODY),
        (KEY, {"x-twilio-email-event-webhook-timestamp": ""}, BODY),
        (KEY, {"x-twilio-email-event-webhook-signature": OTHER_SIGNATURE}, BODY),
        (KEY, {"x-twilio-email-event-webhook-signature": "AAAA"}, BODY),
        (KEY, {"x-twilio-email-event-webhook-signature": "ü"}, BODY),
        (KEY, {}, BODY.rstrip()),
        (KEY, {}, BODY.replace(b"dropped", b"bounced")),
        (KEY, {}, b""),
        ("", {}, BODY),
        ("AAAA", {}, BODY),
    ],
)
def test_what_differs_from_sendgrids_example_is_not_signed(
    key: str, changes: dict[str, str], body: bytes
) -> None:
    with pytest.raises(BadSignature):
        sendgrid.verify(key, {**HEADERS, **changes}, body)
    with pytest.raises(BadSignature):
        sendgrid.parse(SendgridConfig(api_key="x", webhook_key=key), {**HEADERS, **changes}, body)


@pytest.mark.parametrize("name", HEADERS)
def test_a_header_that_is_missing_is_no_signature(name: str) -> None:
    with pytest.raises(BadSignature):
        sendgrid.verify(KEY, {one: HEADERS[one] for one in HEADERS if one != name}, BODY)


def verified(
    url: str, pairs: list[tuple[str, str]], signature: str, token: str = TOKEN
) -> twilio.Pairs:
    body = urlencode(pairs).encode()
    return twilio.verify(token, url, body, is_form=True, signature=signature)


def test_what_was_posted_is_told() -> None:
    assert verified(URL, CALL, CALL_SIGNATURE) == CALL
    assert verified(URL, TWICE, TWICE_SIGNATURE) == TWICE


def test_the_port_that_goes_without_saying_may_be_said() -> None:
    assert verified(URL.replace(".com", ".com:443"), CALL, CALL_SIGNATURE) == CALL


@pytest.mark.parametrize(
    ("url", "pairs", "signature", "token"),
    [
        (URL, CALL, CALL_SIGNATURE, "12346"),
        (URL, CALL, "", TOKEN),
        (URL, CALL, TWICE_SIGNATURE, TOKEN),
        (URL, CALL, "ünsigned", TOKEN),
        (f"{URL}3", CALL, CALL_SIGNATURE, TOKEN),
        (URL.replace("https", "http"), CALL, CALL_SIGNATURE, TOKEN),
        (URL.replace(".com", ".org"), CALL, CALL_SIGNATURE, TOKEN),
        (URL.replace(".com", ".com:8443"), CALL, CALL_SIGNATURE, TOKEN),
        (URL, CALL[1:], CALL_SIGNATURE, TOKEN),
        (URL, [*CALL, ("More", "1")], CALL_SIGNATURE, TOKEN),
        (URL, [*CALL[:-1], ("Caller", "+14158675300")], CALL_SIGNATURE, TOKEN),
        (URL, [one for one in TWICE if one[1] != "5678"], TWICE_SIGNATURE, TOKEN),
    ],
    ids=range(12),
)
def test_what_differs_from_twilios_examples_is_not_signed(
    url: str, pairs: list[tuple[str, str]], signature: str, token: str
) -> None:
    with pytest.raises(BadSignature):
        verified(url, pairs, signature, token)


@pytest.mark.parametrize(
    ("url", "body"),
    [(HASHED_URL, HASHED_BODY + b" "), (URL, HASHED_BODY), (HASHED_URL[:-1] + "1", HASHED_BODY)],
)
def test_a_body_with_another_hash_is_not_signed(url: str, body: bytes) -> None:
    with pytest.raises(BadSignature):
        twilio.verify(TOKEN, url, body, is_form=False, signature=HASHED_SIGNATURE)


@pytest.mark.parametrize("body", [b"\xff", "é=1".encode(), b"a=%ff", b"&".join([b"a=1"] * 500)])
def test_a_form_that_is_none_is_said_to_be(body: bytes) -> None:
    with pytest.raises(BadReply):
        twilio.verify(TOKEN, URL, body, is_form=True, signature=CALL_SIGNATURE)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        ("queued", "", ("accepted", "message")),
        ("sent", "", ("sent", "message")),
        ("delivered", "", ("delivered", "message")),
        ("read", "", ("read", "message")),
        ("undelivered", "30003", ("undelivered", "address")),
        ("failed", "21610", ("undelivered", "opt_out")),
        ("failed", "30007", ("undelivered", "message")),
        ("delivered", "30003", ("delivered", "message")),
        ("teleported", "", None),
        ("", "", None),
    ],
)
def test_a_status_of_twilios(status: str, code: str, expected: tuple[str, str] | None) -> None:
    fields = [("MessageSid", "SM1"), ("MessageStatus", status), ("ErrorCode", code)]
    found = twilio.status(fields, {"notification": "ntf_1"})
    assert (found and (found.delivery, found.about)) == expected
    if found is not None:
        assert (found.notification_id, found.reference) == ("ntf_1", "SM1")


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"From": "+491701234567", "Body": " Stop\n"}, ("sms", "+491701234567", True)),
        ({"From": "whatsapp:+491701234567", "Body": "BAJA"}, ("whatsapp", "+491701234567", True)),
        (
            {"From": "+491701234567", "Body": "x", "OptOutType": "STOP"},
            ("sms", "+491701234567", True),
        ),
        ({"From": "+491701234567", "Body": "START"}, ("sms", "+491701234567", False)),
        ({"From": "+491701234567", "Body": "stop it, please"}, None),
        ({"From": "+491701234567", "Body": "x", "OptOutType": "HELP"}, None),
        ({}, None),
    ],
)
def test_what_somebody_writes(fields: dict[str, str], expected: Any) -> None:
    assert twilio.inbound(list(fields.items())) == expected


HARD = {"bounceType": "Permanent", "bounceSubType": "General"}
SOFT = {"bounceType": "Transient"}


def test_the_order_of_states() -> None:
    assert ORDER[0] == "accepted"
    assert ORDER.index("delivered") < ORDER.index("bounced") < ORDER.index("complained")


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (
            {
                "eventType": "Bounce",
                "bounce": {"bounceType": "Permanent", "bounceSubType": "General"},
            },
            ("bounced", "address", "Permanent/General"),
        ),
        (
            {"eventType": "Bounce", "bounce": {"bounceType": "Transient"}},
            ("undelivered", "message", "Transient"),
        ),
        ({"eventType": "Complaint"}, ("complained", "opt_out", "")),
        ({"notificationType": "Delivery"}, ("delivered", "message", "")),
        ({"eventType": "Open"}, None),
        ({}, None),
    ],
)
def test_an_event_of_ses(event: dict[str, Any], expected: Any) -> None:
    mail = {"messageId": "0100", "tags": {"notification": ["ntf_1"], "ses:caller": ["x"]}}
    found = ses.parse(json.dumps({"mail": mail, **event}))
    assert (found and (found.delivery, found.about, found.detail)) == expected
    if found is not None:
        assert (found.notification_id, found.reference) == ("ntf_1", "0100")


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"mail": 1}', '{"mail": {"tags": []}}'])
def test_what_is_no_event_of_ses_is_said_to_be(text: str) -> None:
    with pytest.raises(BadReply):
        ses.parse(text)


@pytest.mark.parametrize(
    ("url", "is_amazons"),
    [
        ("https://sns.us-east-1.amazonaws.com/SimpleNotificationService-0.pem", True),
        ("https://sns.cn-north-1.amazonaws.com.cn/x.pem", True),
        ("http://sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com:444/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com.evil.test/x.pem", False),
        ("https://evil.test/sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://user@sns.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com@evil.test/x.pem", False),
        ("https://evil.s3.us-east-1.amazonaws.com/x.pem", False),
        ("https://sns.evil.s3.amazonaws.com/x.pem", False),
        ("https://snsxus-east-1.amazonaws.com/x.pem", False),
        ("https://sns.us-east-1.amazonaws.com:x/", False),
        ("", False),
    ],
)
def test_only_amazons_certificates_count(url: str, *, is_amazons: bool) -> None:
    assert sns.is_amazons(url) == is_amazons


V2 = [{"senderId": "S", "requestId": "r1", "report": [{"number": "91", "status": "1"}]}]
V3 = {"date": "x", "number": "91", "requestId": "r1", "status": "1", "desc": "DELIVERED"}
V4 = [{"data": [{"requestId": "r1", "description": "x"}], "event": "delivered"}]


@pytest.mark.parametrize(
    ("body", "is_form"),
    [
        (urlencode({"data": json.dumps(V2)}).encode(), True),
        (json.dumps(V3).encode(), False),
        (json.dumps(V4).encode(), False),
    ],
)
def test_msg91_has_three_forms(body: bytes, *, is_form: bool) -> None:
    [found] = msg91.parse(body, is_form=is_form)
    assert (found.delivery, found.reference, found.about) == ("delivered", "r1", "message")


@pytest.mark.parametrize(
    ("code", "delivery"), [("1", "delivered"), ("2", "undelivered"), ("9", "undelivered")]
)
def test_a_status_of_msg91(code: str, delivery: str) -> None:
    [found] = msg91.parse(json.dumps({**V3, "status": code}).encode(), is_form=False)
    assert found.delivery == delivery


@pytest.mark.parametrize(
    "value", [{**V3, "status": "77"}, {**V3, "requestId": 5}, [], [1], {}, {"report": 5}]
)
def test_what_msg91_has_no_words_for_is_nothing(value: object) -> None:
    assert msg91.parse(json.dumps(value).encode(), is_form=False) == []


@pytest.mark.parametrize(
    ("body", "is_form"),
    [(b"", False), (b"{", False), (b"data=", True), (b"x=1", True), (b"", True)],
)
def test_what_is_no_report_of_msg91_is_said_to_be(body: bytes, *, is_form: bool) -> None:
    with pytest.raises(BadReply):
        msg91.parse(body, is_form=is_form)


@pytest.mark.parametrize(
    ("body", "query", "is_form", "expected"),
    [
        (b"status=Delivered&id=k1", {}, True, ("delivered", "", "k1")),
        (b'{"status": "FAILED"}', {"notification": "ntf_1"}, False, ("undelivered", "ntf_1", "")),
        (b"", {"status": "delivered", "id": "k1"}, False, ("delivered", "", "k1")),
        (b'{"status": "teleported"}', {}, False, None),
        (b"{}", {}, False, None),
    ],
)
def test_a_report_of_kaleyras(
    body: bytes, query: dict[str, str], expected: Any, *, is_form: bool
) -> None:
    found = kaleyra.parse(body, query, is_form=is_form)
    assert (found and (found.delivery, found.notification_id, found.reference)) == expected


@pytest.mark.parametrize("body", [b"[]", b"{", b"\xff"])
def test_what_is_no_report_of_kaleyras_is_said_to_be(body: bytes) -> None:
    with pytest.raises(BadReply):
        kaleyra.parse(body, {}, is_form=False)


def test_details_are_codes() -> None:
    assert report.detail("5.1.1") == "5.1.1"
    assert report.detail("Permanent/General") == "Permanent/General"
    for text in ("asha@example.test", "550 no such user", "+49170"):
        assert report.detail(text) == ""
