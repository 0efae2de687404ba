"""What an operator sets for an account at a network; each network adds its own ids to it."""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

import msgspec
from msgspec import Meta

from core.money import Currency
from core.providers.affiliate.report import Status

#: Our names of what a postback or a row can say.
Field: TypeAlias = Literal[
    "txn_id",
    "click_id",
    "member",
    "offer",
    "merchant",
    "coupon",
    "event",
    "order_id",
    "status",
    "commission",
    "sale",
    "currency",
    "sale_currency",
    "event_at",
    "updated_at",
    "correction_id",
]

# Plain http only to this machine, where tests have their servers.
Url = Annotated[
    str,
    Meta(pattern=r"^(https://[^/?#\s]+|http://(127\.0\.0\.1|localhost)(:\d+)?)(/[^?#\s]*)?$(?!\n)"),
]
Id = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[A-Za-z0-9._-]+$(?!\n)")]
Parameter = Annotated[str, Meta(pattern=r"^[A-Za-z0-9_.-]{1,40}$(?!\n)")]
Theirs = Annotated[str, Meta(min_length=1, max_length=100)]
Mail = Annotated[
    str, Meta(max_length=254, pattern=r"^[!-?A-~]{1,64}@([A-Za-z0-9-]+\.)+[A-Za-z0-9-]+$(?!\n)")
]
Secret = Annotated[str, Meta(min_length=1, max_length=512, pattern=r"^[!-~]+$(?!\n)")]


class Config(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`calls_per_minute` goes before the network's own limit of calls to its API. `contact_email`
    is asked about purchases that were not reported, where the API cannot be.

    `campaign` is the network's id of what is linked to when a link names none. `field_map` says
    where in postbacks our fields stand, `row_map` where in the API's rows; `status_map` what words
    mean, in any case of letters. `currency` and `utc_offset_min` are for amounts and times that
    come without; `absent_status` is what a postback without any status word means. `reply` may
    have {txn_id}, {event} and {click_id}.
    """

    calls_per_minute: Annotated[int, Meta(ge=2, le=60_000)] | None = None
    contact_email: Mail | None = None
    campaign: Annotated[str, Meta(max_length=500)] = ""
    field_map: dict[Field, Theirs] = {}
    row_map: dict[Field, Theirs] = {}
    status_map: dict[Theirs, Status] = {}
    currency: Currency | None = None
    utc_offset_min: Annotated[int, Meta(ge=-1440, le=1440)] = 0
    absent_status: Status = "pending"
    reply: Annotated[str, Meta(max_length=200, pattern=r"^[ -~]*$(?!\n)")] = "OK"


class Credentials(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The secrets; never shown."""

    def __repr__(self) -> str:
        return f"{type(self).__qualname__}(…)"


def at(url: str, path: str) -> str:
    """The address of a path, which begins with a slash, under a configured URL."""
    return url.rstrip("/") + path
