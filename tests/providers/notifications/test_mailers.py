"""SES and SendGrid: what arrives there, signatures, and whose fault a no is."""

from __future__ import annotations

import msgspec
import pytest

from core.http import HttpRequest
from core.providers.notifications import sigv4
from core.providers.protocols import Deferred, Refused, Sent
from tests.providers.notifications.conftest import Setup
from tests.providers.notifications.mailers import problem
from tests.providers.notifications.server import Fault

ses = pytest.mark.parametrize("notifier", ["ses"], indirect=True)
sendgrid = pytest.mark.parametrize("notifier", ["sendgrid"], indirect=True)

# The example of AWS's own test suite for signers ("get-vanilla").
KEY = sigv4.Key("AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "us-east-1", "service")
VANILLA = HttpRequest(method="GET", url="https://example.amazonaws.com/", purpose="test")
AT_S = 1_440_938_160
SIGNATURE = "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"


def test_the_signature_is_that_of_the_published_example() -> None:
    signed = sigv4.signed(VANILLA, KEY, AT_S)
    assert signed.headers["X-Amz-Date"] == "20150830T123600Z"
    assert signed.headers["Authorization"] == (
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20150830/us-east-1/service/aws4_request, "
        f"SignedHeaders=host;x-amz-date, Signature={SIGNATURE}"
    )


@pytest.mark.parametrize(
    "other",
    [
        sigv4.signed(VANILLA, KEY._replace(secret_access_key="x"), AT_S),
        sigv4.signed(VANILLA, KEY._replace(region="eu-west-1"), AT_S),
        sigv4.signed(VANILLA, KEY, AT_S + 1),
        sigv4.signed(msgspec.structs.replace(VANILLA, method="POST"), KEY, AT_S),
        sigv4.signed(msgspec.structs.replace(VANILLA, body=b"x"), KEY, AT_S),
        sigv4.signed(msgspec.structs.replace(VANILLA, url="https://example.test/"), KEY, AT_S),
    ],
    ids=range(6),
)
def test_the_signature_is_of_all_of_it(other: HttpRequest) -> None:
    assert SIGNATURE not in other.headers["Authorization"]


@ses
async def test_the_mail_arrives_as_we_compose_it(notifier: Setup) -> None:
    await notifier.deliver(notifier.message(html="<b>482913</b>"))
    [mail] = notifier.theirs.mails
    assert mail["Subject"] == "Ihr Code für Tee"
    assert mail["From"] == "Tee & Co <no-reply@tea.test>"
    assert mail["Message-ID"] == "<ntf_1@tea.test>"
    assert "482913 ✓" in mail.get_body(("plain",)).get_content()
    assert "<b>" in mail.get_body(("html",)).get_content()
    [body] = notifier.theirs.bodies
    assert body["ConfigurationSetName"] == "stampgate"


@ses
async def test_a_session_token_is_sent_and_signed(notifier: Setup) -> None:
    section = {**notifier.theirs.config(), "session_token": "FwoGZXIvYXdzE"}
    assert isinstance(await notifier.with_section(section).deliver(), Sent)


@ses
@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (400, "AccountSuspendedException", Deferred),
        (400, "SendingPausedException", Deferred),
        (400, "LimitExceededException", Deferred),
        (400, "MailFromDomainNotVerifiedException", Deferred),
        (429, "TooManyRequestsException", Deferred),
        (400, "MessageRejected", Refused),
        (400, "BadRequestException", Refused),
        (404, "NotFoundException", Deferred),
    ],
)
async def test_a_no_of_ses_is_ours_or_the_messages(
    notifier: Setup, status: int, code: str, kind: type[object]
) -> None:
    said = problem(status, code)
    notifier.theirs.faults[notifier.theirs.path] = [Fault(status, b"{}", said.headers)]
    outcome = await notifier.deliver()
    assert type(outcome) is kind
    assert not isinstance(outcome, Sent)
    assert code in outcome.reason


@ses
async def test_the_code_may_stand_in_the_body(notifier: Setup) -> None:
    body = b'{"__type": "com.amazonaws.ses#SendingPausedException", "message": "no"}'
    notifier.theirs.faults[notifier.theirs.path] = [Fault(400, body)]
    assert isinstance(await notifier.deliver(), Deferred)


@pytest.mark.parametrize("notifier", ["ses", "sendgrid"], indirect=True)
@pytest.mark.parametrize("address", ["nobody", "a@b.de\r\nBcc: eve@example.test", ""])
async def test_what_is_no_mail_address_is_not_asked_about(notifier: Setup, address: str) -> None:
    outcome = await notifier.deliver(notifier.message(address=address))
    assert isinstance(outcome, Refused)
    assert outcome.about == "address"
    assert notifier.theirs.asked == []
    assert notifier.begun == []


@sendgrid
async def test_the_mail_arrives_at_sendgrid(notifier: Setup) -> None:
    await notifier.deliver(notifier.message(html="<b>482913</b>"))
    [body] = notifier.theirs.bodies
    assert body["from"] == {"email": "no-reply@tea.test", "name": "Tee & Co"}
    assert [part["type"] for part in body["content"]] == ["text/plain", "text/html"]
    assert body["tracking_settings"]["click_tracking"]["enable"] is False


@sendgrid
async def test_the_sandbox_takes_it_and_sends_nothing(notifier: Setup) -> None:
    sandbox = notifier.with_section({**notifier.theirs.config(), "sandbox": True})
    assert isinstance(await sandbox.deliver(), Sent)
    assert notifier.theirs.taken == []


@sendgrid
async def test_an_address_that_sendgrid_does_not_take_is_none(notifier: Setup) -> None:
    body = b'{"errors": [{"message": "x", "field": "personalizations.0.to.0.email"}]}'
    notifier.theirs.faults[notifier.theirs.path] = [Fault(400, body)]
    outcome = await notifier.deliver()
    assert isinstance(outcome, Refused)
    assert outcome.about == "address"
