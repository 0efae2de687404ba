"""One request through the gateway: route, credential, handler, answer."""

from __future__ import annotations

import logging
import time

from aiohttp import web

from core.errors import StampgateError
from gateway import auth
from gateway.app import App, Call
from web import metrics, problem, request_id
from web.routing import Router

log = logging.getLogger(__name__)


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
        matched: list[str] = [metrics.UNMATCHED]
        response: web.StreamResponse
        try:
            response = await self._answer(request, name, matched)
        except Exception as error:  # noqa: BLE001 - `refusal` logs it
            response = refusal(error, name)
        response.headers[request_id.HEADER] = name
        self.requests.add(matched[-1], response.status, time.perf_counter() - started)
        return response

    async def _answer(
        self, request: web.BaseRequest, name: str, matched: list[str]
    ) -> web.StreamResponse:
        route, params = self._router.find(request.method, request.rel_url.raw_path)
        matched.append(route.name)
        caller = auth.authenticate(
            self._app.verifier, request.headers, route.scope, self._app.now_ms() // 1000
        )
        return await route.handler(
            Call(
                request=request,
                route=route,
                params=params,
                app=self._app,
                request_id=name,
                principal=caller,
            )
        )


def refusal(error: BaseException, name: str) -> web.Response:
    """The answer to a refusal, or to a fault of ours, which is logged and answered as a bare 500.

    `name` is the request's id.
    """
    known = error if isinstance(error, StampgateError) else StampgateError()
    if known.status == 500:
        log.error("a request failed", exc_info=error)
    return problem.problem(known, name)
