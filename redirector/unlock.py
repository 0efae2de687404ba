"""Links behind a password: the form, `POST /r/{slug}/unlock`, and the cookie that opens the link.

The cookie holds for one link, one password and a quarter of an hour, and proves itself.
"""

from __future__ import annotations

import asyncio
import hmac
import html
import time
from hashlib import blake2s
from typing import Final
from urllib.parse import parse_qs

import bcrypt
from aiohttp import web

from core import errors
from core.linkrules import Link
from core.links import PASSWORD_BYTES_MAX
from redirector import answers, pages
from redirector.state import State
from web import server

TTL_S: Final = 900
BODY_BYTES_MAX: Final = 4096

_COOKIE: Final = "stampgate_unlock_"
_CODE_BYTES: Final = 16


async def unlock(
    state: State, request: web.BaseRequest, slug: str, query: str
) -> web.StreamResponse:
    """Answer a password: 303 back to the link with a cookie, or the form again with 401."""
    link = state.cache.get(slug) or await state.cache.find(slug)
    if link.has_password:
        visitor = state.eyes.see(request.headers, request.remote or "")
        wait_s = state.attempts.take(visitor.address, time.monotonic())
        if wait_s:
            raise errors.RateLimited("Too many passwords were tried", retry_after_s=wait_s)
        password = _password(await server.read_body(request, BODY_BYTES_MAX))
        if not await asyncio.to_thread(_is_right, password, link.snapshot.password_hash.encode()):
            return form(slug, query, is_wrong=True)
    location = f"/r/{slug}{'?' if query else ''}{query}".encode("ascii", "ignore")
    return answers.Redirect(303, location, "no-referrer", _cookie(state, link))


def is_unlocked(state: State, request: web.BaseRequest, link: Link) -> bool:
    """Whether the request carries a cookie that opens the link."""
    value = request.cookies.get(_COOKIE + link.snapshot.slug, "")
    expiry, _, code = value.partition(".")
    if not expiry.isdecimal() or not expiry.isascii() or int(expiry[:12]) <= time.time():
        return False
    given = code.encode("utf-8", "replace")
    return any(
        hmac.compare_digest(_code(link, expiry, key).encode(), given)
        for key in state.ring.click.values()
    )


def form(slug: str, query: str, *, is_wrong: bool = False) -> web.Response:
    """The page that asks for the password."""
    action = html.escape(f"/r/{slug}/unlock{'?' if query else ''}{query}", quote=True)
    hint = "<p>That was not the password.</p>" if is_wrong else ""
    body = (
        f'{hint}<form method="post" action="{action}"><p><label>Password '
        '<input type="password" name="password" required autofocus></label> '
        "<button>Open</button></p></form>"
    )
    return pages.page("This link has a password", body, status=401)


def _password(body: bytes) -> bytes:
    fields = parse_qs(body.decode("utf-8", "replace"), max_num_fields=10)
    return fields.get("password", [""])[0].encode("utf-8", "replace")


def _is_right(password: bytes, password_hash: bytes) -> bool:
    if not password or len(password) > PASSWORD_BYTES_MAX or b"\0" in password:
        return False
    return bcrypt.checkpw(password, password_hash)


def _cookie(state: State, link: Link) -> str:
    expiry = str(int(time.time()) + TTL_S)
    code = _code(link, expiry, state.ring.click[state.ring.active_click])
    is_secure = "; Secure" if state.public_url.startswith("https:") else ""
    return (
        f"{_COOKIE}{link.snapshot.slug}={expiry}.{code}; Path=/; Max-Age={TTL_S}"
        f"; HttpOnly; SameSite=Lax{is_secure}"
    )


def _code(link: Link, expiry: str, key: bytes) -> str:
    signed = f"{link.snapshot.link_id}\0{link.snapshot.password_hash}\0{expiry}".encode()
    return blake2s(signed, key=key, digest_size=_CODE_BYTES, person=b"unlock").hexdigest()
