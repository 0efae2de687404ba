"""Who follows a link, as far as the request's headers say it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

import maxminddb
from aiohttp import web
from multidict import MultiMapping, istr

from core import classes, clicks, useragents
from core.clicks import Pairs, Visit
from core.linkrules import Link
from core.settings import Settings
from web import proxies

# What is kept of a header.
USER_AGENT_MAX: Final = 512
REFERRER_MAX: Final = 512

_ACCEPT: Final = istr("Accept")
_ACCEPT_LANGUAGE: Final = istr("Accept-Language")
_DNT: Final = istr("DNT")
_FETCH_DESTINATION: Final = istr("Sec-Fetch-Dest")
_GPC: Final = istr("Sec-GPC")
_HOST: Final = istr("Host")
_REFERER: Final = istr("Referer")
_USER_AGENT: Final = istr("User-Agent")
_PURPOSES: Final = (istr("Sec-Purpose"), istr("Purpose"), istr("X-Moz"), istr("X-Purpose"))


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
        self._proxies = proxies.Proxies(settings.trusted_networks)
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
        country = ""
        if self._country_header is not None and self._proxies.is_trusted(peer):
            country = _country(get(self._country_header, ""))
        return Visitor(
            hit_class=hit_class,
            reasons=reasons,
            address=self._proxies.client(headers, peer),
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
        if visitor.country or self._places is None or not proxies.parse(visitor.address):
            return visitor.country
        place: Any = self._places.get(visitor.address)
        country = place.get("country") if isinstance(place, Mapping) else None
        return _country(str(country.get("iso_code", ""))) if isinstance(country, Mapping) else ""


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
