"""The providers file: `{kind: {slug: {…}}}` in TOML or JSON, a section for each provider."""

from __future__ import annotations

from typing import Any, Final, TypeAlias

import msgspec

from core.errors import BadSetting

#: Kinds of providers that a section may be for.
KINDS: Final = frozenset({"notifications", "payouts", "social"})

Sections: TypeAlias = dict[str, dict[str, dict[str, Any]]]


def parse(content: bytes, *, is_toml: bool) -> Sections:
    """The sections by kind and slug, or BadSetting; the message has no values of the file."""
    decode = msgspec.toml.decode if is_toml else msgspec.json.decode
    try:
        found = decode(content, type=Sections)
    except msgspec.ValidationError as error:
        raise BadSetting(str(error)) from None
    except (msgspec.DecodeError, ValueError, RecursionError):
        raise BadSetting("it is not TOML" if is_toml else "it is not JSON") from None
    if unknown := found.keys() - KINDS:
        raise BadSetting(f"{min(unknown)}: there is no such kind of provider")
    return found
