"""What our side asks of each kind of provider. One small protocol a kind; a provider is one file.

Providers are plain classes: they get their configuration when they are made, reach the network only
through the `send` that they are given, and end every call with one of the outcomes below.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Literal, Protocol, TypeAlias

import msgspec

from core.http import Send
from core.templates import Channel, Message


class Sent(msgspec.Struct, frozen=True):
    """The provider has it, under a `reference` of its own if it gave one."""

    reference: str = ""


#: What a refusal speaks of: this message, where it should have gone, or what its recipient wants.
About: TypeAlias = Literal["message", "address", "opt_out"]


class Refused(msgspec.Struct, frozen=True):
    """The provider will never take it; it was not sent. After `address` nothing that goes there
    arrives any more.
    """

    reason: str
    about: About = "message"


class Deferred(msgspec.Struct, frozen=True):
    """It was certainly not sent, and may be tried again, not before `retry_after_s`."""

    reason: str
    retry_after_s: float = 0.0


class Unknown(msgspec.Struct, frozen=True):
    """It may or may not have been sent, so it is not sent again without a look."""

    reason: str


Outcome: TypeAlias = Sent | Refused | Deferred | Unknown

Begin = Callable[[], Awaitable[None]]


class NotificationChannel(Protocol):
    """A way to reach people: by mail, by SMS, by WhatsApp, by push."""

    @property
    def slug(self) -> str:
        """Its name in settings, rows and metrics."""
        ...

    @property
    def channels(self) -> tuple[Channel, ...]:
        """What it can be set up for."""
        ...

    def takes(self, message: Message) -> bool:
        """Whether it can send this one: has a sender for it, and a text where it needs its own."""
        ...

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Try once to send `message`.

        `begin` is awaited right before the first byte that can make it arrive. A process that dies
        after that leaves the outcome unknown; one that dies before has sent nothing. What `begin`
        raises passes through, and nothing is sent. A channel for which sending twice does no harm
        need not call it.
        """
