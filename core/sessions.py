"""Sessions of people: refresh tokens, and how long things last.

A refresh token names its session and carries two secrets. The first stays through all rotations
and proves that a token is of this family, the second changes with each. So a token that was rotated
away is told from a forged one, however old it is: the one ends the session, the other does nothing.

    sgr_ · 26 id of the session · 22 family · 43 secret
"""

from __future__ import annotations

import base64
import hashlib
import re
from typing import Final, NamedTuple

from core import ids
from core.errors import TokenInvalid

FAMILY_BYTES: Final = 16
SECRET_BYTES: Final = 32
REFRESH_ENTROPY_BYTES: Final = FAMILY_BYTES + SECRET_BYTES
#: An admin who has done nothing for so long signs in anew.
ADMIN_IDLE_S: Final = 3600
#: How long an access of an admin to a program lasts at most; its token is one of the session.
BREAK_GLASS_S: Final = 3600

_TOKEN: Final = re.compile(r"sgr_([0-9a-z]{26})([\w-]{22})([\w-]{43})", re.ASCII)


class Refresh(NamedTuple):
    """A refresh token, taken apart."""

    session_id: str
    family: bytes
    secret: bytes

    @property
    def family_hash(self) -> bytes:
        """What is stored of the family."""
        return _hash(self.session_id, self.family)

    @property
    def secret_hash(self) -> bytes:
        """What is stored of the secret."""
        return _hash(self.session_id, self.secret)

    def __repr__(self) -> str:
        return f"Refresh({self.session_id})"


def begin(session_id: str, entropy: bytes) -> Refresh:
    """The first token of a session, from REFRESH_ENTROPY_BYTES random bytes."""
    if len(entropy) != REFRESH_ENTROPY_BYTES:
        raise ValueError(f"expected {REFRESH_ENTROPY_BYTES} bytes, got {len(entropy)}")
    return Refresh(session_id, entropy[:FAMILY_BYTES], entropy[FAMILY_BYTES:])


def follow(refresh: Refresh, entropy: bytes) -> Refresh:
    """The next token of the same session, from SECRET_BYTES random bytes."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"expected {SECRET_BYTES} bytes, got {len(entropy)}")
    return refresh._replace(secret=entropy)


def dump(refresh: Refresh) -> str:
    """The token as the client keeps it."""
    suffix = refresh.session_id.removeprefix(ids.PREFIXES["session"] + "_")
    return f"sgr_{suffix}{_text(refresh.family)}{_text(refresh.secret)}"


def parse(token: str) -> Refresh:
    """The token taken apart; TokenInvalid when it has not the form."""
    match = _TOKEN.fullmatch(token)
    session_id = "" if match is None else f"{ids.PREFIXES['session']}_{match[1]}"
    if match is None or not ids.is_id(session_id, "session"):
        raise TokenInvalid("The refresh token is not one of ours.")
    return Refresh(session_id, _bytes(match[2]), _bytes(match[3]))


def _hash(session_id: str, secret: bytes) -> bytes:
    return hashlib.sha256(session_id.encode() + secret).digest()


def _text(secret: bytes) -> str:
    return base64.urlsafe_b64encode(secret).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
