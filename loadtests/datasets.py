"""What the load is made of: who asks for what how often, and the requests as bytes.

Everything random hangs on a seed, so that two runs send the same.
"""

from __future__ import annotations

import itertools
import random
from collections.abc import Iterator, Mapping, Sequence
from typing import Final, TypeVar

import msgspec

Item = TypeVar("Item")

Headers = Mapping[str, str]

SAMPLES: Final = 10_000
AWARD_AMOUNT: Final = 10

SHORT: Final[Headers] = {
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64; rv:128.0) Gecko/20100101 Firefox/128.0",
    "Accept": "*/*",
    "Accept-Language": "en",
}
# What a browser sends with a navigation, about 1 KiB of it with its cookie.
BROWSER: Final[Headers] = {
    "User-Agent": (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
        "Chrome/131.0.0.0 Safari/537.36"
    ),
    "Accept": (
        "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,"
        "image/apng,*/*;q=0.8"
    ),
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "en-US,en;q=0.9,de;q=0.8,hi;q=0.7",
    "Cache-Control": "max-age=0",
    "Cookie": f"session={'0123456789abcdef' * 16}",
    "Referer": "https://news.example.com/articles/the-ten-best-offers-of-the-week?page=2",
    "Sec-Ch-Ua": '"Chromium";v="131", "Not_A Brand";v="24", "Google Chrome";v="131"',
    "Sec-Ch-Ua-Mobile": "?0",
    "Sec-Ch-Ua-Platform": '"Windows"',
    "Sec-Fetch-Dest": "document",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-User": "?1",
    "Upgrade-Insecure-Requests": "1",
}
HEADERS: Final[Mapping[str, Headers]] = {"short": SHORT, "1 KiB": BROWSER}


def zipf(items: Sequence[Item], count: int, *, exponent: float = 1.0, seed: int = 1) -> list[Item]:
    """`count` draws, the n-th item with a weight of 1 / n^exponent."""
    weights = [1 / place**exponent for place in range(1, len(items) + 1)]
    return random.Random(seed).choices(items, weights, k=count)


def redirect_request(slug: str, headers: Headers) -> bytes:
    """A visit of a link."""
    return get_request(f"/r/{slug}", headers)


def award_requests(members: Sequence[str], token: str, run: str) -> Iterator[bytes]:
    """Awards to members by Zipf without end, each under an idempotency key of its own."""
    head = _head("POST", "/v1/awards", api_headers(token))
    bodies = [_with_length(_award(member)) for member in zipf(members, SAMPLES)]
    for number, body in enumerate(itertools.cycle(bodies)):
        yield b"%bIdempotency-Key: %b-%d\r\n%b" % (head, run.encode(), number, body)


def batch_requests(members: Sequence[str], token: str, run: str, size: int) -> Iterator[bytes]:
    """Batches of `size` awards without end."""
    head = _head("POST", "/v1/awards/batch", api_headers(token))
    sample = itertools.cycle(zipf(members, SAMPLES))
    for number in itertools.count():
        items = [
            {**_award(next(sample)), "idempotency_key": f"{run}-{number}-{place}"}
            for place in range(size)
        ]
        yield head + _with_length({"items": items})


def get_request(path: str, headers: Headers) -> bytes:
    """A request without a body."""
    return _head("GET", path, headers) + b"\r\n"


def request(method: str, path: str, headers: Headers, document: object) -> bytes:
    """A request with a JSON body."""
    return _head(method, path, headers) + _with_length(document)


def api_headers(token: str) -> dict[str, str]:
    """What a caller of the API sends with everything."""
    return {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}


def _award(member: str) -> dict[str, object]:
    return {"member": member, "kind": "points", "amount": AWARD_AMOUNT}


def _head(method: str, path: str, headers: Headers) -> bytes:
    lines = [f"{method} {path} HTTP/1.1", "Host: 127.0.0.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return "".join(f"{line}\r\n" for line in lines).encode()


def _with_length(document: object) -> bytes:
    body = msgspec.json.encode(document)
    return b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
