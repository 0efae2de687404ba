"""SMS and WhatsApp through Twilio, API of 2010-04-01.

It has no idempotency key. It reports what became of a message to the address that we give with it,
which carries our id.
"""

from __future__ import annotations

import base64
from typing import Annotated, Final
from urllib.parse import quote

import msgspec
from msgspec import Meta

from core.http import HttpResponse, Send
from core.providers.notifications import wire
from core.providers.notifications.wire import Around, Base, Given, TemplateName
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent, Unknown
from core.templates import Channel, Message

SLUG: Final = "twilio"
PARAMETER: Final = "notification"
# https://www.twilio.com/docs/api/errors: what is wrong with the number, and what with our account.
BAD_NUMBERS: Final = frozenset({21211, 21214, 21217, 21614, 30003, 30005, 30006, 63003, 63024})
OPTED_OUT: Final = 21610
OURS: Final = frozenset({20003, 20005, 21408, 21606, 21608, 21612, 63007, 63016})
QUOTA: Final = frozenset({20429, 63018})
# A channel's quota is not filled again within minutes.
QUOTA_S: Final = 900.0
_DEAD: Final = frozenset({"failed", "undelivered", "canceled"})

Sid = Annotated[str, Meta(pattern=r"^[A-Z]{2}[0-9a-f]{32}$(?!\n)")]
Number = Annotated[str, Meta(pattern=r"^\+[0-9]{5,15}$(?!\n)")]
Sender = Annotated[str, Meta(pattern=r"^(\+?[0-9]{3,15}|[A-Za-z0-9 ]{1,11})$(?!\n)")]


class Content(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A text that WhatsApp has approved; `variables` are the names of those that it numbers."""

    sid: Sid
    variables: tuple[str, ...] = ()


class Config(wire.Config, frozen=True, kw_only=True):
    """`user` is the SID of an API key; without it the account's own with its auth token. Texts to
    WhatsApp numbers that have not written within a day must be approved ones: `contents`. Reports
    are signed with the account's auth token, also where an API key sends.
    """

    account_sid: Sid
    secret: Given
    user: Given | None = None
    auth_token: Given | None = None
    sms_from: Sender | None = None
    messaging_service_sid: Sid | None = None
    whatsapp_from: Number | None = None
    contents: dict[TemplateName, Content] = msgspec.field(default_factory=dict)
    base_url: Base = "https://api.twilio.com"

    @property
    def signing_token(self) -> str:
        """With which reports are verified; empty when it is not known."""
        return self.auth_token or ("" if self.user else self.secret)


class _Answer(msgspec.Struct, frozen=True):
    sid: Sid
    status: str
    error_code: int | None = None


class _Problem(msgspec.Struct, frozen=True):
    code: int = 0


class Twilio:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("sms", "whatsapp")

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around
        both = f"{config.user or config.account_sid}:{config.secret}"
        self._authorization = f"Basic {base64.b64encode(both.encode()).decode()}"
        path = f"/2010-04-01/Accounts/{config.account_sid}/Messages.json"
        self._url = config.base_url + path

    def takes(self, message: Message) -> bool:
        """What there is a sender for."""
        config = self._config
        if message.channel == "sms":
            return bool(config.sms_from or config.messaging_service_sid)
        return message.channel == "whatsapp" and config.whatsapp_from is not None

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        request = wire.form_request(
            self._url,
            {**self._between(message), **self._said(message)},
            purpose=SLUG,
            headers={"Authorization": self._authorization},
            timeout_s=self._config.timeout_s,
        )
        answer = await wire.ask(send, request, begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    def _between(self, message: Message) -> dict[str, str]:
        """From whom to whom."""
        config = self._config
        values = {}
        if message.channel == "whatsapp":
            values["To"] = f"whatsapp:{message.address}"
            values["From"] = f"whatsapp:{config.whatsapp_from}"
        else:
            values["To"] = message.address
            if config.messaging_service_sid:
                values["MessagingServiceSid"] = config.messaging_service_sid
            else:
                values["From"] = config.sms_from or ""
        if base := self._around.webhooks_url:
            values["StatusCallback"] = callback_url(base, message.id)
        return values

    def _said(self, message: Message) -> dict[str, str]:
        content = None
        if message.channel == "whatsapp":
            content = wire.template_of(self._config.contents, message)
        if content is None:
            return {"Body": message.text}
        values = wire.ordered(message, content.variables)
        variables = msgspec.json.encode(values).decode()
        return {"ContentSid": content.sid, "ContentVariables": variables}

    def _judged(self, response: HttpResponse) -> Outcome:
        if response.status == 201:
            answer = wire.read(response, _Answer)
            if answer is None:
                return Unknown(f"{SLUG} answered 201 without an id")
            if answer.status in _DEAD:
                code = answer.error_code or 0
                return refusal(code, f"{SLUG} says {wire.quoted(answer.status)} {code}")
            return Sent(answer.sid)
        problem = wire.read(response, _Problem)
        code = problem.code if problem else 0
        outcome = wire.verdict(SLUG, response, self._around.now_s(), str(code or ""))
        if code in QUOTA and isinstance(outcome, Deferred | Refused):
            return Deferred(outcome.reason, max(wire.retry_after_s(response, 0), QUOTA_S))
        if code in OURS and isinstance(outcome, Deferred | Refused):
            return Deferred(outcome.reason)
        return refusal(code, outcome.reason) if isinstance(outcome, Refused) else outcome


def refusal(code: int, reason: str) -> Refused:
    """Why Twilio will never deliver it."""
    if code == OPTED_OUT:
        return Refused(reason, "opt_out")
    return Refused(reason, "address" if code in BAD_NUMBERS else "message")


def callback_url(webhooks_url: str, notification_id: str) -> str:
    """Where Twilio reports what became of a message."""
    return f"{webhooks_url}/twilio?{PARAMETER}={quote(notification_id)}"
