"""How people are reached and recognized: mail addresses and phone numbers in their one spelling.

A mail address is compared without regard to case; letters that merely look alike are others. A
phone number is E.164, with its country code.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Annotated, Final, Literal, NamedTuple

import idna
import msgspec
import phonenumbers

from core import errors

Channel = Literal["email", "phone"]

EMAIL_MAX: Final = 254
Email = Annotated[str, msgspec.Meta(min_length=3, max_length=EMAIL_MAX)]
Phone = Annotated[str, msgspec.Meta(min_length=5, max_length=32)]

_EMAIL: Final = re.compile(
    r"[^\s@<>(),;:\"\[\]\\\x00-\x1f\x7f]{1,64}@[^\s@.<>\x00\x7f]+(?:\.[^\s@.<>\x00\x7f]+)+"
)


class Contact(NamedTuple):
    """One address in its one spelling."""

    channel: Channel
    address: str


def email(text: str) -> Contact:
    """The mail address; InvalidRequest when it cannot be one."""
    # Not casefold: it takes ß for ss and ſ for s, and another mailbox for this one.
    address = unicodedata.normalize("NFC", text.strip().lower())
    match = _EMAIL.fullmatch(address)
    is_seen = not any(unicodedata.category(char).startswith("C") for char in address)
    if match is None or ".." in address or not is_seen:
        raise _bad("This is no mail address.", "email")
    local, _, domain = address.rpartition("@")
    try:
        # As it is spelled where mail is sent to: else a mailbox would have many spellings, and
        # each a count of its own for codes.
        address = f"{local}@{idna.decode(domain, uts46=True, std3_rules=True)}"
    except UnicodeError:
        address = ""
    if not 0 < len(address) <= EMAIL_MAX:
        raise _bad("This is no mail address.", "email")
    return Contact("email", address)


def respelled(address: str) -> Contact:
    """A mail address that was stored, as it is spelled today; as it was, if nobody could type it
    today.
    """
    # Nearly all are plain, and those were never spelled otherwise.
    if address.isascii() and "xn--" not in address:
        return Contact("email", address)
    try:
        return email(address)
    except errors.InvalidRequest:
        return Contact("email", address)


def phone(text: str) -> Contact:
    """The phone number, given with its country code (+…); InvalidRequest when it cannot be one."""
    try:
        number = phonenumbers.parse(text.strip())
    except phonenumbers.NumberParseException:
        number = None
    if number is None or not phonenumbers.is_possible_number(number):
        raise _bad("This is no phone number with its country code, such as +4930123456.", "phone")
    return Contact("phone", phonenumbers.format_number(number, phonenumbers.PhoneNumberFormat.E164))


def given(email_text: str | None, phone_text: str | None) -> list[Contact]:
    """Those that were given, mail first; InvalidRequest."""
    found = [] if email_text is None else [email(email_text)]
    return found if phone_text is None else [*found, phone(phone_text)]


def one_of(email_text: str | None, phone_text: str | None) -> Contact:
    """The one that was given; InvalidRequest when it was none or both."""
    found = given(email_text, phone_text)
    if len(found) != 1:
        raise errors.InvalidRequest("Give either `email` or `phone`.")
    return found[0]


def _bad(detail: str, name: str) -> errors.InvalidRequest:
    return errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": f"/{name}"}])
