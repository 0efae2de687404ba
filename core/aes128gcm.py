"""The encryption of web pushes: RFC 8291, in the content coding of RFC 8188.

salt 16 · record size 4 · length of the key 1 · the sender's public key 65 · one record
"""

from __future__ import annotations

import base64
import binascii
from typing import Annotated, Final

import msgspec
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from msgspec import Meta

from core.errors import BadSubscription

SALT_BYTES: Final = 16
SCALAR_BYTES: Final = 32
POINT_BYTES: Final = 65
AUTH_BYTES: Final = 16
RECORD_BYTES: Final = 4096
#: RFC 8291 §4: what every push service takes.
BYTES_MAX: Final = 4096
# RFC 8188 §2: ends the only record, which is the last.
_LAST: Final = b"\x02"
_ORDER: Final = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551

_Base64 = Annotated[str, Meta(min_length=1, max_length=128, pattern=r"^[A-Za-z0-9_-]+=*$(?!\n)")]


class Keys(msgspec.Struct, frozen=True):
    """What a browser's subscription says about how to encrypt for it."""

    p256dh: _Base64
    auth: _Base64

    def __repr__(self) -> str:
        return "Keys(…)"


def private_key(entropy: bytes) -> ec.EllipticCurvePrivateKey:
    """A key pair from SCALAR_BYTES random bytes, for one message."""
    if len(entropy) != SCALAR_BYTES:
        raise ValueError(f"expected {SCALAR_BYTES} bytes of entropy, got {len(entropy)}")
    return ec.derive_private_key(int.from_bytes(entropy) % (_ORDER - 1) + 1, ec.SECP256R1())


def point(key: ec.EllipticCurvePublicKey) -> bytes:
    """The public key as POINT_BYTES bytes, uncompressed."""
    return key.public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)


def check(keys: Keys) -> None:
    """BadSubscription unless these are keys of a browser."""
    _receiver(keys)


def encrypt(text: bytes, keys: Keys, *, salt: bytes, sender: ec.EllipticCurvePrivateKey) -> bytes:
    """The body of the push; BadSubscription when the keys are none."""
    receiver, auth = _receiver(keys)
    own = point(sender.public_key())
    shared = sender.exchange(ec.ECDH(), receiver)
    key, nonce = _derived(shared, auth, salt, own, point(receiver))
    head = salt + RECORD_BYTES.to_bytes(4) + bytes((POINT_BYTES,)) + own
    return head + AESGCM(key).encrypt(nonce, text + _LAST, None)


def _derived(
    shared: bytes, auth: bytes, salt: bytes, sender: bytes, receiver: bytes
) -> tuple[bytes, bytes]:
    """Key and nonce of the content (RFC 8291 §3.4)."""
    input_key = _hkdf(auth, shared, b"WebPush: info\x00" + receiver + sender, 32)
    key = _hkdf(salt, input_key, b"Content-Encoding: aes128gcm\x00", 16)
    return key, _hkdf(salt, input_key, b"Content-Encoding: nonce\x00", 12)


def _hkdf(salt: bytes, secret: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=hashes.SHA256(), length=length, salt=salt, info=info).derive(secret)


def _receiver(keys: Keys) -> tuple[ec.EllipticCurvePublicKey, bytes]:
    auth = _decoded(keys.auth)
    if len(auth) != AUTH_BYTES:
        raise BadSubscription("`auth` has 16 bytes")
    try:
        encoded = _decoded(keys.p256dh)
        return ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), encoded), auth
    except ValueError:
        raise BadSubscription("`p256dh` is no point of the curve P-256") from None


def _decoded(text: str) -> bytes:
    bare = text.rstrip("=")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except (binascii.Error, ValueError):
        raise BadSubscription("a key is not base64url") from None
