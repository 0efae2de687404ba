"""Bearer tokens as a running process checks them: signature, expiry, key ring, revocations.

The ring's file is looked at twice a second, and at once when a token names a key that is not in it.
So a process knows a rotated key as soon as another one signs with it, and nobody is logged out.
"""

from __future__ import annotations

from core import errors, tokens
from core.tokens import Principal
from gateway.revocations import Revocations
from web.keyfile import KeyFile


class Bearers:
    """Verifies tokens as `tokens.Verifier` does, and besides asks the file and the revocations."""

    def __init__(self, ring: KeyFile, revocations: Revocations) -> None:
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
        return has_changed
