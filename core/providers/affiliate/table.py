"""The table of affiliate networks."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from core.errors import BadSetting
from core.providers.affiliate import (
    admitad,
    awin,
    cj,
    cuelinks,
    generic,
    impact,
    rakuten,
    trackier,
    tune,
)
from core.providers.affiliate.config import Config, Credentials
from core.providers.affiliate.protocol import AffiliateNetwork


class _Kind(NamedTuple):
    config: type[Config]
    credentials: type[Credentials]
    make: Callable[[Any, Any], AffiliateNetwork]


TABLE: Final[dict[str, _Kind]] = {
    admitad.SLUG: _Kind(admitad.Config, admitad.Credentials, admitad.Admitad),
    trackier.SLUG: _Kind(trackier.Config, trackier.Credentials, trackier.Trackier),
    cuelinks.SLUG: _Kind(cuelinks.Config, cuelinks.Credentials, cuelinks.Cuelinks),
    tune.SLUG: _Kind(tune.Config, tune.Credentials, tune.Tune),
    impact.SLUG: _Kind(impact.Config, impact.Credentials, impact.Impact),
    awin.SLUG: _Kind(awin.Config, awin.Credentials, awin.Awin),
    cj.SLUG: _Kind(cj.Config, cj.Credentials, cj.Cj),
    rakuten.SLUG: _Kind(rakuten.Config, rakuten.Credentials, rakuten.Rakuten),
    generic.SLUG: _Kind(generic.Config, generic.Credentials, generic.Generic),
}


def make(
    slug: str, config: Mapping[str, Any], credentials: Mapping[str, Any] | None = None
) -> AffiliateNetwork:
    """The network of an account; BadSetting naming the first field that is wrong, never its value.

    Without credentials it makes links and reads postbacks; a pull ends in AuthRefused, and a
    postback that has to be signed is refused.
    """
    kind = TABLE.get(slug)
    if kind is None:
        raise BadSetting(f"{slug}: there is no such network")
    read = _converted(config, kind.config, "config")
    secrets = None
    if credentials is not None:
        secrets = _converted(credentials, kind.credentials, "credentials")
    return kind.make(read, secrets)


def _converted(values: Mapping[str, Any], kind: type[msgspec.Struct], name: str) -> msgspec.Struct:
    try:
        return msgspec.convert(dict(values), kind)
    except msgspec.ValidationError as error:
        raise BadSetting(f"{name}: {error}") from None
