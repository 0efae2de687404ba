"""Twilio, MSG91 and Kaleyra: what arrives there, and whose fault a no is."""

from __future__ import annotations

import json

import pytest

from core.providers.protocols import Deferred, Refused, Sent
from tests.providers.notifications.conftest import Setup
from tests.providers.notifications.server import Fault
from tests.providers.notifications.texters import CONTENT, NUMBER

twilio = pytest.mark.parametrize("notifier", ["twilio"], indirect=True)
msg91 = pytest.mark.parametrize("notifier", ["msg91"], indirect=True)
kaleyra = pytest.mark.parametrize("notifier", ["kaleyra"], indirect=True)


@twilio
async def test_an_sms_says_where_its_fate_is_told(notifier: Setup) -> None:
    await notifier.deliver()
    [form] = notifier.theirs.forms
    assert form["To"] == NUMBER
    assert form["Body"] == "Ihr Code: 482913 ✓"
    assert form["StatusCallback"] == (
        "https://gate.example.test/webhooks/twilio?notification=ntf_1"
    )


@twilio
async def test_a_messaging_service_stands_in_for_the_sender(notifier: Setup) -> None:
    service = "MG" + "2" * 32
    section = {**notifier.theirs.config(), "messaging_service_sid": service}
    assert isinstance(await notifier.with_section(section).deliver(), Sent)
    [form] = notifier.theirs.forms
    assert form["MessagingServiceSid"] == service


@twilio
async def test_whatsapp_gets_the_approved_text(notifier: Setup) -> None:
    await notifier.deliver(notifier.message(channel="whatsapp"))
    [form] = notifier.theirs.forms
    assert (form["To"], form["From"]) == (f"whatsapp:{NUMBER}", "whatsapp:+14155238886")
    assert form["ContentSid"] == CONTENT
    assert json.loads(form["ContentVariables"]) == {"1": "482913", "2": "5"}


@twilio
async def test_whatsapp_without_an_approved_text_gets_ours(notifier: Setup) -> None:
    await notifier.deliver(notifier.message(channel="whatsapp", language="de"))
    [form] = notifier.theirs.forms
    assert form["Body"] == "Ihr Code: 482913 ✓"


@twilio
async def test_without_a_sender_it_takes_nothing(notifier: Setup) -> None:
    section = {**notifier.theirs.config(), "whatsapp_from": None, "sms_from": None}
    ours = notifier.with_section(section).ours
    assert not ours.takes(notifier.message())
    assert not ours.takes(notifier.message(channel="whatsapp"))


@twilio
@pytest.mark.parametrize(
    ("code", "kind", "about"),
    [
        (21211, Refused, "address"),
        (21614, Refused, "address"),
        (21610, Refused, "opt_out"),
        (21617, Refused, "message"),
        (21408, Deferred, None),
        (21608, Deferred, None),
        (63016, Deferred, None),
        (20429, Deferred, None),
        (63018, Deferred, None),
    ],
)
async def test_a_no_of_twilios_is_about_somebody(
    notifier: Setup, code: int, kind: type[object], about: str | None
) -> None:
    notifier.theirs.dead[NUMBER] = code
    outcome = await notifier.deliver()
    assert type(outcome) is kind, outcome
    assert getattr(outcome, "about", None) == about
    assert not isinstance(outcome, Sent)
    assert str(code) in outcome.reason


@twilio
async def test_a_quota_is_left_time_to_fill_again(notifier: Setup) -> None:
    notifier.theirs.dead[NUMBER] = 63018
    outcome = await notifier.deliver()
    assert isinstance(outcome, Deferred)
    assert outcome.retry_after_s >= 900


@twilio
@pytest.mark.parametrize("status", ["failed", "undelivered", "canceled"])
async def test_a_message_that_is_dead_at_birth_is_refused(notifier: Setup, status: str) -> None:
    body = json.dumps({"sid": "SM" + "a" * 32, "status": status, "error_code": 30005})
    notifier.theirs.faults[notifier.theirs.path] = [Fault(201, body.encode())]
    outcome = await notifier.deliver()
    assert isinstance(outcome, Refused)
    assert outcome.about == "address"


@msg91
async def test_msg91_fills_in_its_own_text(notifier: Setup) -> None:
    await notifier.deliver()
    [body] = notifier.theirs.bodies
    [recipient] = body["recipients"]
    assert recipient["VAR1"] == "482913"
    assert recipient["mobiles"] == "917012345678"
    assert body["sender"] == "STMPGT"


@msg91
async def test_msg91_takes_only_what_it_has_a_text_for(notifier: Setup) -> None:
    assert not notifier.ours.takes(notifier.message(template="password_changed"))


@msg91
async def test_a_no_with_200_is_a_no(notifier: Setup) -> None:
    section = notifier.theirs.config()
    section["flows"]["sign_in_code"]["template_id"] = "unknown"
    outcome = await notifier.with_section(section).deliver()
    assert isinstance(outcome, Deferred)
    assert notifier.theirs.taken == []


@kaleyra
@pytest.mark.parametrize("version", ["v1", "v2"])
async def test_kaleyra_speaks_forms_and_json(notifier: Setup, version: str) -> None:
    section = {**notifier.theirs.config(), "version": version}
    assert isinstance(await notifier.with_section(section).deliver(), Sent)
    [form] = notifier.theirs.forms
    assert form["to"] == NUMBER
    assert (form["type"], form["template_id"]) == ("OTP", "1007")
    assert notifier.theirs.asked == [f"/{version}/HXIN0000/messages"]


@kaleyra
async def test_a_no_with_202_is_a_no(notifier: Setup) -> None:
    body = b'{"id": "k1", "error": {"to": "invalid"}}'
    notifier.theirs.faults[notifier.theirs.path] = [Fault(202, body)]
    assert isinstance(await notifier.deliver(), Deferred)
