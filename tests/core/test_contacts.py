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


CONFUSABLES = {
    "strasse@example.com": ["stra\u00dfe@example.com", "stra\u017f\u017fe@example.com"],
    "asha@example.com": [
        *("\u0430sha@example.com", "asha@ex\u0430mple.com", "\uff41sha@example.com"),
        *("a\u017fha@example.com", "ash\u00e4@example.com", "\u1d43sha@example.com"),
    ],
    "mira@example.com": ["m\u0131ra@example.com", "M\u0130RA@example.com"],
    "office@example.com": ["o\ufb03ce@example.com"],
}


@pytest.mark.parametrize(
    ("address", "alike"), [(one, other) for one in CONFUSABLES for other in CONFUSABLES[one]]
)
def test_an_address_that_merely_looks_alike_is_another(address: str, alike: str) -> None:
    """Else whoever can read its mail would get at the account of the one that it looks like."""
    assert contacts.email(alike) != contacts.email(address)
    # Both ways of writing one letter are one address: no server tells them apart.
    assert contacts.email("\u212bsa\u212a@example.com") == contacts.email("\u00e5SAK@example.com")


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("u@xn--bcher-kva.example", "u@b\u00fccher.example"),
        ("u@b\u00fccher.example", "u@b\u00fccher.example"),
        ("u@b\u00fccher\u3002example.com", "u@b\u00fccher.example.com"),
        ("u@\uff45xample.com", "u@example.com"),
        ("u@\ufb01sh.example", "u@fish.example"),
    ],
)
def test_a_mailbox_has_one_spelling_however_its_domain_is_written(text: str, address: str) -> None:
    """Who writes it in many ways gets no more codes sent to it than who writes it in one."""
    assert contacts.email(text).address == address


@pytest.mark.parametrize(
    "char", ["\u200b", "\u00ad", "\u202e", "\u2066", "\ufeff", "\u200d", "\ue000", "\x85"]
)
def test_an_address_has_nothing_in_it_that_is_not_seen(char: str) -> None:
    for text in (f"as{char}ha@example.com", f"asha@exam{char}ple.com"):
        with pytest.raises(InvalidRequest):
            contacts.email(text)


@pytest.mark.parametrize(
    "text",
    [
        *("", "asha", "asha@", "@example.com", "asha@example", "a@b..com", "a b@example.com"),
        *("a@example.com\nbcc: x@example.com", "a,b@example.com", "<a@example.com>", "a@b@c.de"),
        *("a..b@example.com", "x" * 65 + "@example.com", "a@" + "b" * 250 + ".com", "a\x00@b.de"),
        *("a@-b.example", "a@b_c.example", "a@xn--a.example"),
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
