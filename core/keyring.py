"""The key ring: every key of an installation, in one JSON file.

Click keys prove click ids, token keys sign bearer tokens, field keys encrypt stored fields. Each
kind may hold several keys so that old proofs stay valid; one is active and makes the new ones.
All functions are pure: randomness and time are arguments, and a changed ring is a new ring.
"""

from __future__ import annotations

from typing import Annotated, Final, Literal

import msgspec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
    load_pem_private_key,
    load_pem_public_key,
)

from core.errors import BadKeyRing

Kind = Literal["click", "token", "field"]
Algorithm = Literal["EdDSA", "RS256"]

KEY_BYTES: Final = 32
RING_ENTROPY_BYTES: Final = 3 * KEY_BYTES
RSA_BITS_MIN: Final = 2048

ClickKeyId = Annotated[int, msgspec.Meta(ge=0, le=15)]
Key = Annotated[bytes, msgspec.Meta(min_length=KEY_BYTES, max_length=KEY_BYTES)]
KeyName = Annotated[str, msgspec.Meta(pattern=r"^[A-Za-z0-9._-]{1,64}$")]


class TokenKey(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A key pair for tokens; without a private half it only verifies."""

    alg: Algorithm
    public_pem: str
    private_pem: str = ""

    def __repr__(self) -> str:
        return f"TokenKey({self.alg})"


class KeyRing(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The file's content, by key id."""

    version: Literal[1] = 1
    active_click: ClickKeyId
    click: dict[ClickKeyId, Key]
    active_token: KeyName
    token: dict[KeyName, TokenKey]
    active_field: KeyName
    field: dict[KeyName, Key]

    def __repr__(self) -> str:
        """Which keys there are, never the keys."""
        names = f"click={list(self.click)}, token={list(self.token)}, field={list(self.field)}"
        return f"KeyRing({names})"


def generate(now_ms: int, entropy: bytes) -> KeyRing:
    """A ring with one key of each kind from RING_ENTROPY_BYTES random bytes."""
    click, token, field = _split(entropy, 3)
    return KeyRing(
        active_click=0,
        click={0: click},
        active_token=f"token-{now_ms}",
        token={f"token-{now_ms}": _ed25519(token)},
        active_field=f"field-{now_ms}",
        field={f"field-{now_ms}": field},
    )


def rotate(ring: KeyRing, kind: Kind, now_ms: int, entropy: bytes) -> KeyRing:
    """Add a new active key made from KEY_BYTES random bytes; the old ones stay valid."""
    (key,) = _split(entropy, 1)
    name = f"{kind}-{now_ms}"
    if name in ring.token or name in ring.field:
        raise BadKeyRing(f"there is a key {name} already")
    match kind:
        case "click":
            free = [number for number in range(16) if number not in ring.click]
            if not free:
                raise BadKeyRing("all 16 click keys are in use: retire one first")
            return _changed(ring, click=ring.click | {free[0]: key}, active_click=free[0])
        case "token":
            return _changed(ring, token=ring.token | {name: _ed25519(key)}, active_token=name)
        case "field":
            return _changed(ring, field=ring.field | {name: key}, active_field=name)


def retire(ring: KeyRing, kind: Kind, key_id: str) -> KeyRing:
    """Forget a key: what it proved or encrypted is invalid from now on. The active one stays."""
    keys = getattr(ring, kind)
    left = {name: key for name, key in keys.items() if str(name) != key_id}
    if len(left) == len(keys):
        raise BadKeyRing(f"there is no {kind} key {key_id}")
    if str(getattr(ring, f"active_{kind}")) == key_id:
        raise BadKeyRing(f"{kind} key {key_id} is active: rotate first")
    return _changed(ring, **{kind: left})


def parse(content: bytes) -> KeyRing:
    """Read a key ring file, or raise BadKeyRing saying what is wrong with it."""
    try:
        ring = msgspec.json.decode(content, type=KeyRing)
    except msgspec.DecodeError as error:
        raise BadKeyRing(str(error)) from None
    for kind in ("click", "token", "field"):
        active = getattr(ring, f"active_{kind}")
        if active not in getattr(ring, kind):
            raise BadKeyRing(f"the active {kind} key {active} is not in the ring")
    for name, key in ring.token.items():
        try:
            _check_halves(key)
        except BadKeyRing as error:
            raise BadKeyRing(f"token key {name}: {error}") from None
    if not ring.token[ring.active_token].private_pem:
        raise BadKeyRing(f"the active token key {ring.active_token} has no private half")
    return ring


def dump(ring: KeyRing) -> bytes:
    """The file's bytes; `parse` reads them back."""
    return msgspec.json.format(msgspec.json.encode(ring), indent=2) + b"\n"


def public_key(key: TokenKey) -> Ed25519PublicKey | RSAPublicKey:
    """The public half, ready for verifying; BadKeyRing when it does not fit `key.alg`."""
    try:
        public = load_pem_public_key(key.public_pem.encode())
    except ValueError:
        raise BadKeyRing("its public half is not PEM") from None
    if key.alg == "EdDSA" and isinstance(public, Ed25519PublicKey):
        return public
    if key.alg == "RS256" and isinstance(public, RSAPublicKey) and public.key_size >= RSA_BITS_MIN:
        return public
    raise BadKeyRing(f"its public half is not a key for {key.alg}")


def private_key(key: TokenKey) -> Ed25519PrivateKey | RSAPrivateKey:
    """The private half, ready for signing; BadKeyRing when it is not a signing key."""
    try:
        private = load_pem_private_key(key.private_pem.encode(), password=None)
    except (ValueError, TypeError):
        raise BadKeyRing("its private half is not unencrypted PEM") from None
    if isinstance(private, Ed25519PrivateKey | RSAPrivateKey):
        return private
    raise BadKeyRing(f"its private half is not a key for {key.alg}")


def _check_halves(key: TokenKey) -> None:
    public = public_key(key)
    if key.private_pem and private_key(key).public_key() != public:
        raise BadKeyRing("its two halves do not belong together")


def _ed25519(seed: bytes) -> TokenKey:
    private = Ed25519PrivateKey.from_private_bytes(seed)
    private_pem = private.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    public_pem = private.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    return TokenKey("EdDSA", public_pem.decode(), private_pem.decode())


def _split(entropy: bytes, count: int) -> list[bytes]:
    if len(entropy) != count * KEY_BYTES:
        raise ValueError(f"expected {count * KEY_BYTES} bytes of entropy, got {len(entropy)}")
    return [entropy[start : start + KEY_BYTES] for start in range(0, len(entropy), KEY_BYTES)]


def _changed(ring: KeyRing, **changes: object) -> KeyRing:
    return msgspec.structs.replace(ring, **changes)
