"""Which channel reaches people how. Adding a provider is its file, and a line here."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TypeAlias

from core import mail
from core import smtp as words
from core.providers.protocols import NotificationChannel
from core.settings import Settings
from core.templates import Channel
from workers.channels.folder import Folder
from workers.channels.smtp import Smtp

Channels: TypeAlias = Mapping[Channel, NotificationChannel]

# An attempt must end before its task is sent again, with time left to write down what came of it.
TIMEOUT_S_MAX = 35.0


def chosen(settings: Settings) -> Channels:
    """The channels of an installation; what nobody was named for lands in a folder."""
    sender = mail.sender(settings.mail_from)
    folder = Folder(Path(settings.outbox_dir), sender)
    if not settings.mail_url:
        return {"email": folder, "sms": folder}
    timeout_s = min(settings.mail_timeout_s, TIMEOUT_S_MAX)
    return {"email": Smtp(words.server(settings.mail_url), sender, timeout_s), "sms": folder}
