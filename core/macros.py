"""Templates with macros, for destinations.

The forms: `{x}` percent-encoded, `{_x}` raw, `{x|default}`, `{x:lower}`, `{x:sha256}`,
`{query:NAME}` for a parameter of the visit, and the map `{device:mobile=m desktop=d}`.
What a macro leaves behind is always printable ASCII without spaces or braces, whatever the value;
a macro that is unknown or has no value leaves nothing.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Literal
from urllib.parse import quote

import msgspec

SUBS = tuple(f"sub{number}" for number in range(1, 11))
AD_IDS = (
    *("gclid", "gbraid", "wbraid", "dclid", "fbclid", "msclkid", "ttclid", "twclid", "li_fat_id"),
)
UTM = ("utm_source", "utm_medium", "utm_campaign", "utm_term", "utm_content")
QUERY_MACROS = frozenset({*SUBS, "source", "external_id", *AD_IDS, *UTM})
LINK_MACROS = frozenset({"link_id", "slug", "campaign_id", "offer_id", "merchant_id", "network"})
VISIT_MACROS = frozenset(
    {"click_id", "domain", "member_ref", "country", "region", "city", "device", "os", "browser"}
    | {"lang", "referrer_host", "variant", "rule", "ts", "ts_ms", "date", "random", "path"}
)
KNOWN = QUERY_MACROS | LINK_MACROS | VISIT_MACROS

ALIASES = {
    **dict.fromkeys(("clickid", "cid", "subid", "transaction_id", "aff_sub"), "click_id"),
    **{f"c{number}": f"sub{number}" for number in range(1, 5)},
    **{f"sub_id_{number}": f"sub{number}" for number in range(1, 11)},
}

_MACRO = re.compile(r"\{([^{}]*)\}")
_INSIDE = re.compile(r"(_?)([A-Za-z][A-Za-z0-9_]*)(?::([^|]*))?(?:\|(.*))?", re.DOTALL)
_DOUBLE_BRACKETS = re.compile(r"\[\[([A-Za-z0-9_]+)\]\]")
_NAME = re.compile(r"\{(_?)([A-Za-z][A-Za-z0-9_]*)(?=[}:|])")
_CONTROL_OR_SPACE = re.compile(r"[\x00-\x20\x7f-\xa0\s]+")
# What a raw value may bring along unencoded: RFC 3986's reserved characters and escapes.
_RAW_SAFE = ":/?#[]@!$&'()*+,;=%"


class Macro(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """One placeholder; `name` is `query:NAME` for a query parameter."""

    name: str
    is_raw: bool = False
    default: str = ""
    transform: Literal["", "lower", "sha256"] = ""
    mapping: dict[str, str] | None = None

    def text(self, value: str) -> str:
        """What stands in the output for `value`."""
        if self.mapping is not None:
            value = self.mapping.get(value, "")
        elif value and self.transform == "lower":
            value = value.lower()
        elif value and self.transform == "sha256":
            value = hashlib.sha256(value.encode("utf-8", "replace")).hexdigest()
        value = value or self.default
        if self.name == "path" and self.is_raw:
            return encode_path(value)
        return raw(value) if self.is_raw else encode(value)


CLICK_ID = Macro("click_id")


class Template(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """Literal text and macros in order; no two literals stand side by side."""

    parts: tuple[str | Macro, ...]

    @property
    def macros(self) -> frozenset[str]:
        """The names of the macros in it."""
        return frozenset(part.name for part in self.parts if isinstance(part, Macro))

    def render(self, value: Callable[[str], str]) -> str:
        """The text, with `value(name)` for each macro; an empty value counts as none."""
        return "".join(
            part if isinstance(part, str) else part.text(value(part.name)) for part in self.parts
        )

    def bind(self, values: Mapping[str, str]) -> Template:
        """The template with the macros named in `values` resolved for good."""
        return Template(
            _joined(
                part.text(values[part.name])
                if isinstance(part, Macro) and part.name in values
                else part
                for part in self.parts
            )
        )

    def splice(self) -> tuple[str, str] | None:
        """The text before and after a plain `{click_id}` if that is the only macro, else None."""
        if sum(isinstance(part, Macro) for part in self.parts) != 1 or CLICK_ID not in self.parts:
            return None
        at = self.parts.index(CLICK_ID)
        before, after = self.parts[:at], self.parts[at + 1 :]
        return "".join(map(str, before)), "".join(map(str, after))

    def static(self) -> str | None:
        """The whole text if there is no macro in it, else None."""
        return None if self.macros else "".join(map(str, self.parts))


def encode(value: str) -> str:
    """`value` percent-encoded down to RFC 3986's unreserved characters."""
    return quote(value.encode("utf-8", "replace"), safe="")


def raw(value: str) -> str:
    """`value` without control characters and whitespace, other unsafe characters encoded."""
    visible = _CONTROL_OR_SPACE.sub("", value)
    return quote(visible.encode("utf-8", "replace"), safe=_RAW_SAFE)


def encode_path(value: str) -> str:
    """`value` as a path: nothing in it can begin a query or be decoded into a dot segment."""
    return quote(value.encode("utf-8", "replace"), safe="/!$&'()*+,;=:@")


def canonical(text: str) -> str:
    """The template with the field's other spellings, `[[subid]]` or `{sub_id_1}`, made ours."""
    braced = _DOUBLE_BRACKETS.sub(r"{\1}", text)
    return _NAME.sub(lambda found: "{" + found[1] + _canonical_name(found[2]), braced)


def compile(text: str) -> Template:  # noqa: A001 - read as `macros.compile`, like `re.compile`
    """Parse a canonical template; macros that nobody knows are left out."""
    return Template(_joined(_pieces(text)))


def split(text: str) -> list[str]:
    """Literal, inside of a macro, literal, …: odd places are what stands between the braces."""
    return _MACRO.split(text)


def _canonical_name(name: str) -> str:
    lowered = name.lower()
    return ALIASES.get(lowered, lowered)


def _pieces(text: str) -> list[str | Macro]:
    pieces: list[str | Macro] = []
    for place, piece in enumerate(split(text)):
        parsed = _parse(piece) if place % 2 else piece
        if parsed is not None:
            pieces.append(parsed)
    return pieces


def _parse(inside: str) -> Macro | None:
    """The macro written as `inside`, or None if its name or its form is unknown."""
    found = _INSIDE.fullmatch(inside)
    if found is None:
        return None
    underscore, name, argument, default = found.groups(default="")
    is_raw = bool(underscore)
    if name == "query":
        return Macro(f"query:{argument}", is_raw, default) if argument else None
    if name not in KNOWN:
        return None
    match argument:
        case "":
            return Macro(name, is_raw, default)
        case "lower" | "sha256":
            return Macro(name, is_raw, default, argument)
        case _ if "=" in argument:
            pairs = (pair.partition("=") for pair in argument.split())
            return Macro(name, is_raw, default, "", {key: value for key, _, value in pairs})
        case _:
            return None


def _joined(parts: Iterable[str | Macro]) -> tuple[str | Macro, ...]:
    """The parts with neighboring literals made one and empty ones dropped."""
    joined: list[str | Macro] = []
    for part in parts:
        if isinstance(part, str) and joined and isinstance(joined[-1], str):
            joined[-1] += part
        elif part != "":
            joined.append(part)
    return tuple(joined)
