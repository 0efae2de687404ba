"""Test clicks: `?_t=…` makes a redirect a dry run, recorded as class `test`, never paid.

The parameter is `key id . expiry . code` in hexadecimal, the expiry in Unix seconds; the code is a
keyed BLAKE2s over slug and expiry under a click key. It holds for one link and for a short time.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from hashlib import blake2s
from typing import Final

PARAMETER: Final = "_t"

_CODE_BYTES: Final = 12


def sign(slug: str, expires_s: int, key_id: int, key: bytes) -> str:
    """The parameter's value for test clicks on `slug` until `expires_s`."""
    return f"{key_id:x}.{expires_s:x}.{_code(slug, expires_s, key)}"


def verify(text: str, slug: str, now_s: float, keys: Mapping[int, bytes]) -> bool:
    """Whether one of our keys signed `text` for `slug` and it has not expired."""
    try:
        key_id, expires_s, code = text.split(".")
        expiry = int(expires_s, 16)
        key = keys[int(key_id, 16)]
    except (ValueError, KeyError):
        return False
    is_ours = hmac.compare_digest(
        _code(slug, expiry, key).encode(), code.encode("utf-8", "replace")
    )
    return is_ours and now_s < expiry


def _code(slug: str, expires_s: int, key: bytes) -> str:
    signed = f"{slug}\0{expires_s}".encode()
    return blake2s(signed, key=key, digest_size=_CODE_BYTES, person=b"testclk").hexdigest()
