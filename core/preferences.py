"""What members want to hear, by which channel, and when not.

Messages of security are always sent. An unsubscribe token says by itself whose wish it carries and
for what: it is sealed with a field key, so nobody can make one, and it needs no sign-in.
"""

from __future__ import annotations

import base64
import binascii
import datetime as dt
from typing import Annotated, Final

import msgspec
from msgspec import Meta

from core import fields, programs
from core.errors import BadField
from core.keyring import KeyRing
from core.templates import TOPICS, Channel, Topic

DAY_MINUTES: Final = 1_440
TOKEN_CONTEXT: Final = "unsubscribe"  # noqa: S105 - what tokens are sealed for
TOKEN_LENGTH_MAX: Final = 512

Clock = Annotated[str, Meta(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$(?!\n)")]


class QuietHours(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """From when to when nothing shall come, in the program's time zone; also over midnight."""

    begins: Clock
    ends: Clock


class Unwanted(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Messages of this topic shall not come by this channel."""

    topic: Topic
    channel: Channel


class Unsubscribe(msgspec.Struct, frozen=True, array_like=True):
    """What a token stands for."""

    program_id: str
    member_id: str
    topic: Topic
    channel: Channel


def minute(clock: str) -> int:
    """Minutes after midnight."""
    hours, minutes = clock.split(":")
    return int(hours) * 60 + int(minutes)


def clock(minute: int) -> str:
    """The time of day, `07:30`."""
    return f"{minute // 60:02}:{minute % 60:02}"


def quiet_until_ms(begins_minute: int, ends_minute: int, time_zone: str, now_ms: int) -> int | None:
    """When the quiet hours end that it is now, None if it is none. It is a minute away at least,
    also while clocks are put back over the end.
    """
    zone = programs.zone(time_zone)
    now = dt.datetime.fromtimestamp(now_ms / 1000, zone)
    at = now.hour * 60 + now.minute
    gone = (at - begins_minute) % DAY_MINUTES
    if gone >= (ends_minute - begins_minute) % DAY_MINUTES:
        return None
    day = now.date() + dt.timedelta(days=1 if ends_minute <= at else 0)
    end = dt.datetime.combine(day, dt.time(ends_minute // 60, ends_minute % 60), zone)
    return max(int(end.timestamp() * 1000), now_ms + 60_000)


def token(ring: KeyRing, wish: Unsubscribe, nonce: bytes) -> str:
    """The token of a link; `nonce` is `fields.NONCE_BYTES` random bytes."""
    sealed = fields.seal(ring, msgspec.json.encode(wish).decode(), TOKEN_CONTEXT, nonce)
    return base64.urlsafe_b64encode(sealed).rstrip(b"=").decode()


def read_token(ring: KeyRing, text: str) -> Unsubscribe:
    """What a token stands for; BadField when we have not made it."""
    if len(text) > TOKEN_LENGTH_MAX:
        raise BadField("it is too long")
    try:
        sealed = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
        said = fields.unseal(ring, sealed, TOKEN_CONTEXT)
        wish = msgspec.json.decode(said, type=Unsubscribe)
    except (binascii.Error, ValueError, IndexError) as error:
        raise BadField("it is no token") from error
    if wish.topic not in TOPICS:
        raise BadField("it is of no topic")
    return wish
