"""The table of providers to sign in with."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from core.errors import BadSetting
from core.providers.social import facebook, google, spotify
from core.providers.social.flow import SocialProvider


class _Kind(NamedTuple):
    config: type[msgspec.Struct]
    make: Callable[[Any], SocialProvider]


TABLE: Final[dict[str, _Kind]] = {
    google.SLUG: _Kind(google.Config, google.Google),
    spotify.SLUG: _Kind(spotify.Config, spotify.Spotify),
    facebook.SLUG: _Kind(facebook.Config, facebook.Facebook),
}


def make(sections: Mapping[str, Any]) -> dict[str, SocialProvider]:
    """The providers that are set up, by slug; BadSetting naming the first field that is wrong."""
    made = {}
    for slug, section in sections.items():
        kind = TABLE.get(slug)
        if kind is None:
            raise BadSetting(f"social.{slug}: there is no such provider")
        try:
            made[slug] = kind.make(msgspec.convert(section, kind.config))
        except msgspec.ValidationError as error:
            raise BadSetting(f"social.{slug}: {error}") from None
    return made
