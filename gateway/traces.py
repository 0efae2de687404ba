"""`/v1/trace/{id}`: one click from the redirect to the bank's reference, in one answer."""

from __future__ import annotations

import datetime as dt
from typing import Final

import msgspec
from aiohttp import web

from core import clickid, errors, ids
from core.claims import Claim
from core.conversions import Conversion
from db import claims, clicks, conversions, postbacks, traces
from db.clicks import Click
from db.conversions import Wanted
from db.pg import Db
from db.traces import Payment, Posting
from gateway import claims as shown_claims
from gateway.app import Call
from gateway.claims import ShownClaim
from gateway.conversions import ShownConversion, shown
from web import problem
from web.routing import Route

CONVERSIONS_MAX: Final = 50
CALLS_MAX: Final = 200


class Heard(msgspec.Struct, frozen=True):
    """A network's call."""

    id: str
    received_at: dt.datetime
    verdict: str | None
    conversion: str | None


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """The click, what networks said of it, or a claim did, what was booked, and what the member was
    paid since.
    """

    click: Click | None
    conversions: list[ShownConversion]
    postbacks: list[Heard]
    claims: list[ShownClaim]
    postings: list[Posting]
    withdrawals: list[Payment]


async def get(call: Call) -> web.Response:
    """Trace a click, a conversion, a claim, a transaction of money, or a withdrawal."""
    async with call.app.connection() as db, db.transaction(isolation="repeatable_read"):
        return problem.reply(await _trace(call, db, call.params["trace_id"]))


async def _trace(call: Call, db: Db, name: str) -> Trace:
    program_id = call.principal.program_id
    if ids.is_id(name, "transaction"):
        name = await traces.subject_of(db, program_id, name) or ""
    if ids.is_id(name, "withdrawal"):
        found = await traces.payments(db, program_id, withdrawal_id=name)
        if not found:
            raise errors.NotFound
        booked = await traces.postings(db, program_id, [name])
        return Trace(
            click=None, conversions=[], postbacks=[], claims=[], postings=booked, withdrawals=found
        )
    if ids.is_id(name, "claim"):
        claim = await claims.get(db, program_id, name)
        answers = (
            [await conversions.get(db, program_id, claim.conversion_id)]
            if claim.conversion_id
            else []
        )
        return await _of_click(call, db, claim.click_id, answers, [claim])
    if ids.is_id(name, "conversion"):
        one = await conversions.get(db, program_id, name)
        return await _of_click(call, db, one.click_id, [one])
    try:
        text = clickid.verify(name, program_id, call.app.ring.click).text
    except errors.ForgedClickId:
        raise errors.NotFound from None
    several = await conversions.page(
        db, program_id, before="", limit=CONVERSIONS_MAX, wanted=Wanted(click_id=text)
    )
    return await _of_click(call, db, text, several)


async def _of_click(
    call: Call,
    db: Db,
    click_id: str | None,
    found: list[Conversion],
    filed: list[Claim] | None = None,
) -> Trace:
    program_id = call.principal.program_id
    click = None
    if click_id is not None:
        click = await clicks.stored(db, program_id, clickid.decode(click_id))
    if filed is None and click_id is not None:
        wanted = claims.Wanted(click_id=click_id)
        filed = await claims.page(db, program_id, before="", limit=1, wanted=wanted)
    filed = filed or []
    if click is None and not found and not filed:
        raise errors.NotFound
    names = [one.id for one in found]
    heard = await postbacks.of_conversions(db, program_id, names, CALLS_MAX)
    payments: dict[str, Payment] = {}
    for one in found:
        if one.member_id is not None and one.approved_at is not None:
            paid = await traces.payments(
                db, program_id, member_id=one.member_id, since=one.approved_at
            )
            payments |= {payment.id: payment for payment in paid}
    subjects = [*names, *(one.id for one in filed), *payments]
    return Trace(
        click=click,
        conversions=[shown(call, one) for one in found],
        postbacks=[Heard(*one) for one in heard],
        claims=[shown_claims.shown(call, one) for one in filed],
        postings=await traces.postings(db, program_id, subjects),
        withdrawals=list(payments.values()),
    )


ROUTES: tuple[Route, ...] = (
    Route(
        method="GET",
        path="/v1/trace/{trace_id}",
        handler=get,
        name="get_trace",
        summary="All that belongs to a click, a conversion, a claim, a transaction or a withdrawal",
        scope="conversions:read",
        reply=Trace,
        errors=(errors.NotFound, errors.ConversionNotFound, errors.ClaimNotFound),
    ),
)
