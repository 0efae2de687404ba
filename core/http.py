"""What we ask other servers and what they answer, without the network in between.

Only `web/outbound.py` sends. Everything else takes a `Send` and can be tested without one.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import TypeAlias

import msgspec


class HttpRequest(msgspec.Struct, frozen=True, kw_only=True):
    """One request to another server; `purpose` is a word for metrics, from a small fixed set.
    `is_http2` is for servers that speak nothing else. Of the answer's body at most
    `answer_bytes_max` bytes are read.
    """

    method: str
    url: str
    purpose: str
    headers: Mapping[str, str] = {}
    body: bytes = b""
    timeout_s: float = 15.0
    is_http2: bool = False
    answer_bytes_max: int = 1 << 20


class HttpResponse(msgspec.Struct, frozen=True):
    """The answer, whatever its status; header names are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


Send: TypeAlias = Callable[[HttpRequest], Awaitable[HttpResponse]]


class OutboundError(Exception):
    """No answer was had from the other server."""


class OutboundRefused(OutboundError):
    """The request goes where ours may not go; it was not sent, and never will be."""


class OutboundFailed(OutboundError):
    """The request was not sent; it may be repeated."""


class OutboundUnknown(OutboundError):
    """The request may have arrived: look up what became of it, or repeat it with its own key."""


class OutboundTooLarge(OutboundUnknown):
    """The answer is longer than may be read; the request has arrived."""
