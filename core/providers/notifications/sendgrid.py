"""Mail through SendGrid, API version 3.

It has no idempotency key; our id is a custom argument, which its events carry. Clicks and openings
are not tracked: a link in a mail of ours may let somebody in.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from core import mail
from core.errors import BadAddress
from core.http import HttpResponse, Send
from core.mail import Mailbox
from core.providers.notifications import wire
from core.providers.notifications.wire import Around, Base, Given
from core.providers.protocols import Begin, Outcome, Refused, Sent
from core.templates import Channel, Message

SLUG: Final = "sendgrid"
PATH: Final = "/v3/mail/send"
ARGUMENT: Final = "notification_id"


class Config(wire.Config, frozen=True, kw_only=True):
    """`sandbox` has SendGrid check all and send nothing; `webhook_key` is the public key with which
    its reports are verified, as its settings show it.
    """

    api_key: Given
    sandbox: bool = False
    webhook_key: str = ""
    base_url: Base = "https://api.sendgrid.com"


class _Error(msgspec.Struct, frozen=True):
    field: str | None = None


class _Problem(msgspec.Struct, frozen=True):
    errors: list[_Error] = []


class Sendgrid:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("email",)

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around

    def takes(self, message: Message) -> bool:
        """Any mail."""
        return message.channel == "email"

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        try:
            recipient = mail.mailbox(message.address)
        except BadAddress as error:
            return Refused(str(error), "address")
        config = self._config
        request = wire.json_request(
            config.base_url + PATH,
            self._body(message, recipient),
            purpose=SLUG,
            headers={"Authorization": f"Bearer {config.api_key}"},
            timeout_s=config.timeout_s,
        )
        answer = await wire.ask(send, request, begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    def _body(self, message: Message, recipient: Mailbox) -> dict[str, Any]:
        sender = self._around.sender
        content = [{"type": "text/plain", "value": message.text}]
        if message.html:
            content.append({"type": "text/html", "value": message.html})
        body: dict[str, Any] = {
            "personalizations": [{"to": [{"email": recipient.address}]}],
            "from": {"email": sender.address, "name": message.sender or sender.name},
            "subject": message.subject,
            "content": content,
            "headers": {"Auto-Submitted": "auto-generated", **mail.unsubscribe_headers(message)},
            "custom_args": {ARGUMENT: message.id},
            "tracking_settings": {
                "click_tracking": {"enable": False, "enable_text": False},
                "open_tracking": {"enable": False},
            },
        }
        if self._config.sandbox:
            body["mail_settings"] = {"sandbox_mode": {"enable": True}}
        return body

    def _judged(self, response: HttpResponse) -> Outcome:
        # 200 is the sandbox's yes.
        if response.status == 202 or (response.status == 200 and self._config.sandbox):
            return Sent(response.headers.get("x-message-id", ""))
        problem = wire.read(response, _Problem)
        fields = [error.field or "" for error in problem.errors] if problem else []
        code = next(iter(fields), "")
        outcome = wire.verdict(SLUG, response, self._around.now_s(), code)
        if isinstance(outcome, Refused) and code.startswith("personalizations.0.to"):
            return Refused(outcome.reason, "address")
        return outcome
