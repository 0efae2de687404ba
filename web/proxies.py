"""Whose address a request comes from: the peer's, or the one that proxies of ours have seen.

`X-Forwarded-For` is believed as far as each of its entries, read from the end, was written by a
proxy that the settings name. What stands before that could be written by anybody.
"""

from __future__ import annotations

import functools
import ipaddress
import re
from collections.abc import Sequence
from typing import Final

from multidict import MultiMapping, istr

FORWARDED_MAX: Final = 20
ADDRESS_MAX: Final = 64

_FORWARDED_FOR: Final = istr("X-Forwarded-For")
# Some proxies name the port as well.
_WITH_PORT: Final = re.compile(r"(?:\[([0-9A-Fa-f:.]+)\]|([0-9.]+))(?::\d{1,5})?")

# Documented as the networks to which an address is cut before it is stored.
_CUT_V4: Final = 24
_CUT_V6: Final = 48
# Who has one IPv6 address has all of its /64.
_BUCKET_V6: Final = 64

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Proxies:
    """The proxies of an installation."""

    def __init__(self, networks: Sequence[Network]) -> None:
        self.has_any: Final = bool(networks)
        self._is_trusted = functools.lru_cache(4096)(
            lambda address: any(_is_in(address, network) for network in networks)
        )

    def is_trusted(self, peer: str) -> bool:
        """Whether what this peer says of its clients is believed."""
        return self.has_any and self._is_trusted(peer)

    def client(self, headers: MultiMapping[str], peer: str) -> str:
        """The address behind the outermost trusted proxy: the last one that is none of ours.

        The peer's own when it is not trusted, or when what the proxies say is no address.
        """
        if not self.is_trusted(peer):
            return peer
        # A proxy may add a line of its own instead of an entry to the client's.
        entries = ",".join(headers.getall(_FORWARDED_FOR, ())).split(",")
        for entry in reversed(entries[-FORWARDED_MAX:]):
            candidate = _bare(entry.strip()[:ADDRESS_MAX])
            if not self._is_trusted(candidate):
                return candidate if parse(candidate) else peer
        return peer


@functools.lru_cache(16_384)
def cut(address: str) -> str | None:
    """The address that stands for its /24 or /48; None when it is no address."""
    parsed = parse(address)
    if parsed is None:
        return None
    return _network(parsed, _CUT_V4 if parsed.version == 4 else _CUT_V6)


@functools.lru_cache(4_096)
def bucket(address: str) -> str:
    """What limits count as one: an IPv4 address, the /64 of an IPv6 address, any other text."""
    parsed = parse(address)
    if parsed is None:
        return address
    return str(parsed) if parsed.version == 4 else _network(parsed, _BUCKET_V6)


def parse(address: str) -> Address | None:
    """The address, IPv4 also when it is written as IPv6; None when it is none."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def is_in(address: str, networks: Sequence[Network]) -> bool:
    """Whether the address lies in one of the networks."""
    return any(_is_in(address, network) for network in networks)


def _network(address: Address, prefix: int) -> str:
    return str(ipaddress.ip_network((address, prefix), strict=False).network_address)


def _is_in(address: str, network: Network) -> bool:
    parsed = parse(address)
    return parsed is not None and parsed in network


def _bare(entry: str) -> str:
    found = _WITH_PORT.fullmatch(entry)
    return entry if found is None else found[1] or found[2]
