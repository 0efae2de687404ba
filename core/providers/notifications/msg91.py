"""SMS through MSG91 (India), its flow API.

India's operators deliver only texts that are registered with them (DLT), so each template needs one
of MSG91's, and what is sent is that text. MSG91 has no idempotency key, and answers 200 also when
it says no: what counts is `type`. Its words for why are free text, so nothing follows from them.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from core.http import HttpResponse, Send
from core.providers.notifications import wire
from core.providers.notifications.wire import Around, Base, Given, TemplateName
from core.providers.protocols import Begin, Deferred, Outcome, Sent, Unknown
from core.templates import Channel, Message

SLUG: Final = "msg91"
PATH: Final = "/api/v5/flow/"


class Flow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A registered text. `variables` are our names for those that MSG91 calls by other names."""

    template_id: Given
    variables: dict[str, str] = {}


class Config(wire.Config, frozen=True, kw_only=True):
    """`sender` is the registered header; `webhook_secret` stands in the path of its reports, which
    are not signed.
    """

    authkey: Given
    flows: Annotated[dict[TemplateName, Flow], Meta(min_length=1)]
    sender: str = ""
    webhook_secret: str = ""
    base_url: Base = "https://control.msg91.com"


class _Answer(msgspec.Struct, frozen=True):
    type: Literal["success", "error"]
    message: str = ""


class Msg91:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("sms",)

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around

    def takes(self, message: Message) -> bool:
        """What there is a registered text for."""
        if message.channel != "sms":
            return False
        return wire.template_of(self._config.flows, message) is not None

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        config = self._config
        flow = wire.template_of(config.flows, message)
        assert flow is not None
        values = {
            flow.variables.get(name, name): str(value) for name, value in message.variables.items()
        }
        body = {
            "template_id": flow.template_id,
            "short_url": "0",
            "recipients": [{**values, "mobiles": message.address.removeprefix("+")}],
            **({"sender": config.sender} if config.sender else {}),
        }
        request = wire.json_request(
            config.base_url + PATH,
            body,
            purpose=SLUG,
            headers={"authkey": config.authkey},
            timeout_s=config.timeout_s,
        )
        answer = await wire.ask(send, request, begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    def _judged(self, response: HttpResponse) -> Outcome:
        if response.status != 200:
            return wire.verdict(SLUG, response, self._around.now_s())
        answer = wire.read(response, _Answer)
        if answer is None:
            return Unknown(f"{SLUG} answered 200 without a word that is known")
        if answer.type == "error":
            return Deferred(f"{SLUG} answered 200 with an error")
        return Sent(wire.quoted(answer.message))
