"""The redirector's routes: which handler answers which path."""

from __future__ import annotations

import re
import time
from collections.abc import Awaitable
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from core.errors import LinkNotFound, MethodNotAllowed, NotFound, StampgateError, Unavailable
from redirector import premade, preview, qr, redirect, unlock
from redirector.state import FEED_AGE_S_MAX, State
from web import metrics, problem
from web.health import Health

ROBOTS: Final = b"User-agent: *\nDisallow: /\n"
GPC: Final = b'{"gpc":true,"lastUpdate":"2026-01-01"}'

_SLUG: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,63}")
_READ: Final = ("GET", "HEAD")
_Answer = Awaitable[web.StreamResponse]


class App:
    """The handler of a redirector process."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._health = Health({
            "boot": self._has_booted,
            "recording": self._can_record,
            "links": self._hears_of_links,
        })  # fmt: skip

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every refusal is problem+json."""
        started = time.perf_counter()
        route, status = metrics.UNMATCHED, 500
        answer: web.StreamResponse
        try:
            route, pending = self._route(request)
            answer = await pending
            status = answer.status
        except StampgateError as error:
            answer = problem.problem(error)
            status = error.status
        finally:
            self.state.requests.add(route, status, time.perf_counter() - started)
        return answer

    def _route(self, request: web.BaseRequest) -> tuple[str, _Answer]:
        """The route's name and its answer to come; raises NotFound or MethodNotAllowed."""
        target = request.raw_path
        if not target.startswith("/"):
            target = request.rel_url.raw_path_qs
        path, _, query = target.partition("?")
        if path.startswith("/r/"):
            slug, slash, suffix = path[3:].partition("/")
            return self._link(request, slug, slash + suffix, query)
        if path.startswith("/c/"):
            _allow(request, _READ)
            return "click", premade.visit(self.state, request, path[3:], query)
        return self._fixed(request, path)

    def _link(
        self, request: web.BaseRequest, slug: str, suffix: str, query: str
    ) -> tuple[str, _Answer]:
        state = self.state
        if "%" in slug:
            slug = unquote(slug)
        if suffix == "/unlock" and request.method == "POST":
            return "unlock", unlock.unlock(state, request, _checked(slug), query)
        _allow(request, _READ)
        if not suffix:
            if slug.endswith("+"):
                return "preview", preview.preview(state, request, _checked(slug[:-1]), query)
            if slug.endswith(".svg"):
                return "qr", qr.qr(state, _checked(slug[:-4]), "svg", query)
            if slug.endswith(".png"):
                return "qr", qr.qr(state, _checked(slug[:-4]), "png", query)
        return "redirect", redirect.redirect(state, request, _checked(slug), suffix[1:], query)

    def _fixed(self, request: web.BaseRequest, path: str) -> tuple[str, _Answer]:
        match path:
            case "/health/live":
                route, answer = "health", self._health.live
            case "/health/ready":
                route, answer = "health", self._health.ready
            case "/robots.txt":
                route, answer = "fixed", _robots
            case "/.well-known/gpc.json":
                route, answer = "fixed", _gpc
            case _:
                raise NotFound
        _allow(request, _READ)
        return route, answer(request)

    async def _has_booted(self) -> None:
        self.state.recorder  # noqa: B018 - raises until there is one

    async def _can_record(self) -> None:
        if not self.state.redis.is_up and not self.state.spool.is_writable:
            raise Unavailable

    async def _hears_of_links(self) -> None:
        """While Redis is away the links in memory go on."""
        if self.state.redis.is_up and self.state.feed_age_s > FEED_AGE_S_MAX:
            raise Unavailable


def _checked(slug: str) -> str:
    """The slug, or LinkNotFound without asking anybody when it cannot be one."""
    if _SLUG.fullmatch(slug) is None:
        raise LinkNotFound
    return slug


def _allow(request: web.BaseRequest, methods: tuple[str, ...]) -> None:
    if request.method not in methods:
        raise MethodNotAllowed(methods)


async def _robots(_: object) -> web.Response:
    return web.Response(body=ROBOTS, content_type="text/plain")


async def _gpc(_: object) -> web.Response:
    return web.Response(body=GPC, content_type="application/json")
