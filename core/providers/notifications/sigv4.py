"""AWS Signature Version 4: a request that says who sent it, and cannot be changed on its way.

Only what our calls need: no query, a path of plain segments, the body known beforehand.
"""

from __future__ import annotations

import datetime as dt
import hashlib
import hmac
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from core.http import HttpRequest

ALGORITHM: Final = "AWS4-HMAC-SHA256"


class Key(NamedTuple):
    """Who signs, and for which service of which region."""

    access_key_id: str
    secret_access_key: str
    region: str
    service: str
    session_token: str = ""

    def __repr__(self) -> str:
        """Without the secret."""
        return f"Key({self.access_key_id})"


def signed(request: HttpRequest, key: Key, now_s: int) -> HttpRequest:
    """The request with its signature; all its headers are signed."""
    at = dt.datetime.fromtimestamp(now_s, dt.UTC).strftime("%Y%m%dT%H%M%SZ")
    headers = {**request.headers, "X-Amz-Date": at}
    if key.session_token:
        headers["X-Amz-Security-Token"] = key.session_token
    names, canonical = _canonical(msgspec.structs.replace(request, headers=headers))
    scope = f"{at[:8]}/{key.region}/{key.service}/aws4_request"
    to_sign = f"{ALGORITHM}\n{at}\n{scope}\n{hashlib.sha256(canonical.encode()).hexdigest()}"
    signature = _hmac(_signing_key(key, at[:8]), to_sign).hex()
    headers["Authorization"] = (
        f"{ALGORITHM} Credential={key.access_key_id}/{scope}, "
        f"SignedHeaders={names}, Signature={signature}"
    )
    return msgspec.structs.replace(request, headers=headers)


def _canonical(request: HttpRequest) -> tuple[str, str]:
    """The names of the signed headers, and the request in the one form that is signed."""
    parts = urlsplit(request.url)
    headers = {name.lower(): " ".join(value.split()) for name, value in request.headers.items()}
    headers["host"] = parts.netloc
    names = ";".join(sorted(headers))
    lines = "".join(f"{name}:{headers[name]}\n" for name in sorted(headers))
    digest = hashlib.sha256(request.body).hexdigest()
    head = f"{request.method}\n{parts.path or '/'}\n{parts.query}"
    return names, f"{head}\n{lines}\n{names}\n{digest}"


def _signing_key(key: Key, day: str) -> bytes:
    derived = f"AWS4{key.secret_access_key}".encode()
    for part in (day, key.region, key.service, "aws4_request"):
        derived = _hmac(derived, part)
    return derived


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")
