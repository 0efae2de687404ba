"""`/v1/dashboard/metrics`: how the program is doing, for its operators."""

from __future__ import annotations

import msgspec
from aiohttp import web

from core import errors
from db.dashboards import Metrics
from gateway.app import Call
from web import problem
from web.routing import Route


async def read(call: Call) -> web.Response:
    """The program's numbers, at most half a minute old."""
    app = call.app
    return problem.reply(msgspec.Raw(await app.figures.of(call.principal.program_id, app.now_ms())))


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/dashboard/metrics",
        handler=read,
        name="get_dashboard_metrics",
        summary="Members, awards, clicks and budgets of the last 30 days, at most 30 s old",
        scope="awards:read",
        reply=Metrics,
        errors=(errors.ProgramNotFound,),
    ),
)
