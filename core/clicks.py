"""A visit: what a request for a link says about itself, in the words that rules and macros use."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import parse_qsl, urlsplit

import msgspec

from core import classes, macros, useragents

PARAMETERS_MAX = 64
VALUE_LENGTH_MAX = 255

_LANGUAGE = re.compile(r"\s*([A-Za-z]{1,8}(?:-[A-Za-z0-9]{1,8})*)\s*(?:;\s*q=([0-9.]{1,5}))?\s*")

Pairs = tuple[tuple[str, str], ...]


class Visit(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One request for a link. What is unknown or was not looked up is empty.

    `path` comes from `destinations.clean_path`, `visitor_key` anything that stays the same for a
    visitor, `member_ref` our opaque id of the member. `privacy_signal`: Sec-GPC or DNT was sent.
    """

    domain: str = ""
    path: str = ""
    query: Pairs = ()
    language: str = ""
    referrer_host: str = ""
    country: str = ""
    region: str = ""
    city: str = ""
    agent: useragents.Agent = useragents.UNKNOWN
    hit_class: int = classes.HUMAN
    privacy_signal: bool = False
    visitor_key: bytes = b""
    member_ref: str = ""
    is_unlocked: bool = False


class Premint(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A click that the API made beforehand, as it waits in Redis for its visit; msgpack."""

    program_id: str
    link_id: str
    slug: str
    member_id: str | None = None
    parameters: dict[str, str] | None = None


encode_premint = msgspec.msgpack.Encoder().encode
_decode_premint = msgspec.msgpack.Decoder(Premint).decode


def decode_premint(packed: bytes) -> Premint:
    """The click of a Redis value, or msgspec.DecodeError."""
    return _decode_premint(packed)


def query_pairs(query: str) -> Pairs:
    """The decoded parameters of a raw query string, at most PARAMETERS_MAX of them."""
    few = "&".join(query.split("&", PARAMETERS_MAX)[:PARAMETERS_MAX])
    return tuple(parse_qsl(few, keep_blank_values=True))


def shareable(pairs: Iterable[tuple[str, str]], *, privacy_signal: bool) -> Pairs:
    """The parameters that may be passed on: under a privacy signal no ad platform's click id."""
    if not privacy_signal:
        return tuple(pairs)
    return tuple(pair for pair in pairs if pair[0].lower() not in macros.AD_IDS)


def parameters(pairs: Iterable[tuple[str, str]], *, privacy_signal: bool) -> dict[str, str] | None:
    """What a click stores of its query: the first value of each name we know, or None if none."""
    known: dict[str, str] = {}
    for name, value in shareable(pairs, privacy_signal=privacy_signal):
        if name in macros.QUERY_MACROS and value and name not in known:
            known[name] = _storable(value)
    return known or None


def preferred_language(accept_language: str) -> str:
    """The tag that Accept-Language likes best, in lower case; empty if there is none."""
    best, best_quality = "", 0.0
    for item in accept_language.split(",", 32)[:32]:
        found = _LANGUAGE.fullmatch(item)
        if found is None:
            continue
        quality = _quality(found[2])
        if quality > best_quality:
            best, best_quality = found[1].lower(), quality
    return best


def referrer_host(referrer: str) -> str:
    """The lower-case host of a Referer header; empty if it is none."""
    try:
        return urlsplit(referrer).hostname or ""
    except ValueError:
        return ""


def privacy_signal(sec_gpc: str | None, dnt: str | None) -> bool:
    """Whether the visitor asks not to be followed: `Sec-GPC: 1` or `DNT: 1`."""
    return sec_gpc == "1" or dnt == "1"


def _quality(text: str | None) -> float:
    try:
        return 1.0 if text is None else float(text)
    except ValueError:
        return 0.0


def _storable(value: str) -> str:
    """PostgreSQL stores neither NUL nor half a surrogate pair."""
    return value[:VALUE_LENGTH_MAX].replace("\0", "").encode("utf-8", "replace").decode()
