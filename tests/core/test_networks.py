"""Accounts at networks: from where postbacks are let in, and with what."""

from __future__ import annotations

import pytest

from core import networks


@pytest.mark.parametrize(
    ("allowed", "address", "expected"),
    [
        ([], "203.0.113.9", True),
        ([], "", True),
        (["203.0.113.0/24"], "203.0.113.9", True),
        (["203.0.113.0/24"], "::ffff:203.0.113.9", True),
        (["203.0.113.0/24"], "::ffff:203.0.114.9", False),
        (["203.0.113.0/24", "2001:db8::/32"], "2001:db8::1", True),
        (["203.0.113.0/24"], "nonsense", False),
    ],
)
def test_addresses_are_let_in_by_their_networks(
    allowed: list[str], address: str, *, expected: bool
) -> None:
    assert networks.admits(allowed, address) is expected


def test_a_token_is_known_by_its_digest_alone() -> None:
    digest = networks.digest("token")
    assert networks.is_token("token", [None, digest])
    for wrong in ("", "token ", digest.hex()):
        assert not networks.is_token(wrong, [digest])
    assert not networks.is_token("token", [None, b""])
