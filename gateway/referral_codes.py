"""`/v1/referral-codes`: the codes by which members bring others, and what they are good for."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Final

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, referrals
from core.links import Ref
from db import programs, referral_codes
from db import referrals as stored
from db.pg import Db
from db.referral_codes import ReferralCode
from gateway import auditing, lists, signin
from gateway.app import Call, read_as
from gateway.lookups import moment
from gateway.privacy import OWN
from web import problem
from web.routing import Route

READ: Final = f"{OWN} members:read"
WRITE: Final = f"{OWN} members:write"
#: As somebody types it: in any case, with spaces and hyphens.
Typed = Annotated[str, Meta(min_length=1, max_length=32)]


class NewReferralCode(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose code: a member asks for the member's own, everybody else names one."""

    member: Ref | None = None


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which codes are asked for."""

    member_id: Ref | None = None
    code: Typed | None = None


class ShownCode(msgspec.Struct, frozen=True, kw_only=True):
    """A member's code."""

    id: str
    member: str
    code: str
    created_at: dt.datetime


class Invitation(msgspec.Struct, frozen=True, kw_only=True):
    """What a code is good for; whose it is nobody is told. Somebody who joins now and claims it
    gets `referee_minor` for a first purchase within `qualify_days`, if it `is_open`."""

    code: str
    is_open: bool
    currency: str
    referee_minor: int
    referrer_minor: int
    claim_days: int
    qualify_days: int


_new = msgspec.json.Decoder(NewReferralCode)


async def create(call: Call) -> web.Response:
    """Make a member's code, or answer the one there is."""
    wanted = await read_as(call, _new)
    program_id, member_id = call.principal.program_id, named_member(call, wanted.member)
    now = moment(call.app.now_ms())
    async with call.app.transaction() as db:
        code_id = call.app.new_id("referral_code")
        made = await referral_codes.make(db, program_id, member_id, code_id, now)
        if made.is_new:
            after = {"member": member_id}
            await auditing.record(call, db, "referral_code.create", made.code.id, after=after)
    return problem.reply(_shown(made.code), call.route.status)


async def list_all(call: Call) -> web.Response:
    """Codes, the newest first: a member's own, or the program's."""
    search = problem.decode_query(Search, call.query)
    code = None if search.code is None else referrals.spelled(search.code)
    async with call.app.connection() as db:
        found = await referral_codes.page(
            db,
            call.principal.program_id,
            before=search.after("referral_code"),
            limit=search.limit + 1,
            member_id=own(call) or search.member_id,
            code=code,
        )
    return problem.reply(lists.page([_shown(one) for one in found], search.limit))


async def get(call: Call) -> web.Response:
    """What a code is good for, before somebody signs up with it."""
    program_id, code = signin.program_of(call), referrals.spelled(call.params["code"])
    async with call.app.connection() as db:
        return problem.reply(await _invitation(call, db, program_id, code))


async def _invitation(call: Call, db: Db, program_id: str, code: str) -> Invitation:
    now = moment(call.app.now_ms())
    program = await programs.get(db, program_id)
    rules = program.settings.referrals
    owner = await referral_codes.owner(db, program_id, code)
    is_open = rules.is_open(now) and not await stored.is_spent(db, program, owner, now)
    return Invitation(
        code=code,
        is_open=is_open,
        currency=program.currency,
        referee_minor=rules.referee_minor,
        referrer_minor=rules.referrer_minor,
        claim_days=rules.claim_days,
        qualify_days=rules.qualify_days,
    )


def named_member(call: Call, named: str | None) -> str:
    """Whom it is about: the member who asks, or the one that somebody else names; Forbidden for
    another member, InvalidRequest for nobody."""
    caller = call.principal
    if caller.role == "member":
        if named not in {None, caller.subject}:
            raise errors.Forbidden("Members act for themselves.")
        return caller.subject
    if named is None:
        detail = "Name the member."
        raise errors.InvalidRequest(detail, errors=[{"detail": detail, "pointer": "/member"}])
    return named


def own(call: Call) -> str | None:
    """The member who asks; None for whoever sees all."""
    caller = call.principal
    return caller.subject if caller.role == "member" else None


def _shown(one: ReferralCode) -> ShownCode:
    return ShownCode(id=one.id, member=one.member_id, code=one.code, created_at=one.created_at)


PATH: Final = "/v1/referral-codes"

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path=PATH,
        handler=create,
        name="create_referral_code",
        summary="Make the code by which a member brings others, or answer the one there is",
        scope=WRITE,
        body=NewReferralCode,
        reply=ShownCode,
        status=201,
        errors=(errors.MemberNotFound, errors.Forbidden),
        repeats="A member has one code, which is answered again.",
    ),
    Route(
        method="GET",
        path=PATH,
        handler=list_all,
        name="list_referral_codes",
        summary="List referral codes, the newest first: a member's own, or the program's",
        scope=READ,
        query=Search,
        reply=lists.Page[ShownCode],
        errors=(errors.ReferralCodeNotFound,),
    ),
    Route(
        method="GET",
        path=f"{PATH}/{{code}}",
        handler=get,
        name="get_referral_code",
        summary="What a code of the program of the header is good for, before somebody signs up",
        reply=Invitation,
        errors=(*signin.PROGRAM_ERRORS, errors.ReferralCodeNotFound, errors.Unavailable),
    ),
)
