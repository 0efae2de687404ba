"""The table of providers of notifications."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias

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

Make: TypeAlias = Callable[[Any, Around], NotificationChannel]


class Made(NamedTuple):
    """A provider that is set up, and how much it may be asked."""

    provider: NotificationChannel
    rate_per_s: float


#: How each is set up.
TABLE: Final[dict[str, type[wire.Config]]] = {
    ses.SLUG: ses.Config,
    sendgrid.SLUG: sendgrid.Config,
    msg91.SLUG: msg91.Config,
    twilio.SLUG: twilio.Config,
    kaleyra.SLUG: kaleyra.Config,
    fcm.SLUG: fcm.Config,
    apns.SLUG: apns.Config,
    webpush.SLUG: webpush.Config,
}
#: What makes those that need no more than a `Send`.
MAKERS: Final[dict[str, Make]] = {
    sendgrid.SLUG: sendgrid.Sendgrid,
    msg91.SLUG: msg91.Msg91,
    twilio.SLUG: twilio.Twilio,
    kaleyra.SLUG: kaleyra.Kaleyra,
    fcm.SLUG: fcm.Fcm,
    apns.SLUG: apns.Apns,
    webpush.SLUG: webpush.Webpush,
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
            found[slug] = msgspec.convert(section, TABLE[slug])
        except msgspec.ValidationError as error:
            raise BadSetting(f"notifications.{slug}: {error}") from None
    return found


def make(
    sections: Mapping[str, Any], around: Around, makers: Mapping[str, Make]
) -> dict[str, Made]:
    """The providers that are set up, by slug, in the file's order; BadSetting. There has to be a
    maker for each of the table.
    """
    made = {}
    for slug, config in configs(sections).items():
        try:
            provider = makers[slug](config, around)
        except ValueError as error:
            raise BadSetting(f"notifications.{slug}: {error}") from None
        made[slug] = Made(provider, config.rate_per_s)
    return made
