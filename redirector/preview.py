"""`GET /r/{slug}+`: where a link leads, without following it."""

from __future__ import annotations

import html
from urllib.parse import urlsplit

from aiohttp import web

from redirector import pages, unlock
from redirector.state import State


async def preview(
    state: State, request: web.BaseRequest, slug: str, query: str
) -> web.StreamResponse:
    """The page that names the destination's host; nothing is counted."""
    link = state.cache.get(slug) or await state.cache.find(slug)
    if link.has_password and not unlock.is_unlocked(state, request, link):
        return unlock.form(slug, query)
    beginning = str(link.snapshot.template.parts[0])
    host = html.escape(urlsplit(beginning).netloc)
    body = (
        f"<p>This link leads to <strong>{host}</strong>.</p>"
        f'<p><a rel="nofollow" href="/r/{html.escape(slug, quote=True)}">Go on</a></p>'
    )
    return pages.page(link.snapshot.title or "Where this link leads", body)
