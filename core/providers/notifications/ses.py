"""Mail through Amazon SES, API version 2.

One signed call, so it goes through the `Send` that all providers share, with its guard, its
deadline and its proof of what was sent; aioboto3 (which the storage uses) would bring a client, a
pool and retries of its own, and its retries would send a mail twice whose first answer was lost.

The mail goes out as we compose it (`core/mail.py`). SES has no idempotency key; our id is a tag of
the message, which its events carry.
"""

from __future__ import annotations

import base64
from typing import Annotated, Any, Final

import msgspec
from msgspec import Meta

from core import mail
from core.errors import BadAddress
from core.http import HttpResponse, Send
from core.providers.notifications import sigv4, wire
from core.providers.notifications.wire import Around, Base, Given
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent, Unknown
from core.templates import Channel, Message

SLUG: Final = "ses"
PATH: Final = "/v2/email/outbound-emails"
TAG: Final = "notification"
# What is about the account, and no fault of the message.
_OURS: Final = frozenset(
    {
        "AccountSuspendedException",
        "LimitExceededException",
        "MailFromDomainNotVerifiedException",
        "SendingPausedException",
    }
)


class Config(wire.Config, frozen=True, kw_only=True):
    """An IAM user that may `ses:SendRawEmail`. `configuration_set` names where events go, and
    `topic_arn` the topic of SNS by which they come to us; `sns_hosts` are for tests.
    """

    region: Annotated[str, Meta(pattern=r"^[a-z0-9-]{1,32}$(?!\n)")]
    access_key_id: Given
    secret_access_key: Given
    session_token: str = ""
    configuration_set: str = ""
    topic_arn: str = ""
    sns_hosts: tuple[str, ...] = ()
    base_url: Base | None = None


class _Answer(msgspec.Struct, frozen=True):
    id: Annotated[str, Meta(min_length=1, max_length=256)] = msgspec.field(name="MessageId")


class _Problem(msgspec.Struct, frozen=True):
    type: str = msgspec.field(name="__type", default="")


class Ses:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("email",)

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around
        base = config.base_url or f"https://email.{config.region}.amazonaws.com"
        self._url = base + PATH
        self._key = sigv4.Key(
            config.access_key_id,
            config.secret_access_key,
            config.region,
            "ses",
            config.session_token,
        )

    def takes(self, message: Message) -> bool:
        """Any mail."""
        return message.channel == "email"

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        try:
            body = self._body(message)
        except BadAddress as error:
            return Refused(str(error), "address")
        request = wire.json_request(
            self._url, body, purpose=SLUG, headers={}, timeout_s=self._config.timeout_s
        )
        answer = await wire.ask(send, sigv4.signed(request, self._key, self._around.now_s()), begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    def _body(self, message: Message) -> dict[str, Any]:
        recipient = mail.mailbox(message.address)
        text = mail.compose(message, self._around.sender, recipient)
        body = {
            "Destination": {"ToAddresses": [recipient.address]},
            "Content": {"Raw": {"Data": base64.b64encode(text).decode()}},
            "EmailTags": [{"Name": TAG, "Value": message.id}],
        }
        if self._config.configuration_set:
            body["ConfigurationSetName"] = self._config.configuration_set
        return body

    def _judged(self, response: HttpResponse) -> Outcome:
        if response.status == 200:
            sent = wire.read(response, _Answer)
            return Unknown(f"{SLUG} answered 200 without an id") if sent is None else Sent(sent.id)
        code = _code(response)
        if code in _OURS:
            return Deferred(f"{SLUG} answered {code}")
        return wire.verdict(SLUG, response, self._around.now_s(), code)


def _code(response: HttpResponse) -> str:
    """The name of the error, from header or body, without its address parts."""
    problem = wire.read(response, _Problem)
    text = response.headers.get("x-amzn-errortype", "") or (problem.type if problem else "")
    return text.split(":", 1)[0].rsplit("#", 1)[-1]
