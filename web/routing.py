"""The route table of an app, and finding a route in it.

The table is data: the router, the OpenAPI document and the tests of roles all read it.
"""

from __future__ import annotations

import datetime as dt
import re
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, NamedTuple, TypeVar
from urllib.parse import unquote

import msgspec
from aiohttp import web
from multidict import MultiMapping

from core.errors import MethodNotAllowed, NotFound, StampgateError
from web.problem import JSON

App = TypeVar("App")
Who = TypeVar("Who")

_PARAMETER: Final = re.compile(r"\{([a-z_]+)}")
_NONE: Final[dict[str, str]] = {}


class Call(msgspec.Struct, Generic[App, Who]):
    """One request on its way through its route."""

    request: web.BaseRequest
    route: Route
    params: dict[str, str]
    app: App
    request_id: str
    principal: Who
    #: The caller's, behind the proxies that are trusted; whole, so it is never logged.
    address: str = ""

    @property
    def query(self) -> MultiMapping[str]:
        """The decoded query parameters."""
        return self.request.query


Handler = Callable[[Call[Any, Any]], Awaitable[web.StreamResponse]]


class Route(msgspec.Struct, frozen=True, kw_only=True):
    """One line of the route table."""

    method: str
    path: str
    handler: Handler
    name: str
    summary: str = ""
    scope: str | None = None
    body: Any = None
    body_type: str = JSON
    query: Any = None
    reply: Any = None
    status: int = 200
    #: Of the same answer about what was there before the request.
    known_status: int | None = None
    errors: tuple[type[StampgateError], ...] = ()
    body_limit: int | None = None
    is_idempotent: bool = False
    is_key_optional: bool = False
    reply_type: str = JSON
    is_limited: bool = True
    #: Its answers hold a secret: they are neither kept, nor tagged, nor compressed.
    is_secret: bool = False
    #: Why an unsafe request without an Idempotency-Key may be sent again.
    repeats: str = ""
    #: RFC 9745 and RFC 8594: since when the route should not be used, and when it ends.
    deprecated_on: dt.date | None = None
    sunset_on: dt.date | None = None

    @property
    def parameters(self) -> list[str]:
        """The names in the path, in order."""
        return _PARAMETER.findall(self.path)


class _Template(NamedTuple):
    pattern: re.Pattern[str]
    names: list[str]
    route: Route


class Router:
    """Finds the route of a method and a raw (still percent-encoded) path."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes: Final = tuple(routes)
        self._exact: dict[str, dict[str, Route]] = defaultdict(dict)
        self._templates: dict[tuple[str, int], list[_Template]] = defaultdict(list)
        seen: set[tuple[str, str]] = set()
        for route in self.routes:
            shape = (route.method, _PARAMETER.sub("{}", route.path))
            if shape in seen:
                raise ValueError(f"{route.method} {route.path} stands twice in the route table")
            seen.add(shape)
            self._add(route)
        self._methods: Final = sorted({route.method for route in self.routes})

    def find(self, method: str, path: str) -> tuple[Route, dict[str, str]]:
        """The route and the decoded path parameters; raises NotFound or MethodNotAllowed."""
        found = self._find(method, path)
        if found is None and method == "HEAD":
            found = self._find("GET", path)
        if found is None:
            raise self._missing(path)
        return found

    def _add(self, route: Route) -> None:
        if not route.parameters:
            self._exact[route.method][route.path] = route
            return
        literals = [re.escape(part) for part in _PARAMETER.split(route.path)[::2]]
        pattern = re.compile("([^/]+)".join(literals))
        template = _Template(pattern, route.parameters, route)
        self._templates[route.method, route.path.count("/")].append(template)

    def _find(self, method: str, path: str) -> tuple[Route, dict[str, str]] | None:
        exact = self._exact.get(method)
        if exact is not None and (route := exact.get(path)) is not None:
            return route, _NONE
        for pattern, names, route in self._templates.get((method, path.count("/")), ()):
            match = pattern.fullmatch(path)
            if match is not None:
                return route, dict(zip(names, map(_decoded, match.groups()), strict=True))
        return None

    def methods(self, path: str) -> list[str]:
        """The methods that a path takes; raises NotFound when there are none."""
        allow = [method for method in self._methods if self._find(method, path) is not None]
        if not allow:
            raise NotFound
        return [*allow, "HEAD"] if "GET" in allow else allow

    def _missing(self, path: str) -> StampgateError:
        try:
            return MethodNotAllowed(self.methods(path))
        except NotFound as error:
            return error


def _decoded(text: str) -> str:
    """Nothing is stored under a name that is not UTF-8 or has U+0000 in it."""
    if "%" not in text:
        return text
    try:
        decoded = unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise NotFound from None
    if "\x00" in decoded:
        raise NotFound
    return decoded
