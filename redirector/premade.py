"""`GET /c/{click_id}`: the visit of a click that the API made beforehand."""

from __future__ import annotations

from aiohttp import web

from core import clickid, clicks, errors
from core.clicks import Premint
from db import keys
from redirector.redirect import Ask, Premade, follow
from redirector.state import State


async def visit(
    state: State, request: web.BaseRequest, text: str, query: str
) -> web.StreamResponse:
    """Answer a visit; raises ClickNotFound for an id that is not one of ours or has expired."""
    try:
        click_id = clickid.decode(text).text
    except errors.BadClickId:
        raise errors.ClickNotFound from None
    premint = await _look_up(state, click_id)
    try:
        clickid.verify(click_id, premint.program_id, state.ring.click)
    except errors.ForgedClickId:
        raise errors.ClickNotFound from None
    link = state.cache.get(premint.slug) or await state.cache.find(premint.slug)
    pairs = (*(premint.parameters or {}).items(), *clicks.query_pairs(query))
    visitor = state.eyes.see(request.headers, request.remote or "")
    return await follow(
        state, Ask(request, link, visitor, "", pairs, Premade(click_id, premint.member_id))
    )


async def _look_up(state: State, click_id: str) -> Premint:
    try:
        packed = await state.redis.call("HGET", keys.premint(click_id), "e")
    except errors.StampgateError as error:
        raise errors.Unavailable("The click cannot be looked up at the moment") from error
    if packed is None:
        raise errors.ClickNotFound
    return clicks.decode_premint(packed)
