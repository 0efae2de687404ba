"""`/webhooks`: providers report what became of messages, and who wants none.

Whoever is signed is checked over the bytes as they came, before anything is read in them. A report
that was not signed changes nothing; one that comes twice changes nothing more. A provider that gets
no 2xx tries again, so what cannot be stored now is answered 503.
"""

from __future__ import annotations

import contextlib
import hmac
from collections.abc import Iterable, Iterator
from typing import Final, TypeVar

from aiohttp import web
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicKey

from core import errors
from core.errors import BadReply, BadSignature
from core.http import HttpRequest, OutboundError
from core.providers.notifications import kaleyra as kaleyra_sender
from core.providers.notifications import msg91 as msg91_sender
from core.providers.notifications import sendgrid as sendgrid_sender
from core.providers.notifications import ses as ses_sender
from core.providers.notifications import twilio as twilio_sender
from core.providers.notifications import wire
from core.providers.reports import kaleyra as kaleyra_reports
from core.providers.reports import msg91 as msg91_reports
from core.providers.reports import sendgrid as sendgrid_reports
from core.providers.reports import ses as ses_reports
from core.providers.reports import sns
from core.providers.reports import twilio as twilio_reports
from core.providers.reports.report import Report
from core.providers.reports.sns import Envelope
from db import reports
from gateway.app import Call, read
from web.routing import Handler, Route

C = TypeVar("C", bound=wire.Config)

#: SendGrid sends events by the 768 KiB.
BODY_LIMIT: Final = 1 << 20
KEYS_MAX: Final = 16
FORM: Final = "application/x-www-form-urlencoded"


async def sendgrid(call: Call) -> web.Response:
    """Take SendGrid's events."""
    config = _config(call, sendgrid_sender.SLUG, sendgrid_sender.Config)
    body = await read(call)
    with _heard():
        found = sendgrid_reports.parse(config, call.request.headers, body)
    return await _taken(call, sendgrid_sender.SLUG, found)


async def ses(call: Call) -> web.Response:
    """Take what SES reports through SNS, and confirm that our topic reports to us."""
    config = _config(call, ses_sender.SLUG, ses_sender.Config)
    found = None
    with _heard():
        envelope = sns.read(await read(call))
        sns.check_origin(envelope, config.topic_arn, config.sns_hosts)
        sns.verify(envelope, await _key(call, envelope.signing_cert_url))
        if envelope.type == "Notification":
            found = ses_reports.parse(envelope.message)
        elif envelope.type == "SubscriptionConfirmation":
            await _confirm(call, envelope, config.sns_hosts)
    return await _taken(call, ses_sender.SLUG, [] if found is None else [found])


async def twilio(call: Call) -> web.Response:
    """Take Twilio's status of a message."""
    found = twilio_reports.status(await _signed_by_twilio(call), call.query)
    return await _taken(call, twilio_sender.SLUG, [] if found is None else [found])


async def twilio_inbound(call: Call) -> web.Response:
    """Take what somebody wrote to our number: STOP and START count, in all programs."""
    app, wish = call.app, twilio_reports.inbound(await _signed_by_twilio(call))
    if wish is not None:
        async with app.transaction() as db:
            await reports.wish(
                db,
                app.ring,
                wish.channel,
                wish.number,
                is_stop=wish.is_stop,
                at_ms=app.now_ms(),
            )
    return web.Response(status=204)


async def msg91(call: Call) -> web.Response:
    """Take MSG91's reports, which are hints: only the secret of the path speaks for them."""
    config = _config(call, msg91_sender.SLUG, msg91_sender.Config)
    _check_secret(call, config.webhook_secret)
    body = await read(call)
    with _heard():
        found = msg91_reports.parse(body, is_form=_is_form(call))
    return await _taken(call, msg91_sender.SLUG, found)


async def kaleyra(call: Call) -> web.Response:
    """Take Kaleyra's reports, which are hints: only the secret of the path speaks for them."""
    config = _config(call, kaleyra_sender.SLUG, kaleyra_sender.Config)
    _check_secret(call, config.webhook_secret)
    body = await read(call)
    with _heard():
        found = kaleyra_reports.parse(body, call.query, is_form=_is_form(call))
    return await _taken(call, kaleyra_sender.SLUG, [] if found is None else [found])


def _config(call: Call, slug: str, kind: type[C]) -> C:
    """How the provider is set up; ProviderNotFound."""
    config = call.app.notifiers.get(slug)
    if not isinstance(config, kind):
        raise errors.ProviderNotFound
    return config


async def _taken(call: Call, provider: str, found: Iterable[Report]) -> web.Response:
    app = call.app
    async with app.transaction() as db:
        await reports.apply(db, app.ring, provider, found)
    return web.Response(status=204)


async def _signed_by_twilio(call: Call) -> twilio_reports.Pairs:
    config = _config(call, twilio_sender.SLUG, twilio_sender.Config)
    if not config.signing_token:
        raise errors.ProviderNotFound
    # As Twilio was told it, and not as the Host header has it.
    url = call.app.settings.public_gateway_url + call.request.raw_path
    body = await read(call)
    with _heard():
        return twilio_reports.verify(
            config.signing_token,
            url,
            body,
            is_form=_is_form(call),
            signature=call.request.headers.get(twilio_reports.SIGNATURE_HEADER, ""),
        )


async def _key(call: Call, url: str) -> RSAPublicKey:
    """The key of the certificate at an address that was checked; ProviderUnavailable."""
    known = call.app.sns_keys
    if url not in known:
        request = HttpRequest(method="GET", url=url, purpose="sns")
        try:
            response = await call.app.outbound.send(request)
        except OutboundError as error:
            raise errors.ProviderUnavailable from error
        if response.status != 200:
            raise errors.ProviderUnavailable
        try:
            key = sns.key_of(response.body)
        except BadReply:
            # What stands there for a while must not be taken for Amazon's for good.
            raise errors.ProviderUnavailable from None
        if len(known) >= KEYS_MAX:
            known.clear()
        known[url] = key
    return known[url]


async def _confirm(call: Call, envelope: Envelope, hosts: tuple[str, ...]) -> None:
    """Subscribe, at the address that Amazon signed; BadSignature, ProviderUnavailable."""
    url = envelope.subscribe_url or ""
    if not sns.is_amazons(url, hosts):
        raise BadSignature("the subscription is not confirmed with Amazon")
    request = HttpRequest(method="GET", url=url, purpose="sns")
    try:
        response = await call.app.outbound.send(request)
    except OutboundError as error:
        raise errors.ProviderUnavailable from error
    if response.status != 200:
        raise errors.ProviderUnavailable


def _check_secret(call: Call, secret: str) -> None:
    """ProviderNotFound when none is set up, ReportForged when the path has another."""
    if not secret:
        raise errors.ProviderNotFound
    if not hmac.compare_digest(secret.encode(), call.params["secret"].encode()):
        raise errors.ReportForged


def _is_form(call: Call) -> bool:
    return call.request.content_type == FORM


@contextlib.contextmanager
def _heard() -> Iterator[None]:
    """What is wrong with a report, as an answer: ReportForged, InvalidRequest."""
    try:
        yield
    except BadSignature:
        raise errors.ReportForged from None
    except BadReply as error:
        raise errors.InvalidRequest(f"No report: {error}.") from None


def _route(path: str, handler: Handler, name: str, summary: str) -> Route:
    return Route(
        method="POST",
        path=path,
        handler=handler,
        name=name,
        summary=summary,
        status=204,
        errors=(
            errors.ProviderNotFound,
            errors.ReportForged,
            errors.InvalidRequest,
            errors.BodyTooLarge,
            errors.ProviderUnavailable,
            errors.Unavailable,
            errors.OutcomeUnknown,
        ),
        body_limit=BODY_LIMIT,
        # Providers come from few addresses, with as many reports as there are messages.
        is_limited=False,
        repeats="What was reported before changes nothing more.",
    )


ROUTES: tuple[Route, ...] = (
    _route("/webhooks/sendgrid", sendgrid, "report_sendgrid", "SendGrid reports on mails"),
    _route("/webhooks/ses", ses, "report_ses", "SES reports on mails, through SNS"),
    _route("/webhooks/twilio", twilio, "report_twilio", "Twilio reports on a message"),
    _route(
        "/webhooks/twilio/inbound",
        twilio_inbound,
        "receive_twilio",
        "Twilio hands on what somebody wrote",
    ),
    _route("/webhooks/msg91/{secret}", msg91, "report_msg91", "MSG91 reports on messages"),
    _route("/webhooks/kaleyra/{secret}", kaleyra, "report_kaleyra", "Kaleyra reports on a message"),
)
