"""The table of providers of payouts."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from core.errors import BadSetting
from core.providers.payouts import cashfree, protocol, razorpayx
from core.providers.payouts.protocol import PayoutProvider


class _Kind(NamedTuple):
    config: type[protocol.Config]
    make: Callable[[Any], PayoutProvider]


TABLE: Final[dict[str, _Kind]] = {
    razorpayx.SLUG: _Kind(razorpayx.Config, razorpayx.RazorpayX),
    cashfree.SLUG: _Kind(cashfree.Config, cashfree.Cashfree),
}


def make(sections: Mapping[str, Any]) -> dict[str, PayoutProvider]:
    """The providers that are set up, by slug; BadSetting naming the first field that is wrong."""
    made = {}
    for slug, section in sections.items():
        kind = TABLE.get(slug)
        if kind is None:
            raise BadSetting(f"payouts.{slug}: there is no such provider")
        try:
            made[slug] = kind.make(msgspec.convert(section, kind.config))
        except msgspec.ValidationError as error:
            raise BadSetting(f"payouts.{slug}: {error}") from None
    return made
