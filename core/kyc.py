"""Who a member is to the tax office: a PAN, or another document, in its one spelling.

    missing → submitted → verified · rejected
                  ↑____________|_________|  another document was handed in

A verified document can be rejected later, and a rejected one verified.
"""

from __future__ import annotations

import re
from typing import Annotated, Final, Literal

import msgspec
from msgspec import Meta

from core import errors
from core.links import Line

Kind = Literal["pan", "passport", "driving_license", "national_id", "tax_id"]
State = Literal["missing", "submitted", "verified", "rejected"]

SHOWN: Final = 4
MASK: Final = "•"

# The fourth letter says what the holder is: P a person, C a company, and so on.
_PAN: Final = re.compile(r"[A-Z]{3}[ABCFGHJLPT][A-Z][0-9]{4}[A-Z]")
_NUMBER: Final = re.compile(r"[A-Z0-9]{4,32}")
_SEPARATORS: Final = re.compile(r"[\s./-]")

Country = Annotated[str, Meta(pattern=r"^[A-Z]{2}$(?!\n)", description="ISO 3166-1 alpha-2")]
Number = Annotated[str, Meta(min_length=4, max_length=48)]
Name = Annotated[Line, Meta(min_length=2)]


class Document(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A document: its number, the country that made it out, and the name on it."""

    kind: Kind
    number: Number
    name: Name
    country: Country = "IN"

    def __repr__(self) -> str:
        return "Document(…)"


def checked(given: Document) -> Document:
    """The document with its number in its one spelling; InvalidRequest when it cannot be one."""
    number = _SEPARATORS.sub("", given.number).upper()
    is_pan = given.kind == "pan"
    if not (_PAN if is_pan else _NUMBER).fullmatch(number):
        looks = "like AAAPA0000A" if is_pan else "of 4 to 32 letters and digits"
        raise _bad(f"The number must be {looks}.", "number")
    if is_pan and given.country != "IN":
        raise _bad("A PAN is made out by India.", "country")
    return msgspec.structs.replace(given, number=number, name=" ".join(given.name.split()))


def identity(document: Document) -> str:
    """What two documents have in common that are the same one, whatever name is on it."""
    return f"{document.kind}:{document.country}:{document.number}"


def masked(text: str) -> str:
    """The text with only its last characters, so that its owner knows it again."""
    return MASK * 4 + text[-min(SHOWN, len(text) // 2) :]


def _bad(detail: str, name: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": f"/{name}"}])
