"""A folder in place of a provider: what would be sent lands there, for a look and for tests.

A message's file is named after its id, so writing it twice is the same as once.
"""

from __future__ import annotations

import asyncio
import os
from pathlib import Path
from typing import Final

from core import mail
from core.errors import BadAddress
from core.http import Send
from core.mail import Mailbox
from core.providers.protocols import Begin, Deferred, Outcome, Refused, Sent
from core.templates import Channel, Message


class Folder:
    """The channel. Mails become `.eml`, text messages `.txt`, readable to our user alone."""

    slug: Final = "folder"
    channels: Final[tuple[Channel, ...]] = ("email", "sms", "whatsapp", "push")

    def __init__(self, path: Path, sender: Mailbox) -> None:
        self._path = path
        self._sender = sender

    def takes(self, message: Message) -> bool:
        """Any message."""
        del message
        return True

    async def deliver(self, send: Send, message: Message, begin: Begin) -> Outcome:
        """Write the file; see `NotificationChannel`."""
        del send, begin
        try:
            name, content = self._file(message)
        except BadAddress as error:
            return Refused(str(error), "address")
        try:
            await asyncio.to_thread(_write, self._path / name, content)
        except OSError as error:
            return Deferred(f"the folder cannot be written: {error.strerror}")
        return Sent(name)

    def _file(self, message: Message) -> tuple[str, bytes]:
        if message.channel == "email":
            recipient = mail.mailbox(message.address)
            return f"{message.id}.eml", mail.compose(message, self._sender, recipient)
        return f"{message.id}.txt", f"To: {message.address}\n\n{message.text}\n".encode()


def _write(path: Path, content: bytes) -> None:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    fresh = path.with_name(f".{path.name}.{os.getpid()}")
    with open(fresh, "wb", opener=_private) as file:
        file.write(content)
    fresh.replace(path)


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
