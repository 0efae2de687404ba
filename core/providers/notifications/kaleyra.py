"""SMS and WhatsApp through Kaleyra.

What is known of its answers is what others wrote down, so everything but a plain yes with an id
counts as no yes. It has no idempotency key; it reports to the address that we give with a message,
which carries our id and, as the reports are not signed, a secret.
"""

from __future__ import annotations

from typing import Annotated, Any, Final, Literal
from urllib.parse import quote

import msgspec
from msgspec import Meta

from core.http import HttpResponse, Send
from core.providers.notifications import wire
from core.providers.notifications.wire import Around, Base, Given, TemplateName
from core.providers.protocols import Begin, Deferred, Outcome, Sent, Unknown
from core.templates import KINDS, Channel, Message

SLUG: Final = "kaleyra"
PARAMETER: Final = "notification"


class Config(wire.Config, frozen=True, kw_only=True):
    """`version` v1 speaks forms, v2 JSON. `template_ids` are those registered with India's
    operators (DLT); `webhook_secret` stands in the path of reports.
    """

    sid: Given
    api_key: Given
    sms_from: str = ""
    whatsapp_from: str = ""
    version: Literal["v1", "v2"] = "v1"
    template_ids: dict[TemplateName, str] = msgspec.field(default_factory=dict)
    webhook_secret: str = ""
    base_url: Base = "https://api.kaleyra.io"


class _Answer(msgspec.Struct, frozen=True):
    id: Annotated[str, Meta(max_length=256)] = ""
    error: Any = None


class Kaleyra:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("sms", "whatsapp")

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around
        self._url = f"{config.base_url}/{config.version}/{config.sid}/messages"

    def takes(self, message: Message) -> bool:
        """What there is a sender for."""
        return bool(self._sender(message))

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        make = wire.json_request if self._config.version == "v2" else wire.form_request
        request = make(
            self._url,
            self._values(message),
            purpose=SLUG,
            headers={"api-key": self._config.api_key},
            timeout_s=self._config.timeout_s,
        )
        answer = await wire.ask(send, request, begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    def _sender(self, message: Message) -> str:
        senders = {"sms": self._config.sms_from, "whatsapp": self._config.whatsapp_from}
        return senders.get(message.channel, "")

    def _values(self, message: Message) -> dict[str, str]:
        config, base = self._config, self._around.webhooks_url
        values = {
            "to": message.address,
            "sender": self._sender(message),
            "body": message.text,
            "channel": message.channel,
            "type": "OTP" if KINDS[message.template].secret else "TXN",
        }
        if template_id := wire.template_of(config.template_ids, message):
            values["template_id"] = template_id
        if base and config.webhook_secret:
            secret = quote(config.webhook_secret, safe="")
            values["callback_url"] = f"{base}/kaleyra/{secret}?{PARAMETER}={quote(message.id)}"
        return values

    def _judged(self, response: HttpResponse) -> Outcome:
        if response.status not in {200, 201, 202}:
            return wire.verdict(SLUG, response, self._around.now_s())
        answer = wire.read(response, _Answer)
        if answer is not None and answer.error:
            return Deferred(f"{SLUG} answered {response.status} with an error")
        if answer is None or not answer.id:
            return Unknown(f"{SLUG} answered {response.status} without an id")
        return Sent(answer.id)
