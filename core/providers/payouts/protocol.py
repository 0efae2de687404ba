"""What our side asks of a provider of payouts, and what its answers prove.

A payout carries our id at every attempt: it is the provider's idempotency key, and the name under
which a payout is looked up whose answer was lost. It is asked for again only when the provider says
that it has never heard of it, and with the same id even then.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from decimal import Decimal
from email.utils import parsedate_to_datetime
from typing import Annotated, Final, NamedTuple, Protocol, TypeAlias

import msgspec
from msgspec import Meta

from core import withdrawals
from core.errors import BadSignature
from core.http import (
    HttpRequest,
    HttpResponse,
    OutboundFailed,
    OutboundRefused,
    OutboundUnknown,
    Send,
)
from core.payout_methods import Details
from core.providers.notifications import wire
from core.providers.protocols import Deferred, Unknown

REASON_MAX: Final = 150


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """Money to be paid. `reference` is what the provider calls it, once it has said so; `at_s` is
    the time of the attempt."""

    id: str
    amount_minor: int
    currency: str
    destination: Details
    reference: str | None = None
    at_s: int = 0

    def __repr__(self) -> str:
        return f"Payout({self.id!r}, …)"


class News(msgspec.Struct, frozen=True, kw_only=True):
    """What a provider says of the payout with our `id`; `utr` is the bank's reference once it is
    paid, `reason` why it failed. Amount and currency are None where they are not said."""

    id: str
    state: withdrawals.News
    reference: str = ""
    utr: str = ""
    reason: str = ""
    amount_minor: Decimal | None = None
    currency: str | None = None


class NotFound(msgspec.Struct, frozen=True):
    """The provider has never heard of our id: nothing was paid under it."""


class Event(NamedTuple):
    """A verified call of the provider's. `id` is the same when it calls again; `news` is None when
    it is about nothing of ours."""

    id: str
    news: News | None


Paying: TypeAlias = News | Deferred | Unknown
Found: TypeAlias = News | NotFound | Unknown


class Sample(NamedTuple):
    """A call as a provider makes it."""

    headers: Mapping[str, str]
    body: bytes


class PayoutProvider(Protocol):
    """A way to pay people."""

    slug: str

    async def pay(self, send: Send, payout: Payout) -> Paying:
        """Ask once for a payout. `Deferred` when it was certainly not taken."""

    async def look_up(self, send: Send, payout: Payout) -> Found:
        """What became of a payout."""

    def event(self, headers: Mapping[str, str], body: bytes, now_s: int) -> Event:
        """What a call says; header names in lower case. BadSignature when the provider did not
        make it, BadReply when it cannot be read."""

    def sample(self, payout: Payout, news: News, event_id: str, now_s: int) -> Sample:
        """The call that would say this of the payout, signed; for simulators."""


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What each provider may be told. An attempt is at most three calls, and ends before its task
    is sent again."""

    timeout_s: Annotated[float, Meta(gt=0, le=14)] = 14.0

    def __repr__(self) -> str:
        """Without values: most are secrets."""
        return f"{type(self).__module__}.Config(…)"


async def ask(send: Send, request: HttpRequest) -> HttpResponse | Deferred | Unknown:
    """The provider's answer, or what it means that there is none."""
    name = request.purpose
    try:
        return await send(request)
    except OutboundRefused:
        return Deferred(f"{name} is where requests may not go")
    except OutboundFailed as error:
        return Deferred(f"{name} cannot be reached: {error}")
    except OutboundUnknown as error:
        return Unknown(f"{name} did not answer: {error}")


def undecided(name: str, answer: HttpResponse, code: str = "") -> Deferred | Unknown:
    """What an answer means that is neither a yes nor a clear no."""
    why = wire.reason(name, answer, code)
    if answer.status in {401, 403, 429}:
        return Deferred(why, wire.retry_after_s(answer, _answered_at_s(answer)))
    return Unknown(why)


def plain(text: str) -> str:
    """A reason of theirs, fit to be shown to the member."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:REASON_MAX]


def check(secrets: Iterable[str], message: bytes, given: bytes) -> None:
    """BadSignature unless one of the secrets makes this HMAC-SHA256 of the message."""
    made = [hmac.digest(secret.encode(), message, hashlib.sha256) for secret in secrets]
    if not any(hmac.compare_digest(one, given) for one in made):
        raise BadSignature("no secret of ours signed it")


def _answered_at_s(answer: HttpResponse) -> int:
    """The time by their clock; far ahead without one, so that no date is waited for."""
    try:
        return int(parsedate_to_datetime(answer.headers.get("date", "")).timestamp())
    except (ValueError, OverflowError):
        return 1 << 40
