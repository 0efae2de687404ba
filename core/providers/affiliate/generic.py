"""Any network that sends postbacks, by the names that trackers use, or as the operator maps them.

A signature, where the network can make one, is the hex HMAC of what is read and nothing else:

    in the query    the raw query without its `sig=…` pair; then, if there is a body, a line feed
                    and the body
    in a header     the body, and then the query is not read; without a body the raw query
"""

from __future__ import annotations

import hashlib
import hmac
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from core.errors import InvalidDestination
from core.macros import encode
from core.providers.affiliate import config as base
from core.providers.affiliate import postbacks
from core.providers.affiliate.config import Parameter
from core.providers.affiliate.report import Postback, Problem, Report, Unreadable
from core.providers.affiliate.shape import Shape

SLUG: Final = "generic"

Key = Annotated[str, Meta(min_length=16, max_length=512, pattern=r"^[!-~]+$(?!\n)")]

POSTBACK: Final = Shape(
    names={
        "click_id": (
            *("click_id", "cid", "clickid", "subid", "transaction_id", "aff_sub", "clickref"),
            *("sub_id", "p1", "u1", "sid"),
        ),
        "txn_id": ("txid", "tid", "txn_id", "transaction", "order_id", "oid", "action_id"),
        "coupon": ("coupon", "coupon_code", "voucher_code", "promo_code", "promocode"),
        "event": ("event", "goal", "et"),
        "order_id": ("order_id", "oid"),
        "status": ("status",),
        "commission": ("payout", "revenue", "sum", "commission"),
        "sale": ("amount", "sale_amount", "order_sum"),
        "currency": ("currency",),
        "event_at": ("event_time", "time", "timestamp", "datetime"),
    },
    words={
        "pending": "pending",
        "new": "pending",
        "hold": "pending",
        "lead": "pending",
        "approved": "approved",
        "confirmed": "approved",
        "sale": "approved",
        "rejected": "rejected",
        "declined": "rejected",
        "cancelled": "rejected",
        "canceled": "rejected",
        "trash": "rejected",
        "paid": "settled",
        "settled": "settled",
        "reversed": "reversed",
        "refunded": "reversed",
        "chargeback": "reversed",
    },
    time_form="unix",
)


class Signature(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Where the HMAC stands and what it is made with; see the module."""

    place: Literal["query", "header"] = "query"
    name: Parameter = "sig"
    algorithm: Literal["sha256", "sha512"] = "sha256"


class Config(base.Config, frozen=True, kw_only=True):
    """`link` has {click_id}, and may have {destination} and {campaign}."""

    link: (
        Annotated[str, Meta(max_length=2000, pattern=r"^https?://\S*\{click_id\}\S*$(?!\n)")] | None
    ) = None
    signature: Signature | None = None


class Credentials(base.Credentials, frozen=True, kw_only=True):
    """`previous_secret` is still taken while the network moves to a new one."""

    secret: Key
    previous_secret: Key | None = None


class Generic:
    """See the module."""

    slug: Final = SLUG

    def __init__(self, config: Config, credentials: Credentials | None) -> None:
        self._config = config
        self._credentials = credentials

    def link(self, destination: str, click_id: str, campaign: str = "") -> str:
        """The template filled in, all values percent-encoded."""
        link = self._config.link
        if link is None:
            raise InvalidDestination("the network's account has no template for links")
        values = {
            "{destination}": destination,
            "{campaign}": campaign or self._config.campaign,
            "{click_id}": click_id,
        }
        for macro, value in values.items():
            link = link.replace(macro, encode(value))
        return link

    def read_postback(self, postback: Postback) -> Report | Problem:
        """The report, once the signature is found right, if the account has one."""
        try:
            postback = self._verified(postback)
        except Unreadable as error:
            return error.problem
        return postbacks.read(postback, POSTBACK, self._config)

    def reply(self, report: Report | None) -> str:
        """The account's reply."""
        return postbacks.reply(report, self._config)

    def sample_postback(self, report: Report) -> Postback | None:
        """A GET, signed if the account has a signature."""
        made = postbacks.sample(report, POSTBACK, self._config)
        signature, keys = self._config.signature, self._keys()
        if made is None or signature is None or not keys:
            return made
        code = _code(keys[0], made.query.encode(), signature)
        if signature.place == "header":
            return msgspec.structs.replace(made, headers={signature.name.lower(): code})
        return msgspec.structs.replace(made, query=f"{made.query}&{signature.name}={code}")

    def _verified(self, postback: Postback) -> Postback:
        """What was signed of it, or Unreadable."""
        signature = self._config.signature
        if signature is None:
            return postback
        given, message, signed = _signed(postback, signature)
        found = given.lower().removeprefix(f"{signature.algorithm}=").encode("ascii", "replace")
        # All keys are compared, so that the time does not tell which one it was.
        codes = [_code(key, message, signature).encode() for key in self._keys()]
        if True not in [hmac.compare_digest(found, code) for code in codes]:
            raise Unreadable("the signature is not right", code="bad_signature")
        return signed

    def _keys(self) -> list[str]:
        credentials = self._credentials
        if credentials is None:
            return []
        return [key for key in (credentials.secret, credentials.previous_secret) if key]


def _signed(postback: Postback, signature: Signature) -> tuple[str, bytes, Postback]:
    """The signature, the message that it should be of, and the postback of that message only."""
    if signature.place == "header":
        given = postback.headers.get(signature.name.lower(), "")
        if not postback.body:
            return given, _bytes(postback.query), postback
        return given, postback.body, msgspec.structs.replace(postback, query="")
    pairs = postback.query.split("&")
    own = [pair for pair in pairs if pair.partition("=")[0] == signature.name]
    if len(own) != 1:
        raise Unreadable("there is not one signature", code="bad_signature")
    query = "&".join(pair for pair in pairs if pair is not own[0])
    # The line feed, which no query can have, keeps the two from being divided otherwise.
    message = _bytes(query) + (b"\n" + postback.body if postback.body else b"")
    return own[0].partition("=")[2], message, msgspec.structs.replace(postback, query=query)


def _bytes(query: str) -> bytes:
    """The bytes that came; what was no UTF-8 stands in the text as lone surrogates."""
    return query.encode("utf-8", "surrogateescape")


def _code(key: str, message: bytes, signature: Signature) -> str:
    return hmac.new(key.encode(), message, getattr(hashlib, signature.algorithm)).hexdigest()
