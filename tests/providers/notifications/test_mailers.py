"""SES and SendGrid: what arrives there, and whose fault a no is."""

from __future__ import annotations

import asyncio

import pytest

from core.http import HttpRequest, HttpResponse, OutboundFailed
from core.providers.protocols import Deferred, Refused, Sent
from tests.providers.notifications.conftest import Setup
from tests.providers.notifications.mailers import problem
from tests.providers.notifications.server import Fault

ses = pytest.mark.parametrize("notifier", ["ses"], indirect=True)
sendgrid = pytest.mark.parametrize("notifier", ["sendgrid"], indirect=True)


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
async def test_it_is_asked_in_its_region_whatever_the_environment_says(
    notifier: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A storage that only speaks like S3 is named to aioboto3 by the environment."""
    monkeypatch.setenv("AWS_ENDPOINT_URL", notifier.theirs.url)
    monkeypatch.setenv("HTTPS_PROXY", notifier.theirs.url)
    asked: list[HttpRequest] = []

    async def send(request: HttpRequest) -> HttpResponse:
        asked.append(request)
        raise OutboundFailed

    async def begin() -> None:
        pass

    section = {**notifier.theirs.config(), "base_url": None, "timeout_s": 7}
    ours = notifier.with_section(section).ours
    assert isinstance(await ours.deliver(send, notifier.message(), begin), Deferred)
    [request] = asked
    assert request.url == "https://email.eu-central-1.amazonaws.com/v2/email/outbound-emails"
    assert (request.method, request.timeout_s) == ("POST", 7)
    assert "User-Agent" not in request.headers


@ses
async def test_many_mails_go_through_one_client_each_with_its_own_begin(notifier: Setup) -> None:
    messages = [notifier.message(id=f"ntf_{number}") for number in range(8)]
    notifier.theirs.faults[notifier.theirs.path] = [Fault(500)]
    outcomes = await asyncio.gather(*(notifier.deliver(one) for one in messages))
    assert sum(isinstance(one, Sent) for one in outcomes) == 7
    assert sorted(notifier.begun) == [one.id for one in messages]
    assert len(notifier.theirs.taken) == 7
    assert set(notifier.theirs.taken) < set(notifier.begun)


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


@ses
@pytest.mark.parametrize(
    "body", [b"", b"[]", b"\xff", b'{"__type": 5}', b'{"code": []}', b"[" * 100_000]
)
async def test_a_no_that_cannot_be_read_is_a_no(notifier: Setup, body: bytes) -> None:
    notifier.theirs.faults[notifier.theirs.path] = [Fault(400, body)]
    assert await notifier.deliver() == Refused("ses answered 400")


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
