"""One answer in several forms: not sent again to who has it, and smaller for who asks for that.

The entity tag is weak: it names the content, whichever coding it is sent in. Nothing that holds a
secret is tagged or compressed: a tag would be its hash, and the length of a compressed text tells
whoever may write into it what else is in it (BREACH).
"""

from __future__ import annotations

import asyncio
import hashlib
import re
import zlib
from typing import Final, Literal

import brotli
from aiohttp import web

from web.headers import NO_STORE, vary

Coding = Literal["br", "gzip"]

# Below, the head weighs as much as what is saved, and all fits one packet.
COMPRESSED_MIN: Final = 1_400
# What takes longer than the loop should be kept.
OFF_LOOP_MIN: Final = 32_768
BROTLI_QUALITY: Final = 4
GZIP_LEVEL: Final = 5
TYPES: Final = frozenset({
    *("application/json", "application/problem+json", "application/x-ndjson"),
    *("text/csv", "text/plain", "text/html", "image/svg+xml"),
})  # fmt: skip
REVALIDATE: Final = "private, no-cache"
READS: Final = frozenset({"GET", "HEAD"})
ITEMS_MAX: Final = 64

_TAG: Final = re.compile(r'(?:W/)?"([\x21\x23-\x7e]*)"')
_QUALITY: Final = re.compile(r"q=(0(?:\.\d{0,3})?|1(?:\.0{0,3})?)", re.IGNORECASE)
# Those of a representation that a 304 does without.
_OF_CONTENT: Final = ("Content-Type", "Content-Encoding", "Content-Length")


async def shape(request: web.BaseRequest, response: web.Response) -> None:
    """Make the answer a 304, or compress it, if the request asks for that."""
    body = response.body
    if not isinstance(body, bytes) or response.status not in {200, 201}:
        return
    is_read = request.method in READS and response.status == 200
    if is_read and response.headers.get("Cache-Control") != NO_STORE:
        tag = response.headers.setdefault("ETag", tag_of(body))
        response.headers.setdefault("Cache-Control", REVALIDATE)
        if matches(request.headers.getall("If-None-Match", []), tag):
            _leave_out(response)
            return
    is_large = len(body) >= COMPRESSED_MIN
    if is_large and response.content_type in TYPES and "Content-Encoding" not in response.headers:
        vary(response.headers, "Accept-Encoding")
        coding = accepted(request.headers.getall("Accept-Encoding", []))
        if coding is not None:
            response.headers["Content-Encoding"] = coding
            response.body = await _compressed(body, coding)


def tag_of(body: bytes) -> str:
    """The entity tag of a content."""
    return f'W/"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'


def matches(values: list[str], tag: str) -> bool:
    """Whether `If-None-Match` names this tag; weakly, as RFC 9110 §13.1.2 has it."""
    line = ",".join(values)
    if line.strip() == "*":
        return True
    wanted = _TAG.fullmatch(tag)
    return wanted is not None and wanted[1] in _TAG.findall(line)


def accepted(values: list[str]) -> Coding | None:
    """The coding that `Accept-Encoding` likes best of ours; Brotli when it likes them the same."""
    qualities: dict[str, float] = {}
    for item in ",".join(values).lower().split(",", ITEMS_MAX)[:ITEMS_MAX]:
        name, _, parameters = item.partition(";")
        quality = _QUALITY.fullmatch(parameters.strip()) if parameters else None
        if parameters and quality is None:
            continue
        qualities[name.strip()] = 1.0 if quality is None else float(quality[1])
    others = qualities.get("*", 0.0)
    brotli_quality = qualities.get("br", others)
    gzip_quality = qualities.get("gzip", qualities.get("x-gzip", others))
    identity = qualities.get("identity", 0.0)
    best = max(brotli_quality, gzip_quality)
    if best <= 0 or best < identity:
        return None
    return "br" if brotli_quality >= gzip_quality else "gzip"


def _leave_out(response: web.Response) -> None:
    response.set_status(304)
    response.body = None
    for name in _OF_CONTENT:
        response.headers.popall(name, None)


async def _compressed(body: bytes, coding: Coding) -> bytes:
    if len(body) < OFF_LOOP_MIN:
        return _compress(body, coding)
    return await asyncio.to_thread(_compress, body, coding)


def _compress(body: bytes, coding: Coding) -> bytes:
    if coding == "gzip":
        return zlib.compress(body, GZIP_LEVEL, wbits=31)
    made: bytes = brotli.compress(body, mode=brotli.MODE_TEXT, quality=BROTLI_QUALITY)
    return made
