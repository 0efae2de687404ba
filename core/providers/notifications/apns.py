"""Pushes to Apple's devices through APNs: HTTP/2, with a token that we sign (ES256).

A message that arrives twice is shown once: the collapse id is our id. The token is signed anew
every half hour; Apple refuses one older than an hour, and whoever signs more often than every 20
minutes.
"""

from __future__ import annotations

import uuid
from typing import Annotated, Any, Final

import jwt
import msgspec
from msgspec import Meta

from core import pushing
from core.http import HttpResponse, Send
from core.providers.notifications import wire
from core.providers.notifications.wire import Around, Base, Given, Pem
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent
from core.templates import Channel, Message

SLUG: Final = "apns"
TOKEN_TTL_S: Final = 1800
PAYLOAD_BYTES_MAX: Final = 4096
#: How long Apple keeps it for a device that is off.
KEPT_S: Final = 86_400
# Of any kind, so that our ids have a place among its ids.
_NAMESPACE: Final = uuid.UUID("5f0b7b5c-6f0e-4d0b-9a53-2d3f5a2d9c11")
_GONE: Final = frozenset({"Unregistered", "BadDeviceToken", "DeviceTokenNotForTopic"})
_OURS: Final = frozenset(
    {"BadTopic", "MissingTopic", "TopicDisallowed", "BadCertificate", "BadPath"}
)


class Config(wire.Config, frozen=True, kw_only=True):
    """The key (.p8) and who it belongs to; `topic` is the app's bundle id."""

    team_id: Given
    key_id: Given
    private_key: Pem
    topic: Given
    base_url: Base = "https://api.push.apple.com"


class _Problem(msgspec.Struct, frozen=True):
    reason: Annotated[str, Meta(max_length=256)] = ""


class Apns:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("push",)

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around
        self._token = ""
        self._signed_at_s = 0

    def takes(self, message: Message) -> bool:
        """What goes to a device token of Apple's."""
        return message.channel == "push" and pushing.kind(message.address) == SLUG

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        config, now_s = self._config, self._around.now_s()
        request = wire.json_request(
            f"{config.base_url}/3/device/{pushing.token(message.address)}",
            _payload(message),
            purpose=SLUG,
            headers={
                "authorization": f"bearer {self._provider_token(now_s)}",
                "apns-topic": config.topic,
                "apns-push-type": "alert",
                "apns-priority": "10",
                "apns-expiration": str(now_s + KEPT_S),
                "apns-id": str(uuid.uuid5(_NAMESPACE, message.id)),
                "apns-collapse-id": message.id,
            },
            timeout_s=config.timeout_s,
        )
        if len(request.body) > PAYLOAD_BYTES_MAX:
            return Refused(f"{SLUG} takes {PAYLOAD_BYTES_MAX} bytes at the most")
        http2 = msgspec.structs.replace(request, is_http2=True)
        answer = await wire.ask(send, http2, begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    def _provider_token(self, now_s: int) -> str:
        if not self._token or now_s - self._signed_at_s >= TOKEN_TTL_S:
            config = self._config
            self._token = jwt.encode(
                {"iss": config.team_id, "iat": now_s},
                config.private_key,
                algorithm="ES256",
                headers={"kid": config.key_id},
            )
            self._signed_at_s = now_s
        return self._token

    def _judged(self, response: HttpResponse) -> Outcome:
        if response.status == 200:
            return Sent(response.headers.get("apns-id", ""))
        problem = wire.read(response, _Problem)
        code = problem.reason if problem else ""
        if code == "ExpiredProviderToken":
            self._token = ""
        reason = wire.reason(SLUG, response, code)
        if response.status == 410 or (response.status == 400 and code in _GONE):
            return Refused(reason, "address")
        if response.status == 400 and code in _OURS:
            return Deferred(reason)
        return wire.verdict(SLUG, response, self._around.now_s(), code)


def _payload(message: Message) -> dict[str, Any]:
    alert = {"title": message.subject, "body": message.text}
    return {"aps": {"alert": alert}, "notification_id": message.id}
