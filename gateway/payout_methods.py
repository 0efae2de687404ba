"""`/v1/payout-methods` and `/v1/members/{id}/payout-methods`: where members are paid."""

from __future__ import annotations

import datetime as dt
from typing import Any

import msgspec
from aiohttp import web

from core import errors, payout_methods
from core.payout_methods import Details, Kind
from db import members
from db import payout_methods as stored
from db.payout_methods import Method
from db.pg import Db
from gateway import answers, auditing
from gateway.app import Call, read
from gateway.lookups import moment
from gateway.privacy import OWN, member_of
from web import problem
from web.routing import Route


class ShownMethod(msgspec.Struct, frozen=True, kw_only=True):
    """A way to be paid, without most of its address or number."""

    id: str
    kind: Kind
    account: str
    name: str
    ifsc: str | None
    created_at: dt.datetime


class ComparedMethod(ShownMethod, frozen=True, kw_only=True):
    """As operators see it: with other members who are paid to the same account."""

    same_account: list[str]


class Methods(msgspec.Struct, frozen=True):
    """All of a member."""

    data: list[ShownMethod]


class ComparedMethods(msgspec.Struct, frozen=True):
    """All of a member, as operators see them."""

    data: list[ComparedMethod]


_details: msgspec.json.Decoder[Details] = msgspec.json.Decoder(Details)


async def create(call: Call) -> web.Response:
    """Store a way to be paid; one that leads to the same account is answered again."""
    body = await read(call)
    details = payout_methods.checked(problem.decode(_details, body))
    program_id, member_id = member_of(call)
    app = call.app
    method_id, now = app.new_id("payout_method"), moment(app.now_ms())

    async def work(db: Db) -> ShownMethod:
        method = await stored.add(db, app.ring, program_id, member_id, method_id, details, now)
        if method.id == method_id:
            shown = {"kind": method.kind}
            await auditing.record(call, db, "payout_method.create", method.id, after=shown)
        return ShownMethod(**_shown(method))

    return await answers.once(call, body, work)


async def list_own(call: Call) -> web.Response:
    """The member's ways to be paid."""
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        found = await stored.of_member(db, call.app.ring, program_id, member_id)
    return problem.reply(Methods([ShownMethod(**_shown(one)) for one in found]))


async def list_of_member(call: Call) -> web.Response:
    """A member's ways to be paid, and who else is paid there."""
    program_id, member_id = member_of(call)
    ring = call.app.ring
    async with call.app.connection() as db:
        await members.get(db, ring, program_id, member_id)
        data = [
            ComparedMethod(
                **_shown(one),
                same_account=await stored.others(db, ring, program_id, member_id, one.details),
            )
            for one in await stored.of_member(db, ring, program_id, member_id)
        ]
    return problem.reply(ComparedMethods(data))


async def delete(call: Call) -> web.Response:
    """Forget a way to be paid; withdrawals that were asked for go where they were to go."""
    caller, method_id = call.principal, call.params["method_id"]
    async with call.app.transaction() as db:
        kind = await stored.delete(db, caller.program_id, caller.subject, method_id)
        await auditing.record(call, db, "payout_method.delete", method_id, before={"kind": kind})
    return web.Response(status=204)


def _shown(method: Method) -> dict[str, Any]:
    details = method.details
    return {
        "id": method.id,
        "kind": method.kind,
        "account": payout_methods.masked(details),
        "name": details.name,
        "ifsc": details.ifsc if isinstance(details, payout_methods.Bank) else None,
        "created_at": method.created_at,
    }


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/payout-methods",
        handler=create,
        name="create_payout_method",
        summary="Store where the member is paid: a UPI address or a bank account",
        scope=OWN,
        body=Details,
        reply=ShownMethod,
        status=201,
        errors=(errors.MemberNotFound, errors.TooManyPayoutMethods),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/payout-methods",
        handler=list_own,
        name="list_payout_methods",
        summary="Where the member is paid",
        scope=OWN,
        reply=Methods,
    ),
    Route(
        method="DELETE",
        path="/v1/payout-methods/{method_id}",
        handler=delete,
        name="delete_payout_method",
        summary="Forget where the member is paid",
        scope=OWN,
        status=204,
        errors=(errors.PayoutMethodNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/members/{member_id}/payout-methods",
        handler=list_of_member,
        name="list_member_payout_methods",
        summary="Where a member is paid, and who else is paid there",
        scope="wallet:read",
        reply=ComparedMethods,
        errors=(errors.MemberNotFound,),
    ),
)
