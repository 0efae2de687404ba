"""Who follows a link, as far as the request's headers say it."""

from __future__ import annotations

import functools
import ipaddress
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import maxminddb
from aiohttp import web
from multidict import MultiMapping, istr

from core import classes, clicks, useragents
from core.clicks import Pairs, Visit
from core.linkrules import Link
from core.settings import Settings

# What is kept of a header.
USER_AGENT_MAX: Final = 512
REFERRER_MAX: Final = 512
FORWARDED_MAX: Final = 20
ADDRESS_MAX: Final = 45

_ACCEPT: Final = istr("Accept")
_ACCEPT_LANGUAGE: Final = istr("Accept-Language")
_DNT: Final = istr("DNT")
_FETCH_DESTINATION: Final = istr("Sec-Fetch-Dest")
_FORWARDED_FOR: Final = istr("X-Forwarded-For")
_GPC: Final = istr("Sec-GPC")
_HOST: Final = istr("Host")
_REFERER: Final = istr("Referer")
_USER_AGENT: Final = istr("User-Agent")
_PURPOSES: Final = (istr("Sec-Purpose"), istr("Purpose"), istr("X-Moz"), istr("X-Purpose"))

# Documented as the networks that a click's address is cut to.
_PREFIX_V4: Final = 24
_PREFIX_V6: Final = 48


Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Visitor(NamedTuple):
    """`address` is whole and never recorded; `country` is empty when no proxy named it."""

    hit_class: int
    reasons: tuple[str, ...]
    address: str
    country: str
    user_agent: str
    referrer: str
    privacy_signal: bool


class Eyes:
    """Reads visitors from requests, believing only the proxies that the settings name."""

    def __init__(self, settings: Settings) -> None:
        networks = settings.trusted_networks
        self._is_trusted = functools.lru_cache(4096)(
            lambda address: any(_is_in(address, network) for network in networks)
        )
        self._has_proxies = bool(networks)
        self._country_header = istr(settings.country_header) if settings.country_header else None
        self._places = maxminddb.open_database(settings.geoip_file) if settings.geoip_file else None

    def see(self, headers: MultiMapping[str], peer: str) -> Visitor:
        """The visitor who sent these headers through a connection from `peer`."""
        get = headers.get
        user_agent = _text(get(_USER_AGENT), USER_AGENT_MAX)
        hit_class, reasons = classes.classify(
            user_agent,
            has_accept=_ACCEPT in headers,
            has_language=_ACCEPT_LANGUAGE in headers,
            fetch_destination=get(_FETCH_DESTINATION, ""),
            purpose=" ".join([get(name, "") for name in _PURPOSES]),
        )
        is_proxied = self._has_proxies and self._is_trusted(peer)
        country = ""
        if is_proxied and self._country_header is not None:
            country = _country(get(self._country_header, ""))
        return Visitor(
            hit_class=hit_class,
            reasons=reasons,
            address=self._forwarded(get(_FORWARDED_FOR, ""), peer) if is_proxied else peer,
            country=country,
            user_agent=user_agent,
            referrer=_text(get(_REFERER), REFERRER_MAX),
            privacy_signal=clicks.privacy_signal(get(_GPC), get(_DNT)),
        )

    def visit(
        self,
        request: web.BaseRequest,
        visitor: Visitor,
        link: Link,
        *,
        path: str,
        query: Pairs,
        is_unlocked: bool,
    ) -> Visit:
        """What rules and macros of `link` ask about the visitor."""
        return Visit(
            domain=request.headers.get(_HOST, "").partition(":")[0],
            path=path,
            query=query,
            language=clicks.preferred_language(request.headers.get(_ACCEPT_LANGUAGE, "")),
            referrer_host=clicks.referrer_host(visitor.referrer),
            country=self._country_of(visitor) if link.needs_country else "",
            agent=useragents.parse(visitor.user_agent) if link.needs_device else useragents.UNKNOWN,
            hit_class=visitor.hit_class,
            privacy_signal=visitor.privacy_signal,
            visitor_key=f"{visitor.address} {visitor.user_agent}".encode(),
            is_unlocked=is_unlocked,
        )

    def _country_of(self, visitor: Visitor) -> str:
        if visitor.country or self._places is None or not _parse(visitor.address):
            return visitor.country
        place: Any = self._places.get(visitor.address)
        country = place.get("country") if isinstance(place, Mapping) else None
        return _country(str(country.get("iso_code", ""))) if isinstance(country, Mapping) else ""

    def _forwarded(self, header: str, peer: str) -> str:
        """The address that the outermost trusted proxy saw: the last one that is none of ours."""
        for address in reversed(header.split(",")[-FORWARDED_MAX:]):
            candidate = address.strip()[:ADDRESS_MAX]
            if not self._is_trusted(candidate):
                return candidate if _parse(candidate) else peer
        return peer


@functools.lru_cache(16_384)
def cut(address: str) -> str | None:
    """The address that stands for its /24 or /48; None when it is no address."""
    parsed = _parse(address)
    if parsed is None:
        return None
    prefix = _PREFIX_V4 if parsed.version == 4 else _PREFIX_V6
    return str(ipaddress.ip_network((parsed, prefix), strict=False).network_address)


def _is_in(address: str, network: Network) -> bool:
    parsed = _parse(address)
    return parsed is not None and parsed in network


def _parse(address: str) -> ipaddress.IPv4Address | ipaddress.IPv6Address | None:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return None
    return getattr(parsed, "ipv4_mapped", None) or parsed


def _country(text: str) -> str:
    return text.upper() if len(text) == 2 and text.isascii() and text.isalpha() else ""


def _text(header: str | None, length_max: int) -> str:
    """A header's beginning; bytes that are not UTF-8 are replaced."""
    if not header:
        return ""
    text = header[:length_max]
    return (
        text
        if text.isascii()
        else text.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
    )
