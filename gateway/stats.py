"""`/v1/links/{link_id}/stats`: how often a link was followed."""

from __future__ import annotations

import datetime as dt
from typing import Literal

import msgspec
from aiohttp import web

from core import errors
from db import links, stats
from gateway.app import Call
from web import problem
from web.routing import Route

Group = Literal["day", "class", "device", "country", "variant"]


class Query(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which days, in UTC and both included, and which one of the groupings; absent: all."""

    first: dt.date | None = msgspec.field(default=None, name="from")
    last: dt.date | None = msgspec.field(default=None, name="to")
    group_by: Group | None = None


class LinkStats(msgspec.Struct, frozen=True, kw_only=True):
    """`live` counts since the link was made, null while Redis is away; `settled` is stored."""

    link_id: str
    live: stats.Live | None
    settled: stats.Settled
    as_of: dt.datetime


async def read(call: Call) -> web.Response:
    """The live and the settled numbers of a link."""
    query = problem.decode_query(Query, call.query)
    program_id, link_id = call.principal.program_id, call.params["link_id"]
    first, last = query.first or stats.ALL_DAYS[0], query.last or stats.ALL_DAYS[1]
    async with call.app.transaction() as db:
        await links.get(db, program_id, link_id)
        settled = await stats.settled(db, link_id, first, last)
        as_of = await db.fetchval("SELECT now()")
    if query.group_by is not None:
        settled = _only(settled, query.group_by)
    return problem.reply(
        LinkStats(link_id=link_id, live=await _live(call, link_id), settled=settled, as_of=as_of)
    )


async def _live(call: Call, link_id: str) -> stats.Live | None:
    try:
        return await stats.live(call.app.redis, link_id)
    except (errors.Unavailable, errors.OutcomeUnknown):
        return None


def _only(settled: stats.Settled, group: Group) -> stats.Settled:
    chosen = {f"by_{group}": getattr(settled, f"by_{group}")}
    return stats.Settled(clicks=settled.clicks, human=settled.human, **chosen)


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/links/{link_id}/stats",
        handler=read,
        name="get_link_stats",
        summary="Count a link's clicks, live and settled",
        scope="links:read",
        query=Query,
        reply=LinkStats,
        errors=(errors.LinkNotFound,),
    ),
)
