"""What our side asks of each kind of provider. One small protocol a kind; a provider is one file.

Providers are plain classes: they get their configuration when they are made, reach the network only
through the `send` that they are given, and end every call with one of the outcomes below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol, TypeAlias

import msgspec

from core.http import Send
from core.templates import Channel, Value


class Sent(msgspec.Struct, frozen=True):
    """The provider has it, under a `reference` of its own if it gave one."""

    reference: str = ""


class Refused(msgspec.Struct, frozen=True):
    """The provider will never take it; it was not sent."""

    reason: str


class Deferred(msgspec.Struct, frozen=True):
    """It was certainly not sent, and may be tried again, not before `retry_after_s`."""

    reason: str
    retry_after_s: float = 0.0


class Unknown(msgspec.Struct, frozen=True):
    """It may or may not have been sent, so it is not sent again without a look."""

    reason: str


Outcome: TypeAlias = Sent | Refused | Deferred | Unknown

Begin = Callable[[], Awaitable[None]]


class Message(msgspec.Struct, frozen=True, kw_only=True):
    """One message, filled in. `id` is ours and the same at each attempt: a provider that takes an
    idempotency key is given it. `sender` is the name that the recipient sees. `template` and
    `variables` are for providers that fill in texts of their own.
    """

    id: str
    channel: Channel
    address: str
    sender: str
    subject: str
    text: str
    html: str
    template: str
    language: str
    variables: Mapping[str, Value]
    created_at_ms: int


class NotificationChannel(Protocol):
    """A way to reach people: by mail, by SMS."""

    slug: str

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once to send `message`.

        `begin` is awaited right before the first byte that can make it arrive. A process that dies
        after that leaves the outcome unknown; one that dies before has sent nothing. What `begin`
        raises passes through, and nothing is sent. A channel for which sending twice does no harm
        need not call it.
        """
