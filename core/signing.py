"""Standard Webhooks signatures: HMAC-SHA256 over `id.timestamp.body`.

Source: the specification at github.com/standard-webhooks/standard-webhooks. A secret is `whsec_`
and the base64 of 24 to 64 bytes. While a secret is rotated, a message carries one signature per
secret, so the receiver may switch at any moment.
"""

from __future__ import annotations

import base64
import binascii
import hmac
from collections.abc import Mapping, Sequence
from typing import Final

from core.errors import BadSignature

ID_HEADER: Final = "webhook-id"
TIMESTAMP_HEADER: Final = "webhook-timestamp"
SIGNATURE_HEADER: Final = "webhook-signature"

SECRET_PREFIX: Final = "whsec_"  # noqa: S105 - the public prefix of every secret
SECRET_BYTES: Final = 32
TOLERANCE_S: Final = 300


def new_secret(entropy: bytes) -> str:
    """A secret from SECRET_BYTES random bytes."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"expected {SECRET_BYTES} bytes of entropy, got {len(entropy)}")
    return SECRET_PREFIX + base64.b64encode(entropy).decode()


def sign(secrets: Sequence[str], message_id: str, timestamp_s: int, body: bytes) -> dict[str, str]:
    """The headers that prove a message, with one signature per secret, the newest first."""
    content = _content(message_id, str(timestamp_s), body)
    return {
        ID_HEADER: message_id,
        TIMESTAMP_HEADER: str(timestamp_s),
        SIGNATURE_HEADER: " ".join(_signature(secret, content) for secret in secrets),
    }


def verify(
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now_s: int,
    tolerance_s: int = TOLERANCE_S,
) -> None:
    """Raise BadSignature unless one of the secrets signed the message within the tolerance.

    `headers` must find names in lower case.
    """
    try:
        message_id, timestamp = headers[ID_HEADER], headers[TIMESTAMP_HEADER]
        signatures = headers[SIGNATURE_HEADER].encode().split()
        content = _content(message_id, timestamp, body)
        age_s = now_s - int(timestamp)
    except (KeyError, ValueError):
        raise BadSignature("a webhook header is missing or malformed") from None
    if abs(age_s) > tolerance_s:
        raise BadSignature("the timestamp is too far from now")
    wanted = [_signature(secret, content).encode() for secret in secrets]
    # Every pair is compared, so that the time taken does not tell which secret came close.
    matches = [hmac.compare_digest(given, own) for given in signatures for own in wanted]
    if not any(matches):
        raise BadSignature("no signature matches")


def _content(message_id: str, timestamp: str, body: bytes) -> bytes:
    return f"{message_id}.{timestamp}.".encode() + body


def _signature(secret: str, content: bytes) -> str:
    try:
        key = base64.b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        raise BadSignature("the secret is not base64") from None
    return "v1," + base64.b64encode(hmac.digest(key, content, "sha256")).decode()
