"""API keys of programs: what they look like, and what is kept of them.

`sg_` · 12 characters that may be shown · `_` · 52 characters of secret (256 bits) · 6 of checksum

The visible part finds the key; the rest is never stored, only its SHA-256: a random secret of that
length cannot be guessed, so a slow hash would protect nothing. The checksum tells a mistyped key,
and a text that merely looks like one, without a look into the database.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import zlib
from typing import Final, NamedTuple

from core import base32
from core.errors import ApiKeyInvalid

MARK: Final = "sg_"
VISIBLE_BYTES: Final = 8
SECRET_BYTES: Final = 32
ENTROPY_BYTES: Final = VISIBLE_BYTES + SECRET_BYTES

_VISIBLE: Final = 12
_SECRET: Final = 52
_CHECK: Final = 6
_FORM: Final = re.compile(
    rf"{MARK}[{base32.ALPHABET}]{{{_VISIBLE}}}_[{base32.ALPHABET}]{{{_SECRET + _CHECK}}}"
)


class Parts(NamedTuple):
    """What finds a key, and what proves it."""

    prefix: str
    digest: bytes


def new(entropy: bytes) -> str:
    """A key from ENTROPY_BYTES random bytes; it is shown once."""
    if len(entropy) != ENTROPY_BYTES:
        raise ValueError(f"expected {ENTROPY_BYTES} bytes of entropy, got {len(entropy)}")
    # Each character carries five bits: the visible part takes 60 of its 64.
    visible = base32.encode(int.from_bytes(entropy[:VISIBLE_BYTES]) >> 4, _VISIBLE)
    secret = base32.encode(int.from_bytes(entropy[VISIBLE_BYTES:]), _SECRET)
    stem = f"{MARK}{visible}_{secret}"
    return stem + _checksum(stem)


def parse(text: str) -> Parts:
    """The parts of a key; ApiKeyInvalid for a text that cannot be one."""
    if not _FORM.fullmatch(text):
        raise ApiKeyInvalid
    if not hmac.compare_digest(_checksum(text[:-_CHECK]), text[-_CHECK:]):
        raise ApiKeyInvalid
    digest = hashlib.sha256(text.encode("ascii")).digest()
    return Parts(text[: len(MARK) + _VISIBLE], digest)


def is_same(digest: bytes, stored: bytes) -> bool:
    """Whether two digests are equal, in a time that does not tell how nearly they were."""
    return hmac.compare_digest(digest, stored)


def _checksum(stem: str) -> str:
    return base32.encode(zlib.crc32(stem.encode("ascii")) & 0x3FFFFFFF, _CHECK)
