"""Tracking links: a network's base and the parameters that it wants."""

from __future__ import annotations

from typing import Final

from core.errors import InvalidDestination
from core.macros import encode
from core.providers.affiliate.protocol import AffiliateNetwork

_MARK: Final = "0stampgateclickid0"


def join(base: str, pairs: list[tuple[str, str]]) -> str:
    """The base with these parameters after its own, all percent-encoded, empty ones left out."""
    query = "&".join(f"{encode(name)}={encode(value)}" for name, value in pairs if value)
    return f"{base}{'&' if '?' in base else '?'}{query}"


def needed(campaign: str, default: str) -> str:
    """The campaign, or the account's own, or InvalidDestination."""
    if not (campaign or default):
        raise InvalidDestination("the network's links need its id of the campaign")
    return campaign or default


def template(network: AffiliateNetwork, destination: str, campaign: str = "") -> str:
    """The link with `{click_id}` where the click id goes, as links store their destinations."""
    return network.link(destination, _MARK, campaign).replace(_MARK, "{click_id}")
