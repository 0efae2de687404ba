"""Lists that a program's fraud rules look things up in: networks, and domains of mail addresses.

Of the address of a click only its network is known, the /24 or /48. So a smaller one in a list
stands for all of that.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable
from typing import Annotated, Final, Literal, NamedTuple

import msgspec
from msgspec import Meta

from core.links import Host, Line

Kind = Literal["networks", "mail_domains"]
ListName = Annotated[str, Meta(pattern=r"^[a-z0-9][a-z0-9_-]{0,39}$(?!\n)")]
Lists = Annotated[list[ListName], Meta(min_length=1, max_length=20)]

#: The list of mail domains that every program has, without storing it (`core.disposable`).
BUILT_IN: Final = "built-in"
ENTRIES_MAX: Final = 100_000
#: As many lists as anybody keeps up to date.
LISTS_MAX: Final = 50

# What clicks keep, and from where on a network is a good part of all there are.
_KEPT: Final = {4: 24, 6: 48}
_WIDEST: Final = {4: 8, 6: 16}


class Entry(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A network (`198.51.100.0/24`) or a domain, and what is said of it, such as `AS64500`."""

    value: Annotated[str, Meta(min_length=1, max_length=253)]
    label: Line = ""


class BadEntry(ValueError):
    """An entry that is none of its list's kind; the text says why."""


class Found(NamedTuple):
    """In which list something stands, and with which label."""

    name: str
    label: str

    def __str__(self) -> str:
        return f"{self.name} ({self.label})" if self.label else self.name

    @property
    def packed(self) -> str:
        """As a click keeps it."""
        return f"{self.name} {self.label}"


def parse(packed: str) -> Found:
    """What a click keeps of a list."""
    name, _, label = packed.partition(" ")
    return Found(name, label)


def read(kind: Kind, entry: Entry) -> Entry:
    """The entry in its one spelling; BadEntry."""
    value = _network(entry.value) if kind == "networks" else _domain(entry.value)
    return Entry(value=value, label=entry.label)


def within(domain: str) -> list[str]:
    """The domain, and those that it is below."""
    labels = domain.split(".")
    return [".".join(labels[start:]) for start in range(len(labels) - 1)]


def named(found: Iterable[Found], wanted: Lists | None) -> list[Found]:
    """Those in lists that are wanted, or all if none are named; in the order of their names."""
    return sorted(one for one in found if wanted is None or one.name in wanted)


def _network(text: str) -> str:
    try:
        network = ipaddress.ip_network(text.strip())
    except ValueError as error:
        raise BadEntry(f"{error}.") from None
    if network.prefixlen < _WIDEST[network.version]:
        raise BadEntry(f"A network larger than a /{_WIDEST[network.version]} is no list's.")
    kept = min(network.prefixlen, _KEPT[network.version])
    return str(network.supernet(new_prefix=kept))


def _domain(text: str) -> str:
    domain = text.strip().lower().removeprefix("@")
    try:
        msgspec.convert(domain, Host)
    except msgspec.ValidationError:
        raise BadEntry("It is no domain.") from None
    if "." not in domain:
        raise BadEntry("A domain has a dot.")
    return domain
