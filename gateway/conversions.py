"""`/v1/conversions`: what networks reported, whose it is, and what of it is booked."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import conversions, errors
from core.conversions import Conversion, Hints, Parked, State
from core.links import Line
from core.offers import Terms
from db import attributions, networks
from db import conversions as stored
from db.conversions import Wanted
from gateway import auditing, lists
from gateway.app import Call, read_as
from gateway.postbacks import act
from gateway.privacy import OWN
from web import problem
from web.routing import Route

READ: Final = f"{OWN} conversions:read"
Id = Annotated[str, Meta(max_length=64)]


class Reason(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Why; it stands in the ledger."""

    reason: Annotated[Line, Meta(min_length=1)]


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which conversions are asked for."""

    member_id: Id | None = None
    state: State | None = None
    network_id: Id | None = None
    click_id: Id | None = None
    parked: Parked | None = None


class ShownConversion(msgspec.Struct, frozen=True, kw_only=True):
    """A conversion. What networks pay the program, and what somebody has to look at, is told to
    operators only.
    """

    id: str
    network: str
    state: State
    parked: Parked | None
    review: str | None
    order_id: str | None
    sale_minor: int | None
    sale_currency: str | None
    member: str | None
    merchant: str | None
    offer: str | None
    click_id: str | None
    currency: str | None
    cashback_minor: int
    txn_id: str | None
    event: str | None
    status_word: str | None
    commission_minor: int | None
    reported_commission_minor: int | None
    reported_currency: str | None
    rate: str | None
    terms: Terms | None
    version: int
    event_at: dt.datetime | None
    first_seen_at: dt.datetime
    updated_at: dt.datetime
    approved_at: dt.datetime | None
    settled_at: dt.datetime | None
    reversed_at: dt.datetime | None


class Candidate(msgspec.Struct, frozen=True):
    """A click that a conversion may have come from."""

    click_id: str
    clicked_at: dt.datetime
    link: str | None
    member: str | None


class ShownAttribution(msgspec.Struct, frozen=True, kw_only=True):
    """Whose conversion it is, and why. `how` is `none` for nobody's, null while it waits. `hints`
    came with it in place of a click id.
    """

    conversion: str
    how: str | None
    parked: Parked | None
    winner: Candidate | None
    hints: Hints
    candidates: list[Candidate]
    reasons: list[str]


_reason = msgspec.json.Decoder(Reason)


async def list_all(call: Call) -> web.Response:
    """Conversions, the newest first: a member's own, or the program's."""
    search = problem.decode_query(Search, call.query)
    own = _own(call)
    wanted = Wanted(
        member_id=search.member_id if own is None else own,
        state=search.state,
        network_id=search.network_id,
        click_id=search.click_id,
        parked=search.parked,
    )
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.principal.program_id,
            before=search.after("conversion"),
            limit=search.limit + 1,
            wanted=wanted,
        )
    return problem.reply(lists.page([shown(call, one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """One conversion."""
    async with call.app.connection() as db:
        found = await stored.get(db, *_named(call), member_id=_own(call))
    return problem.reply(shown(call, found))


async def attribution(call: Call) -> web.Response:
    """Whose it is, and why."""
    async with call.app.connection() as db:
        found = await stored.get(db, *_named(call))
        network = await networks.get(db, found.program_id, found.network_id)
        clicks = await attributions.candidates(db, call.app.ring, network, found)
    candidates = [
        Candidate(one.click_id, one.clicked_at, one.click.link_id, one.click.member_id)
        for one in clicks
    ]
    is_won = found.attribution not in {"", "none"}
    won = [one for one in candidates if is_won and one.click_id == found.click_id]
    return problem.reply(
        ShownAttribution(
            conversion=found.id,
            how=found.attribution or None,
            parked=found.parked,
            winner=won[0] if won else None,
            hints=found.hints,
            candidates=candidates,
            reasons=found.reasons,
        )
    )


async def reopen(call: Call) -> web.Response:
    """Open a rejected or reversed conversion again; the network's next report decides."""
    return await _step(call, "reopen", conversions.reopened)


async def revalue(call: Call) -> web.Response:
    """Look at an open conversion anew: whose it is, if it is nobody's, and what it is worth now."""
    return await _step(call, "revalue", conversions.renewed)


async def reject(call: Call) -> web.Response:
    """Reject a conversion, or take it back."""
    return await _step(call, "reject", conversions.refused)


async def _step(
    call: Call, step: str, change: Callable[[Conversion, dt.datetime], Conversion]
) -> web.Response:
    wanted = await read_as(call, _reason)
    who = act(call, wanted.reason)
    async with call.app.transaction() as db:
        seen = await stored.get(db, *_named(call))
        # The network first, as whoever takes its reports does.
        network = await networks.lock(db, seen.program_id, seen.network_id)
        before = await stored.lock(db, *_named(call))
        after = change(before, who.at)
        done = await stored.change(db, call.app.ring, network, before, after, who)
        old, new = map(_recorded, (before, done))
        await auditing.record(
            call, db, f"conversion.{step}", done.id, old, new | {"reason": wanted.reason}
        )
    return problem.reply(shown(call, done))


def shown(call: Call, one: Conversion) -> ShownConversion:
    """A conversion as the caller may see it."""
    is_operator = _own(call) is None
    return ShownConversion(
        id=one.id,
        network=one.network_id,
        state=one.state,
        parked=one.parked,
        # Whether somebody looks at it is not for its member to know.
        review=one.review if is_operator else None,
        order_id=one.order_id,
        sale_minor=one.sale_minor,
        sale_currency=one.sale_currency,
        member=one.member_id,
        merchant=one.merchant_id,
        offer=one.offer_id,
        click_id=one.click_id,
        currency=one.booked_currency,
        cashback_minor=one.booked_cashback_minor,
        txn_id=one.txn_id if is_operator else None,
        event=one.event if is_operator else None,
        status_word=one.status_word if is_operator else None,
        commission_minor=one.booked_commission_minor if is_operator else None,
        reported_commission_minor=one.owed_minor if is_operator else None,
        reported_currency=one.currency if is_operator else None,
        rate=one.rate if is_operator else None,
        terms=one.terms if is_operator else None,
        version=one.version,
        event_at=one.event_at,
        first_seen_at=one.first_seen_at,
        updated_at=one.updated_at,
        approved_at=one.approved_at,
        settled_at=one.settled_at,
        reversed_at=one.reversed_at,
    )


def _recorded(one: Conversion) -> dict[str, object]:
    return {
        "state": one.state,
        "member": one.member_id,
        "cashback_minor": one.booked_cashback_minor,
    }


def _named(call: Call) -> tuple[str, str]:
    return call.principal.program_id, call.params["conversion_id"]


def _own(call: Call) -> str | None:
    """The member who asks; None for whoever sees all."""
    caller = call.principal
    return caller.subject if caller.role == "member" else None


PATH: Final = "/v1/conversions/{conversion_id}"
_MISSING: Final = (errors.ConversionNotFound,)
_STEPPED: Final = (errors.ConversionNotFound, errors.ConversionNotOpen)
ONCE: Final = "A step is taken once; a repeat is refused, and changes nothing."

ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/conversions",
        handler=list_all,
        name="list_conversions",
        summary="List conversions, the newest first: a member's own, or the program's",
        scope=READ,
        query=Search,
        reply=lists.Page[ShownConversion],
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get,
        name="get_conversion",
        summary="Read a conversion",
        scope=READ,
        reply=ShownConversion,
        errors=_MISSING,
    ),
    Route(
        method="GET",
        path="/v1/attributions/{conversion_id}",
        handler=attribution,
        name="get_attribution",
        summary="Whose conversion it is, and why",
        scope="conversions:read",
        reply=ShownAttribution,
        errors=_MISSING,
    ),
    Route(
        method="POST",
        path=f"{PATH}/reopen",
        handler=reopen,
        name="reopen_conversion",
        summary="Open a rejected or reversed conversion again",
        scope="conversions:write",
        body=Reason,
        reply=ShownConversion,
        errors=_STEPPED,
        repeats=ONCE,
    ),
    Route(
        method="POST",
        path=f"{PATH}/revalue",
        handler=revalue,
        name="revalue_conversion",
        summary="Look at a conversion anew, under the terms and rates of now",
        scope="conversions:write",
        body=Reason,
        reply=ShownConversion,
        errors=_STEPPED,
        repeats="A repeat finds the same again.",
    ),
    Route(
        method="POST",
        path=f"{PATH}/reject",
        handler=reject,
        name="reject_conversion",
        summary="Reject a conversion, or take it back, with its money",
        scope="conversions:write",
        body=Reason,
        reply=ShownConversion,
        errors=_STEPPED,
        repeats=ONCE,
    ),
)
