"""Contacts have one spelling each."""

from __future__ import annotations

import pytest

from core import contacts
from core.errors import InvalidRequest


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("Asha@Example.COM", "asha@example.com"),
        ("  a.b+c@mail.example.co.in ", "a.b+c@mail.example.co.in"),
        ("o'neil@example.com", "o'neil@example.com"),
        ("STRASSE@example.com", "strasse@example.com"),
        ("caf\u0065\u0301@example.com", "caf\u00e9@example.com"),
    ],
)
def test_a_mail_address_is_compared_without_regard_to_case(text: str, address: str) -> None:
    assert contacts.email(text) == ("email", address)


@pytest.mark.parametrize(
    "text",
    [
        *("", "asha", "asha@", "@example.com", "asha@example", "a@b..com", "a b@example.com"),
        *("a@example.com\nbcc: x@example.com", "a,b@example.com", "<a@example.com>", "a@b@c.de"),
        *("a..b@example.com", "x" * 65 + "@example.com", "a@" + "b" * 250 + ".com", "a\x00@b.de"),
    ],
)
def test_what_can_be_no_mail_address_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        contacts.email(text)


@pytest.mark.parametrize("text", ["+91 98123 45678", "+91-9812345678", " +919812345678 "])
def test_a_phone_number_is_e164(text: str) -> None:
    assert contacts.phone(text) == ("phone", "+919812345678")


@pytest.mark.parametrize("text", ["", "9812345678", "+91", "+999 1234567", "call me", "+4930" * 9])
def test_what_can_be_no_phone_number_is_refused(text: str) -> None:
    with pytest.raises(InvalidRequest):
        contacts.phone(text)


def test_one_contact_is_given_or_none_is_taken() -> None:
    assert contacts.one_of("a@example.com", None).channel == "email"
    assert contacts.one_of(None, "+4930123456").channel == "phone"
    for both in ((None, None), ("a@example.com", "+4930123456")):
        with pytest.raises(InvalidRequest):
            contacts.one_of(*both)
