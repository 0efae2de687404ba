"""Pushes to Android and other apps through Firebase Cloud Messaging, HTTP v1.

Our service account signs a statement, gets a token for it (RFC 7523), and uses that for an hour. A
message that arrives twice is shown once: tag and collapse key are our id.
"""

from __future__ import annotations

from typing import Annotated, Any, Final

import jwt
import msgspec
from msgspec import Meta

from core import pushing
from core.http import HttpRequest, HttpResponse, OutboundError, Send
from core.providers.notifications import wire
from core.providers.notifications.wire import Around, Base, Given, Pem, Url
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent, Unknown
from core.templates import Channel, Message

SLUG: Final = "fcm"
SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_TTL_S: Final = 3600
# A token is not used in its last minutes: the request takes time, and clocks differ.
MARGIN_S: Final = 300
#: FCM asks for a minute at least before a quota is tried again.
QUOTA_S: Final = 60.0
_GONE: Final = "UNREGISTERED"
_NOT_OURS: Final = "SENDER_ID_MISMATCH"


class Config(wire.Config, frozen=True, kw_only=True):
    """The fields of the service account's JSON file, under their names there."""

    project_id: Given
    client_email: Given
    private_key: Pem
    private_key_id: Given
    token_uri: Url = "https://oauth2.googleapis.com/token"  # noqa: S105 - an address
    base_url: Base = "https://fcm.googleapis.com"


class _Token(msgspec.Struct, frozen=True):
    access_token: Annotated[str, Meta(min_length=1, max_length=8192, pattern=r"^[!-~]+$(?!\n)")]
    expires_in: Annotated[int, Meta(ge=0)] = ASSERTION_TTL_S


class _Answer(msgspec.Struct, frozen=True):
    name: Annotated[str, Meta(min_length=1, max_length=512)]


class _Detail(msgspec.Struct, frozen=True):
    code: str = msgspec.field(name="errorCode", default="")


class _Error(msgspec.Struct, frozen=True):
    status: str = ""
    details: list[_Detail] = []


class _Problem(msgspec.Struct, frozen=True):
    error: _Error = _Error()

    @property
    def code(self) -> str:
        """FCM's own word, or that of all of Google's services."""
        return next((one.code for one in self.error.details if one.code), self.error.status)


class Fcm:
    """See the module."""

    slug: Final = SLUG
    channels: Final[tuple[Channel, ...]] = ("push",)

    def __init__(self, config: Config, around: Around) -> None:
        self._config = config
        self._around = around
        self._url = f"{config.base_url}/v1/projects/{config.project_id}/messages:send"
        self._token = ""
        self._good_until_s = 0

    def takes(self, message: Message) -> bool:
        """What goes to a token of Firebase's."""
        return message.channel == "push" and pushing.kind(message.address) == SLUG

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once; see `NotificationChannel`."""
        if self._around.now_s() >= self._good_until_s:
            failure = await self._fetch_token(send)
            if failure is not None:
                return failure
        config = self._config
        request = wire.json_request(
            self._url,
            {"message": _body(message)},
            purpose=SLUG,
            headers={"Authorization": f"Bearer {self._token}"},
            timeout_s=config.timeout_s,
        )
        answer = await wire.ask(send, request, begin)
        return self._judged(answer) if isinstance(answer, HttpResponse) else answer

    async def _fetch_token(self, send: Send) -> Deferred | None:
        """Get a token; without one nothing was sent, whatever the reason."""
        now_s = self._around.now_s()
        try:
            response = await send(self._token_request(now_s))
        except OutboundError as error:
            return Deferred(f"{SLUG} gave no token: {error}")
        token = wire.read(response, _Token) if response.status == 200 else None
        if token is None:
            wait_s = wire.retry_after_s(response, now_s)
            return Deferred(f"{SLUG} gave no token: {response.status}", wait_s)
        self._token = token.access_token
        self._good_until_s = now_s + token.expires_in - MARGIN_S
        return None

    def _token_request(self, now_s: int) -> HttpRequest:
        config = self._config
        claims = {
            "iss": config.client_email,
            "scope": SCOPE,
            "aud": config.token_uri,
            "iat": now_s,
            "exp": now_s + ASSERTION_TTL_S,
        }
        headers = {"kid": config.private_key_id}
        assertion = jwt.encode(claims, config.private_key, algorithm="RS256", headers=headers)
        return wire.form_request(
            config.token_uri,
            {"grant_type": GRANT, "assertion": assertion},
            purpose=SLUG,
            headers={},
            timeout_s=config.timeout_s,
        )

    def _judged(self, response: HttpResponse) -> Outcome:
        if response.status == 200:
            answer = wire.read(response, _Answer)
            if answer is None:
                return Unknown(f"{SLUG} answered 200 without a name")
            return Sent(answer.name)
        if response.status == 401:
            # Revoked before its time, perhaps: the next attempt gets another.
            self._good_until_s = 0
        problem = wire.read(response, _Problem)
        code = problem.code if problem else ""
        if (response.status, code) in {(404, _GONE), (403, _NOT_OURS)}:
            return Refused(wire.reason(SLUG, response, code), "address")
        outcome = wire.verdict(SLUG, response, self._around.now_s(), code)
        if response.status == 429 and isinstance(outcome, Deferred):
            return Deferred(outcome.reason, max(outcome.retry_after_s, QUOTA_S))
        return outcome


def _body(message: Message) -> dict[str, Any]:
    return {
        "token": pushing.token(message.address),
        "notification": {"title": message.subject, "body": message.text},
        "data": {"notification_id": message.id, "template": message.template},
        "android": {"collapse_key": message.id, "notification": {"tag": message.id}},
        "apns": {"headers": {"apns-collapse-id": message.id}},
    }
