"""Pushes to browsers: RFC 8030, encrypted as RFC 8291 has it, signed as RFC 8292 (VAPID) has it.

Where a push goes comes from the browser, so only the hosts of known push services are asked.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Annotated, Final
from urllib.parse import urlsplit

import jwt
import msgspec
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from msgspec import Meta

from core import aes128gcm, pushing
from core.errors import BadSubscription
from core.http import HttpRequest, HttpResponse, Send
from core.providers.notifications import wire
from core.providers.notifications.wire import Around, Pem
from core.providers.protocols import Begin, Outcome, Refused, Sent
from core.templates import Channel, Message

SLUG: Final = "webpush"
#: How long a push service keeps it for a browser that is off.
KEPT_S: Final = 86_400
# RFC 8292 §2: no more than a day.
TOKEN_TTL_S: Final = 12 * 3600


class Config(wire.Config, frozen=True, kw_only=True):
    """The key pair (P-256, PEM) and how push services reach its owner: `mailto:` or `https:`."""

    private_key: Pem
    subject: Annotated[str, Meta(pattern=r"^(mailto:[^@\s]+@[^@\s]+|https://\S+)$(?!\n)")]
    hosts: tuple[str, ...] = pushing.HOSTS

    def __post_init__(self) -> None:
        _key(self)  # A key that is none stops the start.


class Webpush:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("push",)

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around
        self._key = _key(config)
        self._public_key = public_key(config)

    def takes(self, message: Message) -> bool:
        """What goes to a browser."""
        return message.channel == "push" and pushing.kind(message.address) == SLUG

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        try:
            browser = pushing.browser(message.address, self._config.hosts)
            sealed = self._sealed(message, browser)
        except BadSubscription as error:
            return Refused(str(error), "address")
        if len(sealed) > aes128gcm.BYTES_MAX:
            return Refused(f"{SLUG} takes {aes128gcm.BYTES_MAX} bytes at the most")
        request = HttpRequest(
            method="POST",
            url=browser.endpoint,
            purpose=SLUG,
            headers={
                "Authorization": self._authorization(browser.endpoint),
                "Content-Encoding": "aes128gcm",
                "Content-Type": "application/octet-stream",
                "TTL": str(KEPT_S),
                "Topic": topic(message.id),
                "Urgency": "high",
            },
            body=sealed,
            timeout_s=self._config.timeout_s,
        )
        answer = await wire.ask(send, request, begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    def _sealed(self, message: Message, browser: pushing.Browser) -> bytes:
        said = {"title": message.subject, "body": message.text, "tag": message.id}
        entropy = self._around.entropy
        return aes128gcm.encrypt(
            msgspec.json.encode(said),
            browser.keys,
            salt=entropy(aes128gcm.SALT_BYTES),
            sender=aes128gcm.private_key(entropy(aes128gcm.SCALAR_BYTES)),
        )

    def _authorization(self, endpoint: str) -> str:
        parts = urlsplit(endpoint)
        claims = {
            "aud": f"{parts.scheme}://{parts.netloc}",
            "exp": self._around.now_s() + TOKEN_TTL_S,
            "sub": self._config.subject,
        }
        return f"vapid t={jwt.encode(claims, self._key, algorithm='ES256')},k={self._public_key}"

    def _judged(self, response: HttpResponse) -> Outcome:
        if response.status in {200, 201, 202}:
            return Sent(response.headers.get("location", "")[-200:])
        if response.status in {404, 410}:
            return Refused(wire.reason(SLUG, response), "address")
        return wire.verdict(SLUG, response, self._around.now_s())


def public_key(config: Config) -> str:
    """What browsers subscribe with; ValueError when there is no key on the curve."""
    return base64url(aes128gcm.point(_key(config).public_key()))


def _key(config: Config) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(config.private_key.encode(), None)
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.curve.name != "secp256r1":
        raise ValueError("private_key: Expected a key on the curve P-256")
    return key


def topic(notification_id: str) -> str:
    """Of two pushes with one topic the browser gets the last (RFC 8030 §5.4); 32 characters."""
    return base64url(hashlib.sha256(notification_id.encode()).digest()[:24])


def base64url(value: bytes) -> str:
    """Without padding, as RFC 7515 has it."""
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
