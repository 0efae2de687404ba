"""What a network says about one transaction, in one form for all networks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, TypeAlias

import msgspec

#: `unknown` is a word that neither the network's table nor the operator's has; it is not guessed.
Status: TypeAlias = Literal["pending", "approved", "rejected", "settled", "reversed", "unknown"]

#: Words of the verdicts on postbacks; `malformed` is whatever cannot be read at all.
Code: TypeAlias = Literal["malformed", "bad_signature", "amount_implausible", "currency_unknown"]


class Postback(msgspec.Struct, frozen=True, kw_only=True):
    """A call as it came in: the raw query string, header names in lower case, the raw body."""

    method: str = "GET"
    query: str = ""
    headers: Mapping[str, str] = {}
    body: bytes = b""


class Report(msgspec.Struct, frozen=True, kw_only=True):
    """One transaction as the network sees it now; what it does not say is None.

    Amounts are minor units of their currency and never negative, with one exception: a report with
    a `correction_id` says by how much the amounts of the transaction `txn_id` changed. It counts
    once for each correction id, and is `reversed` when it takes commission away, be it all or a
    part of it.

    `member`, `offer`, `merchant` and `coupon` help where no click id came: ids of ours that a link
    took along, or the network's own id of the shop, and the code that was used.

    `event` tells apart what one transaction id can stand for: a goal, a line of an order.
    `updated_at_ms` is when the network changed the transaction last.
    """

    txn_id: str
    event: str = ""
    correction_id: str = ""
    click_id: str | None = None
    member: str | None = None
    offer: str | None = None
    merchant: str | None = None
    coupon: str | None = None
    status: Status
    status_word: str = ""
    commission_minor: int | None = None
    currency: str | None = None
    sale_minor: int | None = None
    sale_currency: str | None = None
    order_id: str | None = None
    event_at_ms: int | None = None
    updated_at_ms: int | None = None
    raw: Mapping[str, str] = {}


class Problem(msgspec.Struct, frozen=True, kw_only=True):
    """Why there is no report: `field` is ours where one is at fault. No values but in `raw`."""

    code: Code
    detail: str
    field: str = ""
    raw: Mapping[str, str] = {}


class Unreadable(Exception):
    """Raised inside the providers; what they answer is the Problem."""

    def __init__(self, detail: str, field: str = "", code: Code = "malformed") -> None:
        super().__init__(detail)
        self.problem = Problem(code=code, detail=detail, field=field)
