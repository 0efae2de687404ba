"""Passwords: which are good enough, and how they are stored.

Stored is argon2id with the parameters that OWASP names (19 MiB, two passes, one lane). A bcrypt
hash that came with an import is verified too, and replaced when its owner signs in. Hashing takes
tens of milliseconds of a core and must not run on the event loop.
"""

from __future__ import annotations

import unicodedata
from typing import Annotated, Final

import argon2
import bcrypt
import msgspec
from argon2 import exceptions

from core import common_passwords
from core.errors import PasswordTooWeak

LENGTH_MIN: Final = 8
LENGTH_MAX: Final = 128
SALT_BYTES: Final = 16
# bcrypt never looked at more, and what was imported was made that way.
BCRYPT_BYTES: Final = 72

#: Any text that somebody may try; what is good enough to be set is `check`'s business.
Attempt = Annotated[str, msgspec.Meta(min_length=1, max_length=LENGTH_MAX)]
#: A cost beyond 14 would keep a core busy for seconds at each try.
BcryptHash = Annotated[
    str, msgspec.Meta(pattern=r"^\$2[aby]\$(0[4-9]|1[0-4])\$[./A-Za-z0-9]{53}$(?!\n)")
]

_argon2: Final = argon2.PasswordHasher(
    time_cost=2, memory_cost=19_456, parallelism=1, hash_len=32, salt_len=SALT_BYTES
)


def check(password: str, *about: str) -> None:
    """PasswordTooWeak unless it has 8 to 128 characters, is none of the commonest, and is not one
    of the texts that are known of its owner."""
    if not LENGTH_MIN <= len(password) <= LENGTH_MAX:
        raise PasswordTooWeak(f"A password has {LENGTH_MIN} to {LENGTH_MAX} characters.")
    plain = password.casefold()
    if common_passwords.is_common(plain):
        raise PasswordTooWeak("This password is one of the first that anybody tries.")
    known = {text.casefold() for one in about for text in (one, one.partition("@")[0]) if text}
    if plain in known:
        raise PasswordTooWeak("The password may not be the address or the name.")


def hashed(password: str, salt: bytes) -> str:
    """The stored form; `salt` is SALT_BYTES random bytes."""
    return _argon2.hash(_normal(password), salt=salt)


def verify(stored: str, password: str) -> bool:
    """Whether it is the password of this stored form."""
    if is_imported(stored):
        return bcrypt.checkpw(password.encode()[:BCRYPT_BYTES], stored.encode())
    try:
        return _argon2.verify(stored, _normal(password))
    except exceptions.VerifyMismatchError:
        return False


def is_imported(stored: str) -> bool:
    """Whether it is a bcrypt hash."""
    return stored.startswith("$2")


def is_dated(stored: str) -> bool:
    """Whether it should be made anew when the password is at hand."""
    return is_imported(stored) or _argon2.check_needs_rehash(stored)


def _normal(password: str) -> str:
    """Keyboards spell one text in several ways (NIST SP 800-63B §5.1.1.2)."""
    return unicodedata.normalize("NFKC", password)
