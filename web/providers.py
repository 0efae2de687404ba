"""The operator's file that sets up providers, as `core/providers/file.py` takes it apart."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from core.errors import BadSetting
from core.providers import file
from core.providers.file import Sections
from core.providers.payouts import builtin
from core.providers.payouts.protocol import PayoutProvider
from core.settings import Settings

T = TypeVar("T")


def sections(settings: Settings) -> Sections:
    """The sections by kind and slug, none without a file; BadSetting, which names the variable."""
    if not settings.providers_file:
        return {}
    path = Path(settings.providers_file)
    return named(lambda: file.parse(path.read_bytes(), is_toml=path.suffix == ".toml"))


def named(make: Callable[[], T]) -> T:
    """What is made of a section; BadSetting, which names the variable."""
    try:
        return make()
    except (BadSetting, OSError) as error:
        raise BadSetting(f"STAMPGATE_PROVIDERS_FILE: {error}") from None


def payouts(settings: Settings) -> dict[str, PayoutProvider]:
    """Those that pay withdrawals, by slug; BadSetting, which names the variable."""
    found = sections(settings).get("payouts", {})
    return named(lambda: builtin.make(found))
