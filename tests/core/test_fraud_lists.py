"""Lists of networks and of mail domains, entry by entry."""

from __future__ import annotations

import msgspec
import pytest

from core import disposable, fraud_lists
from core.fraud_lists import BadEntry, Entry, Found, Kind, ListName


def value(kind: Kind, text: str) -> str:
    return fraud_lists.read(kind, Entry(value=text, label="x")).value


@pytest.mark.parametrize(
    ("said", "kept"),
    [
        ("198.51.100.0/24", "198.51.100.0/24"),
        (" 198.51.0.0/16 ", "198.51.0.0/16"),
        # A click keeps no more than the /24 or /48 of its address.
        ("198.51.100.7", "198.51.100.0/24"),
        ("198.51.100.128/25", "198.51.100.0/24"),
        ("2001:db8:1::/48", "2001:db8:1::/48"),
        ("2001:db8:1:2::3", "2001:db8:1::/48"),
        ("10.0.0.0/8", "10.0.0.0/8"),
    ],
)
def test_a_network_stands_for_what_clicks_keep(said: str, kept: str) -> None:
    assert value("networks", said) == kept


@pytest.mark.parametrize(
    "said", ["", "x", "198.51.100.7/24", "198.51.100.256", "0.0.0.0/7", "2000::/15", "1.2.3.0/33"]
)
def test_what_is_no_network_or_most_of_them_is_refused(said: str) -> None:
    with pytest.raises(BadEntry):
        value("networks", said)


def test_a_domain_is_lower_case_and_has_a_dot() -> None:
    assert value("mail_domains", " @Mail.Example ") == "mail.example"
    for said in ("", "example", "a b.example", "asha@mail.example", "mail.example."):
        with pytest.raises(BadEntry):
            value("mail_domains", said)


def test_a_domain_is_within_those_above_it() -> None:
    assert fraud_lists.within("a.b.example") == ["a.b.example", "b.example"]


def test_a_rule_looks_in_the_lists_that_it_names_or_in_all() -> None:
    tor, hosts = Found("tor", ""), Found("hosting", "AS64500")
    assert fraud_lists.named([tor, hosts], None) == [hosts, tor]
    assert fraud_lists.named([tor, hosts], ["tor", "x"]) == [tor]
    assert [str(tor), str(hosts)] == ["tor", "hosting (AS64500)"]


def test_the_built_in_domains_are_spelled_as_entries_are() -> None:
    assert len(disposable.DOMAINS) > 60
    for domain in disposable.DOMAINS:
        assert value("mail_domains", domain) == domain
    assert msgspec.convert(fraud_lists.BUILT_IN, ListName) == "built-in"
