"""Which providers reach people how, and in which order. Adding one is its file in
`core/providers/notifications`, and its lines in the tables there.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeAlias, get_args

from core import mail
from core import smtp as words
from core.errors import BadSetting
from core.providers.notifications import builtin
from core.providers.notifications.builtin import Made, Make
from core.providers.notifications.wire import Around
from core.settings import Settings
from core.templates import Channel
from web import providers
from workers.channels.chain import Chain, Link
from workers.channels.folder import Folder
from workers.channels.ses import Ses
from workers.channels.smtp import Smtp

Channels: TypeAlias = Mapping[Channel, Chain]

# An attempt must end before its task is sent again, with time left to write down what came of it.
TIMEOUT_S_MAX: Final = 35.0
#: What makes providers of the table in `builtin.py`.
MAKERS: Final[Mapping[str, Make]] = {**builtin.MAKERS, Ses.slug: Ses}


def chosen(settings: Settings) -> Channels:
    """The channels of an installation; what nobody was named for lands in a folder. BadSetting."""
    known = _known(settings)
    links = {slug: Link(made.provider, made.rate_per_s) for slug, made in known.items()}

    def chain(channel: Channel) -> Chain:
        order = _order(settings, channel, known)
        is_named = bool(settings.providers_of(channel))
        is_stand_in = order == [Folder.slug] and len(known) > 1 and not is_named
        return Chain([links[slug] for slug in order], is_stand_in=is_stand_in)

    return {channel: chain(channel) for channel in get_args(Channel)}


def _known(settings: Settings) -> dict[str, Made]:
    """All providers that are set up, those of the file first, the folder last."""
    sender = mail.sender(settings.mail_from)
    around = Around(
        sender=sender,
        now_s=lambda: int(time.time()),
        entropy=os.urandom,
        webhooks_url=settings.webhooks_url,
    )
    sections = providers.sections(settings).get("notifications", {})
    known = providers.named(lambda: builtin.make(sections, around, MAKERS))
    if settings.mail_url:
        timeout_s = min(settings.mail_timeout_s, TIMEOUT_S_MAX)
        smtp = Smtp(words.server(settings.mail_url), sender, timeout_s)
        known[smtp.slug] = Made(smtp, 0)
    folder = Folder(Path(settings.outbox_dir), sender)
    return {**known, folder.slug: Made(folder, 0)}


def _order(settings: Settings, channel: Channel, known: Mapping[str, Made]) -> list[str]:
    """Whom the setting names, or all that can do it; the folder only when there is nobody else."""
    able = [slug for slug, made in known.items() if channel in made.provider.channels]
    wanted = settings.providers_of(channel)
    if unable := [slug for slug in wanted if slug not in able]:
        name = f"STAMPGATE_{channel.upper()}_PROVIDERS"
        raise BadSetting(f"{name}: {unable[0]} is not set up for {channel}")
    return list(wanted) or (able[:-1] or able)
