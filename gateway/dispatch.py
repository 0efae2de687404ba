"""One request through the gateway: route, credential, limit, handler, answer."""

from __future__ import annotations

import logging
import time

from aiohttp import web
from multidict import MultiMapping

from core import languages, limits, messages
from core.errors import Forbidden, RateLimited, StampgateError, Unauthorized
from gateway import auditing, auth, deprecations, origins, unusual
from gateway.app import App, Call
from web import headers, metrics, problem, representations, request_id
from web.routing import Route, Router

log = logging.getLogger(__name__)


class Exchange:
    """What is known of a request on its way: its route, its caller, and where that one stands."""

    __slots__ = ("address", "caller", "name", "request", "route", "standing")

    def __init__(self, request: web.BaseRequest, name: str, address: str) -> None:
        self.request = request
        self.name = name
        self.address = address
        self.route: Route | None = None
        self.caller: auth.Caller | None = None
        self.standing: limits.Standing | None = None


class Dispatch:
    """The handler of the gateway's server; `requests` counts what it answers."""

    def __init__(self, app: App, router: Router) -> None:
        self._app = app
        self._router = router
        self.requests = metrics.Requests("gateway")

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; every refusal is problem+json, every fault of ours a bare 500."""
        started = time.perf_counter()
        name = request_id.assign(request.headers)
        request_id.current.set(name)
        address = self._app.proxies.client(request.headers, request.remote or "")
        exchange = Exchange(request, name, address)
        response: web.StreamResponse
        try:
            response = await self._answer(exchange)
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            response = refusal(error, name, language_of(request.headers))
            if isinstance(error, RateLimited):
                exchange.standing = error.standing or exchange.standing
        if not response.prepared:
            await self._dress(exchange, response)
        route = metrics.UNMATCHED if exchange.route is None else exchange.route.name
        self.requests.add(route, response.status, time.perf_counter() - started)
        return response

    async def _answer(self, exchange: Exchange) -> web.StreamResponse:
        request, app = exchange.request, self._app
        path = request.rel_url.raw_path
        origin = request.headers.get("Origin")
        if request.method == "OPTIONS" and origin and origins.METHOD in request.headers:
            return await origins.preflight(app.origins, origin, self._router.methods(path))
        route, params = self._router.find(request.method, path)
        exchange.route = route
        deprecations.check(route, app.now_ms() // 1000)
        exchange.caller = caller = await self._admitted(exchange, route)
        call = Call(
            request=request,
            route=route,
            params=params,
            app=app,
            request_id=exchange.name,
            principal=caller,
            address=exchange.address,
        )
        await auditing.oversee(call)
        return await route.handler(call)

    async def _admitted(self, exchange: Exchange, route: Route) -> auth.Caller:
        """The caller, who may use this route now; a credential that is no good here counts as none,
        so that whoever tries doors is limited by address.
        """
        app, now_ms = self._app, self._app.now_ms()
        caller, principal = auth.ANYONE, None
        try:
            if route.scope is not None:
                principal = await app.credentials.find(
                    exchange.request.headers, now_ms // 1000, exchange.address
                )
                caller = auth.allow(principal, exchange.request.headers, route.scope)
                networks = app.networks_of_admins
                auth.check_staff(caller, route.scope, exchange.address, networks)
        except (Unauthorized, Forbidden):
            exchange.standing = await app.rates.admit_anonymous(exchange.address)
            raise
        if route.is_limited:
            exchange.standing = await app.rates.admit(caller, exchange.address)
        if principal is not None:
            app.credentials.note(principal, now_ms)
        return caller

    async def _dress(self, exchange: Exchange, response: web.StreamResponse) -> None:
        """Give the answer the headers that all have, and the form that the request asks for."""
        request, route = exchange.request, exchange.route
        named = response.headers
        named[request_id.HEADER] = exchange.name
        if exchange.standing is not None:
            named.update(standing_headers(exchange.standing))
        if route is not None:
            named.update(deprecations.headers(route))
        if isinstance(response, web.Response) and (route is None or not route.is_secret):
            await representations.shape(request, response)
        origin = request.headers.get("Origin")
        if origin is not None or "ETag" in named:
            await origins.mark(self._app.origins, named, origin, _program(exchange))
        headers.secure(named)


def standing_headers(standing: limits.Standing) -> dict[str, str]:
    """Where a caller stands, as headers."""
    return {"RateLimit-Policy": standing.policy.header, "RateLimit": standing.header}


def language_of(named: MultiMapping[str]) -> str:
    """The language in which a caller is told what is wrong."""
    wanted = named.get("Accept-Language")
    return languages.DEFAULT if wanted is None else languages.choose(wanted, messages.LANGUAGES)


def refusal(error: BaseException, name: str, language: str = languages.DEFAULT) -> web.Response:
    """The answer to a refusal, or to a fault of ours, which is logged and answered as a bare 500.

    `name` is the request's id.
    """
    known = error if isinstance(error, StampgateError) else StampgateError()
    if known.status == 500:
        log.error("a request failed", exc_info=error)
    unusual.note(known)
    return problem.problem(known, name, language)


def _program(exchange: Exchange) -> str | None:
    """Whose answer it is: of the program that the credential or the header names."""
    caller = exchange.caller
    if caller is None or not caller.subject:
        return exchange.request.headers.get(auth.PROGRAM_HEADER)
    return caller.named_program or ""
