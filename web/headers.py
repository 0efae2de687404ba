"""Headers that every answer carries, whoever asks."""

from __future__ import annotations

from typing import Final

from multidict import CIMultiDict

# An answer of an API is data: nothing in it runs, frames it or guesses what it is.
SECURITY: Final = {
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
NO_STORE: Final = "no-store"

#: The same, for an answer that is written as bytes.
LINES: Final = b"".join(
    b"%b: %b\r\n" % (name.encode(), value.encode())
    for name, value in {**SECURITY, "Cache-Control": NO_STORE}.items()
)


def secure(headers: CIMultiDict[str]) -> None:
    """Add what an answer lacks."""
    for name, value in SECURITY.items():
        headers.setdefault(name, value)
    headers.setdefault("Cache-Control", NO_STORE)


def vary(headers: CIMultiDict[str], name: str) -> None:
    """Say that the answer depends on a request's header."""
    known = headers.get("Vary")
    headers["Vary"] = name if known is None else f"{known}, {name}"
