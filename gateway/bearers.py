"""Bearer tokens as a running process checks them: signature, expiry, key ring, revocations.

The ring's file is looked at twice a second, and at once when a token names a key that is not in it.
So a process knows a rotated key as soon as another one signs with it, and nobody is logged out.
"""

from __future__ import annotations

import logging
import os
from pathlib import Path
from typing import Final

import msgspec

from core import errors, keyring, tokens
from core.keyring import KeyRing
from core.tokens import Principal
from gateway.revocations import Revocations

log: Final = logging.getLogger("stampgate.keyring")


class Ring:
    """The key ring of the process: `current`, and what its file says by now.

    All keys of a changed file are known at once, but only tokens are made with a new one: click ids
    and sealed fields are read by processes that learn of it when they are replaced.
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


class Bearers:
    """Verifies tokens as `tokens.Verifier` does, and besides asks the file and the revocations."""

    def __init__(self, ring: Ring, revocations: Revocations) -> None:
        self._ring = ring
        self._revocations = revocations
        self._verifier = tokens.Verifier(ring.current)

    def verify(self, token: str, now_s: int) -> Principal:
        """Whose token this is; TokenInvalid, TokenExpired, TokenRevoked, Unavailable."""
        try:
            principal = self._verifier.verify(token, now_s)
        except errors.TokenInvalid:
            if self._verifier.has_key_of(token) or not self.look():
                raise
            principal = self._verifier.verify(token, now_s)
        if self._revocations.is_revoked(principal):
            raise errors.TokenRevoked
        return principal

    def look(self) -> bool:
        """Read the ring again if its file has changed; whether it has."""
        has_changed = self._ring.look()
        if has_changed:
            self._verifier.use(self._ring.current)
            log.info("the key ring was read again")
        return has_changed
