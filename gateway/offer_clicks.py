"""`/v1/offers/{offer_id}/click`: a click on an offer, made beforehand for a member."""

from __future__ import annotations

import datetime as dt
from typing import Annotated

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors
from core.links import Ref
from db import links, members
from db import offers as stored
from gateway import clicks
from gateway.app import Call, read_as
from web import problem
from web.routing import Route


class NewOfferClick(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """For whom: a member clicks for itself, everybody else names one. `parameters` as of clicks."""

    member: Ref | None = None
    parameters: Annotated[dict[str, clicks.Value], Meta(max_length=32)] = {}


class OfferClick(msgspec.Struct, frozen=True, kw_only=True):
    """The click's id, the address that leads to the shop for as long as it waits, and the code."""

    click_id: str
    redirect_url: str
    coupon_code: str | None
    expires_at: dt.datetime


_new = msgspec.json.Decoder(NewOfferClick)


async def create(call: Call) -> web.Response:
    """Make a click on an offer that is active."""
    new = await read_as(call, _new)
    clicks.check_parameters(new.parameters)
    app, program_id = call.app, call.principal.program_id
    async with app.connection() as db:
        offer = await stored.get(db, program_id, call.params["offer_id"])
        member_id = _member(call, new.member)
        if not await members.exists(db, program_id, member_id):
            raise errors.MemberNotFound
        link = await links.get(db, program_id, offer.link_id)
    if not offer.is_active(app.now_ms()):
        raise errors.OfferNotActive
    made = await clicks.make(app, link, member_id, new.parameters)
    click = OfferClick(
        click_id=made.click_id,
        redirect_url=made.url,
        coupon_code=offer.config.coupon_code,
        expires_at=made.expires_at,
    )
    return problem.reply(click, call.route.status)


def _member(call: Call, named: str | None) -> str:
    """Whose click it is; Forbidden for another member's, InvalidRequest for nobody's."""
    caller = call.principal
    if caller.role == "member":
        if named not in {None, caller.subject}:
            raise errors.Forbidden("Members click for themselves.")
        return caller.subject
    if named is None:
        detail = "Name the member whose click it is."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/member"}])
    return named


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/offers/{offer_id}/click",
        handler=create,
        name="click_offer",
        summary="Make a click on an offer for a member",
        scope="me clicks:write",
        body=NewOfferClick,
        reply=OfferClick,
        status=201,
        errors=(
            *(errors.OfferNotFound, errors.MemberNotFound, errors.OfferNotActive),
            errors.Forbidden,
        ),
        repeats="A click that nobody visits counts nowhere.",
    ),
)
