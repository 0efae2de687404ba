"""The providers that the operator's file sets up."""

from __future__ import annotations

from core.providers.notifications import builtin as notifiers
from core.providers.notifications.wire import Config
from core.providers.social import builtin
from core.providers.social.flow import SocialProvider
from core.settings import Settings
from web import providers


def social(settings: Settings) -> dict[str, SocialProvider]:
    """Those to sign in with, by slug; BadSetting, which names the variable."""
    found = providers.sections(settings).get("social", {})
    return providers.named(lambda: builtin.make(found))


def notifications(settings: Settings) -> dict[str, Config]:
    """How those that send messages, and report on them, are set up; BadSetting as above."""
    found = providers.sections(settings).get("notifications", {})
    return providers.named(lambda: notifiers.configs(found))
