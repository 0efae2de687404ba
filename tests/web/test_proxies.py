"""Whose address a request comes from, and what is believed of it."""

from __future__ import annotations

import ipaddress

import pytest
from multidict import CIMultiDict

from web import proxies

OURS = proxies.Proxies((ipaddress.ip_network("10.0.0.0/8"), ipaddress.ip_network("fd00::/8")))
NONE = proxies.Proxies(())


def forwarded(*values: str) -> CIMultiDict[str]:
    return CIMultiDict([("X-Forwarded-For", value) for value in values])


@pytest.mark.parametrize(
    ("values", "peer", "address"),
    [
        # Nobody in between.
        ([], "203.0.113.9", "203.0.113.9"),
        # The client says who it is: nobody believes it.
        (["198.51.100.7"], "203.0.113.9", "203.0.113.9"),
        (["10.0.0.1"], "203.0.113.9", "203.0.113.9"),
        # A proxy of ours says who its client is.
        (["198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        (["2001:db8::7"], "fd00::1", "2001:db8::7"),
        (["198.51.100.7"], "::ffff:10.0.0.1", "198.51.100.7"),
        # What the client wrote itself stands before that, in the same line or in one of its own.
        (["192.0.2.1, 198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        (["192.0.2.1", "198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        (["10.9.9.9", "198.51.100.7"], "10.0.0.1", "198.51.100.7"),
        # Several proxies of ours.
        (["192.0.2.1, 198.51.100.7, 10.0.0.2"], "10.0.0.1", "198.51.100.7"),
        (["10.0.0.3, 10.0.0.2"], "10.0.0.1", "10.0.0.1"),
        # With a port.
        (["198.51.100.7:4711"], "10.0.0.1", "198.51.100.7"),
        (["[2001:db8::7]:4711"], "10.0.0.1", "2001:db8::7"),
        # No address.
        (["unknown"], "10.0.0.1", "10.0.0.1"),
        ([""], "10.0.0.1", "10.0.0.1"),
        (["198.51.100.7, <script>"], "10.0.0.1", "10.0.0.1"),
        (["1" * 5_000], "10.0.0.1", "10.0.0.1"),
        # A Unix socket has no address.
        (["198.51.100.7"], "", ""),
    ],
)
def test_only_what_our_proxies_wrote_is_believed(
    values: list[str], peer: str, address: str
) -> None:
    assert OURS.client(forwarded(*values), peer) == address


def test_without_proxies_nothing_is_believed() -> None:
    assert NONE.client(forwarded("198.51.100.7"), "10.0.0.1") == "10.0.0.1"
    assert not NONE.is_trusted("10.0.0.1")


def test_a_long_line_is_read_from_its_end() -> None:
    line = ", ".join(["192.0.2.1"] * 1_000 + ["198.51.100.7"] + ["10.0.0.2"] * 3)
    assert OURS.client(forwarded(line), "10.0.0.1") == "198.51.100.7"


@pytest.mark.parametrize(
    ("address", "bucket", "cut"),
    [
        ("198.51.100.7", "198.51.100.7", "198.51.100.0"),
        ("::ffff:198.51.100.7", "198.51.100.7", "198.51.100.0"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::", "2001:db8:1::"),
        ("2001:db8:1:2:ffff::", "2001:db8:1:2::", "2001:db8:1::"),
        ("2001:db8:1:3::", "2001:db8:1:3::", "2001:db8:1::"),
        ("::1", "::", "::"),
        ("", "", None),
    ],
)
def test_who_has_one_address_has_its_network(address: str, bucket: str, cut: str | None) -> None:
    assert proxies.bucket(address) == bucket
    assert proxies.cut(address) == cut
