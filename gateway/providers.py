"""The providers that the operator's file sets up."""

from __future__ import annotations

from pathlib import Path

from core.errors import BadSetting
from core.providers import file
from core.providers.social import builtin
from core.providers.social.flow import SocialProvider
from core.settings import Settings


def social(settings: Settings) -> dict[str, SocialProvider]:
    """Those to sign in with, by slug; BadSetting, which names the variable."""
    if not settings.providers_file:
        return {}
    path = Path(settings.providers_file)
    try:
        sections = file.parse(path.read_bytes(), is_toml=path.suffix == ".toml")
        return builtin.make(sections.get("social", {}))
    except (BadSetting, OSError) as error:
        raise BadSetting(f"STAMPGATE_PROVIDERS_FILE: {error}") from None
