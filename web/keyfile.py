"""The key ring as a running process knows it, and follows its file."""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from core import errors, keyring
from core.keyring import KeyRing

log: Final = logging.getLogger("stampgate.keyring")


class KeyFile:
    """The key ring of the process: `current`, and what its file says by now.

    All keys of a changed file are known at once, but only tokens are made with a new one: click ids
    and sealed fields are read by processes, on other hosts too, that may not have the file yet. So
    the process goes on making those with the key that it began with, until it is replaced.
    """

    def __init__(self, path: Path) -> None:
        """Read it; BadKeyRing, OSError."""
        self._path = path
        self._seen = self._stamp()
        self.current = keyring.parse(path.read_bytes())

    def look(self) -> bool:
        """Read the file if it has changed; whether the ring is another one now.

        A ring that cannot be read changes nothing.
        """
        try:
            seen = self._stamp()
            if seen == self._seen:
                return False
            self._seen = seen
            self.current = _prudent(keyring.parse(self._path.read_bytes()), self.current)
        except (OSError, errors.BadKeyRing) as error:
            log.warning("the changed key ring cannot be read: %s", type(error).__name__)
            return False
        log.info("the key ring was read again")
        return True

    def _stamp(self) -> tuple[int, int, int]:
        found = os.stat(self._path)  # noqa: PTH116 - twice as fast as Path.stat
        return found.st_ino, found.st_size, found.st_mtime_ns


def _prudent(changed: KeyRing, before: KeyRing) -> KeyRing:
    click, field = before.active_click, before.active_field
    return msgspec.structs.replace(
        changed,
        active_click=click if click in changed.click else changed.active_click,
        active_field=field if field in changed.field else changed.active_field,
    )
