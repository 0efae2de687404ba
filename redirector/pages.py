"""The few pages that a visitor sees of us: plain HTML without scripts."""

from __future__ import annotations

import html
from typing import Final

from aiohttp import web

_PAGE: Final = """<!doctype html>
<html lang="en"><head><meta charset="utf-8">
<meta name="viewport" content="width=device-width,initial-scale=1">
<title>{title}</title>
<style>body{{font:1rem/1.5 system-ui,sans-serif;max-width:32rem;margin:4rem auto;padding:0 1rem}}
input,button{{font:inherit;padding:.5rem}}</style></head>
<body><h1>{title}</h1>
{body}
</body></html>
"""
# No form-action: browsers apply it to the redirects that follow a form as well.
_HEADERS: Final = {
    "Cache-Control": "private, no-store",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; "
    "base-uri 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Robots-Tag": "noindex",
}


def page(title: str, body: str, status: int = 200) -> web.Response:
    """A page; `title` is text, `body` is HTML."""
    return web.Response(
        text=_PAGE.format(title=html.escape(title), body=body),
        status=status,
        headers=_HEADERS,
        content_type="text/html",
    )
