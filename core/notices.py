"""Telling members of their money: by which channels, one after the other.

A notice goes out by the first channel of its order that reaches the member. When it has finally
failed there the next one is tried, each once.

    open → told          a provider has taken it
      │      │
      └──────┴→ unreachable          no channel is left
"""

from __future__ import annotations

from collections.abc import Container
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from core.templates import Channel

#: The templates of notices.
Name = Literal[
    "withdrawal_requested",
    "withdrawal_approved",
    "withdrawal_rejected",
    "withdrawal_paid",
    "withdrawal_reversed",
    "cashback_credited",
    "claim_accepted",
    "claim_sent",
    "claim_rejected",
    "referral_rewarded",
]
State = Literal["open", "told", "unreachable"]
Channels = Annotated[tuple[Channel, ...], Meta(max_length=4)]


class NoticeRules(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """In which order channels are tried to tell a member of something: all notices, and by template
    those that have an order of their own; by no channel nobody is told. Those of `with_consent` are
    for members only who have consented to the purpose of the channel's name.
    """

    channels: Channels = ("push", "whatsapp", "email", "sms")
    channels_of: dict[Name, Channels] = {}
    with_consent: Channels = ("whatsapp",)

    def __post_init__(self) -> None:
        for order in (self.channels, *self.channels_of.values()):
            if len(set(order)) < len(order):
                raise ValueError("a channel stands in an order once")

    def order(self, name: Name) -> Channels:
        """The channels for this template, the first to be tried first."""
        return self.channels_of.get(name, self.channels)


def following(
    order: Channels, tried: Container[str], reaching: Container[Channel]
) -> Channel | None:
    """The channel that is tried next: the first that reaches the member and was not tried."""
    return next((one for one in order if one in reaching and one not in tried), None)
