"""Stored fields that name a person: encrypted, and found again by a keyed hash.

`seal` is AES-256-GCM (NIST SP 800-38D) under the ring's active field key. The stored form names its
key, so that old values stay readable after a rotation; `context` (table, column and row) is
authenticated, so that a value moved to another row does not open. `blind` is a keyed BLAKE2b of the
value: equal values have equal hashes, and without the key nothing can be tried out.

    1 version · 1 length of the key's name · the name · 12 nonce · ciphertext and 16 tag
"""

from __future__ import annotations

import hashlib
from typing import Final

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from core.errors import BadField
from core.keyring import KeyRing

NONCE_BYTES: Final = 12
HASH_BYTES: Final = 16
_VERSION: Final = 1


def seal(ring: KeyRing, text: str, context: str, nonce: bytes) -> bytes:
    """The stored form of `text`; `nonce` is NONCE_BYTES random bytes, never used twice."""
    if len(nonce) != NONCE_BYTES:
        raise ValueError(f"expected {NONCE_BYTES} bytes of nonce, got {len(nonce)}")
    sealed = AESGCM(ring.field[ring.active_field]).encrypt(nonce, text.encode(), context.encode())
    return prefix(ring) + nonce + sealed


def prefix(ring: KeyRing) -> bytes:
    """How all stored forms begin that are sealed with the active key, and no others."""
    name = ring.active_field.encode()
    return bytes((_VERSION, len(name))) + name


def is_sealed(stored: bytes) -> bool:
    """Whether this is a stored form, and not text that was stored as it is."""
    return stored[:1] == bytes((_VERSION,))


def unseal(ring: KeyRing, stored: bytes, context: str) -> str:
    """What was sealed for this context; BadField when no key of the ring opens it."""
    name, start = key_name(stored), 2 + stored[1]
    key = ring.field.get(name)
    if key is None:
        raise BadField(f"there is no field key {name}")
    nonce, sealed = stored[start : start + NONCE_BYTES], stored[start + NONCE_BYTES :]
    try:
        return AESGCM(key).decrypt(nonce, sealed, context.encode()).decode()
    except (InvalidTag, ValueError):
        raise BadField("it was changed, or stands in another place") from None


def key_name(stored: bytes) -> str:
    """Which field key a stored form was sealed with; BadField when it has not that form."""
    if len(stored) < 2 or stored[0] != _VERSION or len(stored) < 2 + stored[1] + NONCE_BYTES:
        raise BadField("it is no sealed field")
    try:
        return stored[2 : 2 + stored[1]].decode("ascii")
    except UnicodeDecodeError:
        raise BadField("it is no sealed field") from None


def blind(ring: KeyRing, value: str, context: str) -> bytes:
    """The hash under which a value is stored, of the active key, as `seal` is: whatever is sealed
    anew beside it is hashed anew too. `context` is table and column."""
    return _hash(ring.field[ring.active_field], value, context)


def blinds(ring: KeyRing, value: str, context: str) -> list[bytes]:
    """The hashes under which a value may be found, one a field key, that of the oldest first.

    While a rotation is under way processes store under different keys. The first one is for what
    they have to agree on: locks, and counts that live for minutes.
    """
    return [_hash(ring.field[name], value, context) for name in sorted(ring.field)]


def _hash(key: bytes, value: str, context: str) -> bytes:
    data = context.encode() + b"\0" + value.encode()
    return hashlib.blake2b(data, key=key, digest_size=HASH_BYTES, person=b"blind index").digest()
