"""Accounts at affiliate networks: what an operator decides about their reports."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
from collections.abc import Iterable
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from core import errors

#: What a second report of a transaction does.
#: reject          nothing: the first one counts
#: update_status   it replaces what the first one said
#: increment       its amounts are added
#: keep_max        it replaces, but the larger amounts stay
#: new_each        it is a conversion of its own
#: by_event_id     the event alone says which conversion it is, whatever the transaction
Dedupe = Literal["reject", "update_status", "increment", "keep_max", "new_each", "by_event_id"]

TOKEN_BYTES: Final = 24

Network = Annotated[str, Meta(min_length=2, max_length=43)]


class Rules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The `rules` of a network. `cashback_bp` is the members' share of commissions, in 1/100 of a
    percent. A conversion that comes sooner than `click_min_s` after its click is held for review;
    one that comes later than `window_days` is nobody's. Postbacks come from `allowed_networks`,
    from anywhere if there are none.
    """

    dedupe: Dedupe = "update_status"
    cashback_bp: Annotated[int, Meta(ge=0, le=10_000)] = 5_000
    click_min_s: Annotated[int, Meta(ge=0, le=86_400)] = 0
    window_days: Annotated[int, Meta(ge=1, le=365)] = 90
    allowed_networks: Annotated[list[Network], Meta(max_length=100)] = []


def check(rules: Rules) -> None:
    """InvalidRequest when an allowed network is none."""
    for text in rules.allowed_networks:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            raise errors.InvalidRequest("allowed_networks: expected addresses or CIDR.") from None


def admits(allowed: Iterable[str], address: str) -> bool:
    """Whether postbacks may come from this address."""
    networks = [ipaddress.ip_network(text) for text in allowed]
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return not networks
    # A socket for both versions shows IPv4 peers like this.
    if isinstance(found, ipaddress.IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return not networks or any(found in one for one in networks)


def digest(token: str) -> bytes:
    """The stored form of a postback token, which is random and long."""
    return hashlib.sha256(token.encode()).digest()


def is_token(token: str, digests: Iterable[bytes | None]) -> bool:
    """Whether it is one of these; the time taken does not tell which."""
    given = digest(token)
    return True in [hmac.compare_digest(given, one) for one in digests if one is not None]
