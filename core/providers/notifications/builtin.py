"""The table of providers of notifications."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from core.errors import BadSetting
from core.providers.notifications import (
    apns,
    fcm,
    kaleyra,
    msg91,
    sendgrid,
    ses,
    twilio,
    webpush,
    wire,
)
from core.providers.notifications.wire import Around
from core.providers.protocols import NotificationChannel


class _Kind(NamedTuple):
    config: type[wire.Config]
    make: Callable[[Any, Around], NotificationChannel]


class Made(NamedTuple):
    """A provider that is set up, and how much it may be asked."""

    provider: NotificationChannel
    rate_per_s: float


TABLE: Final[dict[str, _Kind]] = {
    ses.SLUG: _Kind(ses.Config, ses.Ses),
    sendgrid.SLUG: _Kind(sendgrid.Config, sendgrid.Sendgrid),
    msg91.SLUG: _Kind(msg91.Config, msg91.Msg91),
    twilio.SLUG: _Kind(twilio.Config, twilio.Twilio),
    kaleyra.SLUG: _Kind(kaleyra.Config, kaleyra.Kaleyra),
    fcm.SLUG: _Kind(fcm.Config, fcm.Fcm),
    apns.SLUG: _Kind(apns.Config, apns.Apns),
    webpush.SLUG: _Kind(webpush.Config, webpush.Webpush),
}


def configs(sections: Mapping[str, Any]) -> dict[str, wire.Config]:
    """What is set up, by slug, in the file's order; BadSetting naming the first field that is
    wrong.
    """
    found = {}
    for slug, section in sections.items():
        if slug not in TABLE:
            raise BadSetting(f"notifications.{slug}: there is no such provider")
        try:
            found[slug] = msgspec.convert(section, TABLE[slug].config)
        except msgspec.ValidationError as error:
            raise BadSetting(f"notifications.{slug}: {error}") from None
    return found


def make(sections: Mapping[str, Any], around: Around) -> dict[str, Made]:
    """The providers that are set up, by slug, in the file's order; BadSetting."""
    made = {}
    for slug, config in configs(sections).items():
        try:
            provider = TABLE[slug].make(config, around)
        except ValueError as error:
            raise BadSetting(f"notifications.{slug}: {error}") from None
        made[slug] = Made(provider, config.rate_per_s)
    return made
