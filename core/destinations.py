"""Where a link may lead: destinations are checked and normalized once, when the link is saved.

The stored form is ASCII around canonical macros, so that at the click nothing can fail.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Collection, Iterable
from typing import Literal
from urllib.parse import quote, unquote, unquote_plus

from core import errors, macros

LENGTH_MAX = 2048
QueryMode = Literal["off", "append", "append_if_absent", "overwrite"]

_Address = ipaddress.IPv4Address | ipaddress.IPv6Address
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HEAD = re.compile(r"(https?)://([^/?#]*)(.*)", re.IGNORECASE | re.DOTALL)
_SCHEME = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*):")
_HOST_PORT = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[^:\[\]]+)(?::([0-9]{0,9}))?")
_DEFAULT_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER_LABEL = re.compile(r"[0-9]+|0x[0-9a-f]*")
_LOCAL_NAME = re.compile(r"(?:.*\.)?(?:localhost|local|internal)")
_STRAY_PERCENT = re.compile(r"%(?![0-9A-Fa-f]{2})")
_URL_SAFE = ":/?#[]@!$&'()*+,;=%"
# A `?` or `#` inside a macro's braces belongs to the macro.
_FRAGMENT = re.compile(r"#(?![^{}]*\})")
_QUERY = re.compile(r"\?(?![^{}]*\})")
_CARRIES_CLICK_ID = re.compile(
    r"[?&]([^=&?#{}]+)=(?:[^&#{}]|\{[^{}]*\})*?\{_?click_id(?:[:|][^{}]*)?\}"
)
# A second `?` that begins a pair, as pasted links often have: `?a=1?b=2`.
_DOUBLE_QUESTION_MARK = re.compile(r"(=[^&=/?]*)\?(?=[^&=/?]+=)")


def validate(text: str, own_hosts: Collection[str] = (), allow: Collection[str] = ()) -> str:
    """The stored form of a destination template, or InvalidDestination saying what is wrong.

    `own_hosts` are the gateway's own names, `host` or `host:port`; `allow` holds the hosts and
    networks (CIDR) that may be reached although they are private.
    """
    if len(text) > LENGTH_MAX:
        raise errors.InvalidDestination(f"the destination is longer than {LENGTH_MAX} characters")
    if _CONTROL.search(text):
        raise errors.InvalidDestination("the destination contains a control character")
    pieces = macros.split(macros.canonical(text))
    for literal in pieces[::2]:
        if "\\" in literal or any(map(str.isspace, literal)):
            raise errors.InvalidDestination("the destination contains a space or a backslash")
    scheme, authority, rest = _head(pieces[0])
    if len(pieces) > 1 and not rest:
        raise errors.InvalidDestination("a macro cannot stand in the scheme or the host")
    pieces[0] = rest
    pieces[::2] = map(_ascii, pieces[::2])
    pieces[1::2] = (f"{{{inside}}}" for inside in pieces[1::2])
    stored = f"{scheme}://{_authority(scheme, authority, own_hosts, allow)}{''.join(pieces)}"
    if len(stored) > LENGTH_MAX:
        raise errors.InvalidDestination(f"the destination is longer than {LENGTH_MAX} characters")
    return stored


def with_parameter(template: str, name: str, value: str) -> str:
    """The stored template with query parameter `name` set to `value`, a template text itself."""
    base, query, fragment = _split(template)
    kept = [pair for pair in query.split("&") if pair and _name(pair) != name]
    return _joined(base, [*kept, f"{macros.encode(name)}={value}"], fragment)


def parameter(text: str) -> str:
    """A template text for `with_parameter`: literals fully percent-encoded, macros canonical."""
    pieces = macros.split(macros.canonical(text))
    pieces[::2] = map(macros.encode, pieces[::2])
    pieces[1::2] = (f"{{{inside}}}" for inside in pieces[1::2])
    return "".join(pieces)


def has_parameter(template: str, name: str) -> bool:
    """Whether the stored template's query names `name`."""
    return any(_name(pair) == name for pair in _split(template)[1].split("&"))


def click_id_parameters(template: str) -> frozenset[str]:
    """The query parameters whose value carries the click id."""
    return frozenset(unquote_plus(name) for name in _CARRIES_CLICK_ID.findall(template))


def merge_query(
    url: str,
    pairs: Iterable[tuple[str, str]],
    mode: QueryMode,
    *,
    allow: Collection[str] = (),
    protected: Collection[str] = (),
) -> str:
    """`url` with the visitor's own parameters as `mode` says.

    An empty `allow` lets all names through; `_r.*`, `_t` and the `protected` names, which carry
    the click id, never are: nobody may replace the id that a conversion is found by.
    """
    if mode == "off":
        return url
    incoming = [
        (name, value)
        for name, value in pairs
        if _is_forwarded(name) and (not allow or name in allow) and name not in protected
    ]
    base, query, fragment = _split(url)
    healed = _DOUBLE_QUESTION_MARK.sub(r"\1&", query.lstrip("?"))
    present = [pair for pair in healed.split("&") if pair]
    if mode == "append_if_absent":
        names = set(map(_name, present))
        incoming = [pair for pair in incoming if pair[0] not in names]
    if mode == "overwrite":
        replaced = {name for name, _ in incoming}
        present = [pair for pair in present if _name(pair) not in replaced]
    added = [f"{macros.encode(name)}={macros.encode(value)}" for name, value in incoming]
    return _joined(base, [*present, *added], fragment)


def append_path(url: str, path: str) -> str:
    """`url` with a clean path (see `clean_path`) behind its own, before query and fragment."""
    if not path:
        return url
    base, query, fragment = _split(url)
    longer = f"{base.rstrip('/')}/{macros.encode_path(path)}"
    return _joined(longer, [query] if query else [], fragment)


def clean_path(suffix: str) -> str:
    """A request's path suffix, decoded, without empty and dot segments."""
    segments = re.split(r"[/\\]", unquote(suffix))
    kept = [segment for segment in segments if segment not in {"", ".", ".."}]
    return "/".join(kept) + ("/" if kept and suffix.endswith("/") else "")


def _head(literal: str) -> tuple[str, str, str]:
    """Scheme, authority and what follows, of the text before the first macro."""
    found = _HEAD.fullmatch(literal)
    if found is not None:
        return found[1].lower(), found[2], found[3]
    scheme = _SCHEME.match(literal)
    if scheme is not None and scheme[1].lower() not in {"http", "https"}:
        raise errors.InvalidDestination(f"the scheme {scheme[1]} is not allowed; use http or https")
    raise errors.InvalidDestination("the destination must be an absolute http or https URL")


def _authority(
    scheme: str, authority: str, own_hosts: Collection[str], allow: Collection[str]
) -> str:
    if "@" in authority:
        raise errors.InvalidDestination("the destination must not contain a user name or password")
    found = _HOST_PORT.fullmatch(authority)
    if found is None:
        raise errors.InvalidDestination("the destination has no valid host")
    host, address = _host(found[1])
    port = int(found[2] or _DEFAULT_PORTS[scheme])
    if not 0 < port < 65_536:
        raise errors.InvalidDestination("the destination's port is out of range")
    if host in own_hosts or f"{host}:{port}" in own_hosts:
        raise errors.InvalidDestination("the destination leads back to this gateway")
    if _is_private(host, address) and not _is_allowed(host, address, allow):
        raise errors.InvalidDestination("the destination is a private or local address")
    return host if port == _DEFAULT_PORTS[scheme] else f"{host}:{port}"


def _host(text: str) -> tuple[str, _Address | None]:
    """The host in lower-case ASCII, and its address if it is one."""
    try:
        if text.startswith("["):
            address = ipaddress.IPv6Address(text[1:-1])
            return f"[{address.compressed}]", address
        host = text.encode("idna").decode().lower().removesuffix(".")
        labels = host.split(".")
        # Browsers read any host with a last label like this as an IPv4 address: 127.1, 0x7f.1.
        if _NUMBER_LABEL.fullmatch(labels[-1]):
            return host, ipaddress.IPv4Address(host)
    except ValueError:
        raise errors.InvalidDestination("the destination has no valid host") from None
    if len(host) > 253 or not all(map(_LABEL.fullmatch, labels)):
        raise errors.InvalidDestination("the destination has no valid host")
    return host, None


def _is_private(host: str, address: _Address | None) -> bool:
    if address is None:
        return _LOCAL_NAME.fullmatch(host) is not None
    inner = getattr(address, "ipv4_mapped", None) or address
    return not inner.is_global or inner.is_multicast


def _is_allowed(host: str, address: _Address | None, allow: Collection[str]) -> bool:
    return host in allow or (
        address is not None
        and any(address in network for network in map(_network, allow) if network)
    )


def _network(entry: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network | None:
    try:
        return ipaddress.ip_network(entry, strict=False)
    except ValueError:
        return None


def _ascii(literal: str) -> str:
    """A literal piece with everything that may not stand in a URL percent-encoded."""
    return quote(_STRAY_PERCENT.sub("%25", literal), safe=_URL_SAFE)


def _split(url: str) -> tuple[str, str, str]:
    """Base, query and fragment (the latter without their marks)."""
    before, *fragment = _FRAGMENT.split(url, maxsplit=1)
    base, *query = _QUERY.split(before, maxsplit=1)
    return base, "".join(query), "".join(fragment)


def _joined(base: str, pairs: list[str], fragment: str) -> str:
    query = "?" + "&".join(pairs) if pairs else ""
    return f"{base}{query}{'#' + fragment if fragment else ''}"


def _name(pair: str) -> str:
    return unquote_plus(pair.partition("=")[0])


def _is_forwarded(name: str) -> bool:
    """`_r.*` is the gateway's own namespace and `_t` its signed dry run."""
    return bool(name) and name != "_t" and not name.startswith("_r.")
