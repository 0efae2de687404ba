"""The public halves of the token keys as a JSON Web Key Set (RFC 7517, RFC 8037)."""

from __future__ import annotations

import base64

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from core import keyring
from core.keyring import Algorithm, KeyRing, TokenKey


class Key(msgspec.Struct, frozen=True, omit_defaults=True):
    """One key: `x` of Ed25519, `n` and `e` of RSA."""

    kty: str
    use: str
    kid: str
    alg: Algorithm
    crv: str = ""
    x: str = ""
    n: str = ""
    e: str = ""


class KeySet(msgspec.Struct, frozen=True):
    """All keys with which a token may be signed."""

    keys: list[Key]


def key_set(ring: KeyRing) -> KeySet:
    """The ring's keys, the active one first."""
    names = sorted(ring.token, key=lambda kid: (kid != ring.active_token, kid))
    return KeySet([_key(kid, ring.token[kid]) for kid in names])


def _key(kid: str, key: TokenKey) -> Key:
    public = keyring.public_key(key)
    if isinstance(public, Ed25519PublicKey):
        raw = public.public_bytes(Encoding.Raw, PublicFormat.Raw)
        return Key("OKP", "sig", kid, key.alg, crv="Ed25519", x=_text(raw))
    numbers = public.public_numbers()
    return Key("RSA", "sig", kid, key.alg, n=_number(numbers.n), e=_number(numbers.e))


def _number(value: int) -> str:
    return _text(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).rstrip(b"=").decode()
