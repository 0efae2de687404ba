"""Time-based codes of authenticator apps (RFC 6238: SHA-1, 6 digits, 30 seconds, which is what the
apps know), and the recovery codes for when the app is gone.

A code is accepted for the step of now and its two neighbors, and no step is accepted twice: who
looks over somebody's shoulder comes too late.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from typing import Final

import pyotp

from core import base32

SECRET_BYTES: Final = 20
STEP_S: Final = 30
WINDOW: Final = 1
# All that is tried with one account, whatever the number of its sign-ins under way: with three
# codes good at a time, somebody who has the password already guesses right in 4 years or so.
WRONG_PER_HOUR: Final = 10

RECOVERY_CODES: Final = 10
RECOVERY_ENTROPY_BYTES: Final = 10
_RECOVERY_LENGTH: Final = 16
_BETWEEN: Final = re.compile(r"[\s-]+")


def new_secret(entropy: bytes) -> str:
    """A secret in base32, from SECRET_BYTES random bytes."""
    if len(entropy) != SECRET_BYTES:
        raise ValueError(f"expected {SECRET_BYTES} bytes of entropy, got {len(entropy)}")
    return base64.b32encode(entropy).decode()


def uri(secret: str, *, account: str, issuer: str) -> str:
    """The `otpauth://` address that apps read from a QR code."""
    return pyotp.TOTP(secret).provisioning_uri(name=account, issuer_name=issuer)


def accepted_step(secret: str, code: str, now_s: int, last_step: int | None) -> int | None:
    """The step that `code` belongs to, None when it is wrong or not later than `last_step`."""
    totp, now, given = pyotp.TOTP(secret), now_s // STEP_S, code.encode()
    steps = range(max(now - WINDOW, 0), now + WINDOW + 1)
    right = [step for step in steps if hmac.compare_digest(totp.generate_otp(step).encode(), given)]
    return max((step for step in right if last_step is None or step > last_step), default=None)


def typed(text: str) -> str:
    """A code as people type it, without the blanks and hyphens that they read in it."""
    return _BETWEEN.sub("", text).lower()


def recovery_code(entropy: bytes) -> str:
    """A recovery code in four groups, from RECOVERY_ENTROPY_BYTES random bytes."""
    if len(entropy) != RECOVERY_ENTROPY_BYTES:
        raise ValueError(f"expected {RECOVERY_ENTROPY_BYTES} bytes of entropy, got {len(entropy)}")
    text = base32.encode(int.from_bytes(entropy, "big"), _RECOVERY_LENGTH)
    return "-".join(text[start : start + 4] for start in range(0, _RECOVERY_LENGTH, 4))


def recovery_digest(subject_id: str, code: str) -> bytes:
    """What is stored of a recovery code, however it was typed. 80 random bits are not guessed, so
    that no key is needed, which could then never be retired.
    """
    return hashlib.sha256(f"recovery code:{subject_id}:{typed(code)}".encode()).digest()
