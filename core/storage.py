"""Where files go that are too large for a row: exports, receipts, images.

The setting is a URL: `file:///folder`, or `s3://bucket/prefix?endpoint=…&region=…` for S3 and
whatever speaks like it; an access key may stand before the bucket (`s3://key:secret@bucket`), or
comes from the environment as everything of AWS does. Files in a folder are fetched with a ticket
that we sign.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final, NamedTuple, Protocol
from urllib.parse import parse_qsl, unquote, urlsplit

from core.errors import BadStorage, BadTicket
from core.keyring import KeyRing

#: The path of the gateway at which tickets for files of a folder are redeemed.
DOWNLOADS: Final = "/v1/downloads"
MAC_BYTES: Final = 16
_KEY: Final = re.compile(r"[a-z0-9_-]+(/[A-Za-z0-9_-]+)*(\.[a-z0-9]+)?")
_OPTIONS: Final = frozenset({"endpoint", "region"})


class Folder(NamedTuple):
    """A folder of this machine."""

    path: Path


class Bucket(NamedTuple):
    """A bucket. Without a key the environment names one; without an endpoint it is AWS."""

    name: str
    prefix: str = ""
    endpoint: str | None = None
    region: str | None = None
    access_key: str | None = None
    secret_key: str | None = None


Place = Folder | Bucket


class Storage(Protocol):
    """Files by key. A key is words with slashes, made by us and never by a caller."""

    async def put(self, key: str, chunks: AsyncIterator[bytes], media_type: str) -> int:
        """Store the chunks under `key`, all or nothing, in the place of what was there; the size
        in bytes. StorageFailed."""
        ...

    async def delete(self, key: str) -> None:
        """Delete what is there, if anything is. StorageFailed."""
        ...

    async def url(self, key: str, *, now_s: int, ttl_s: int) -> str:
        """Where whoever has the URL may fetch the file for `ttl_s` seconds; a path without a host
        for files of a folder, which the gateway serves."""
        ...

    async def close(self) -> None:
        """Hang up."""
        ...


def parse(url: str) -> Place:
    """The place that a URL names, or BadStorage."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, strict_parsing=True)) if parts.query else {}
    except ValueError:
        raise BadStorage("it is not a URL") from None
    if parts.scheme == "file" and not (parts.netloc or parts.query) and parts.path:
        return Folder(Path(unquote(parts.path)))
    if parts.scheme != "s3" or not parts.hostname or not options.keys() <= _OPTIONS:
        raise BadStorage("expected file:///folder or s3://bucket/prefix?endpoint=…&region=…")
    # `hostname` is in lower case, as the names of buckets are.
    return Bucket(
        name=parts.hostname,
        prefix=parts.path.strip("/"),
        endpoint=options.get("endpoint"),
        region=options.get("region"),
        access_key=unquote(parts.username) if parts.username else None,
        secret_key=unquote(parts.password) if parts.password else None,
    )


def check_key(key: str) -> str:
    """The key itself; ValueError for one that could lead out of its folder."""
    if not _KEY.fullmatch(key):
        raise ValueError("a storage key is words with slashes")
    return key


def ticket(ring: KeyRing, key: str, until_s: int) -> str:
    """What proves until Unix second `until_s` that its holder may fetch the file."""
    claim = f"{until_s}:{check_key(key)}".encode()
    proof = _mac(ring.field[ring.active_field], claim)
    return base64.urlsafe_b64encode(proof + claim).rstrip(b"=").decode()


def redeem(ring: KeyRing, text: str, now_s: int) -> str:
    """The key of the file that a ticket is for; BadTicket for a forged or an expired one."""
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), b"-_", validate=True)
    except (UnicodeEncodeError, binascii.Error):
        raise BadTicket("it is not one of ours") from None
    proof, claim = raw[:MAC_BYTES], raw[MAC_BYTES:]
    # All are compared, so that the time taken does not tell which key it was.
    matches = [hmac.compare_digest(proof, _mac(key, claim)) for key in ring.field.values()]
    if not any(matches):
        raise BadTicket("it is not one of ours")
    until_s, _, key = claim.decode().partition(":")
    if int(until_s) <= now_s:
        raise BadTicket("it has expired")
    return key


def _mac(key: bytes, claim: bytes) -> bytes:
    return hashlib.blake2b(claim, key=key, digest_size=MAC_BYTES, person=b"file ticket").digest()
