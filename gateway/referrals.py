"""`/v1/referrals`: who came by whose code, and what they got for it."""

from __future__ import annotations

import datetime as dt
from typing import Final, Literal

import msgspec
from aiohttp import web

from core import errors
from core.links import Ref
from core.referrals import Reason, Referral, State
from db import members, programs, referral_codes
from db import referrals as stored
from db.pg import Db
from db.referrals import Wanted
from gateway import answers, auditing, lists
from gateway.app import Call, read
from gateway.lookups import moment
from gateway.privacy import OWN, member_of
from gateway.referral_codes import READ, WRITE, Typed, named_member, own
from web import problem
from web.routing import Route


class NewClaim(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code by which somebody came: a member claims for itself, everybody else names one."""

    code: Typed
    member: Ref | None = None


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which referrals are asked for; who is on which side is for those who see all to ask."""

    state: State | None = None
    member_id: Ref | None = None
    referrer_id: Ref | None = None


class ShownReferral(msgspec.Struct, frozen=True, kw_only=True):
    """A referral. Members see their side of it (`side`, and what they get), and neither who is on
    the other side nor why it was refused.
    """

    id: str
    side: Literal["referrer", "referee"] | None
    state: State
    reason: Reason | None
    member: str | None
    referrer: str | None
    conversion: str | None
    currency: str
    referrer_minor: int | None
    referee_minor: int | None
    qualifies_until: dt.datetime
    claimed_at: dt.datetime
    qualified_at: dt.datetime | None
    updated_at: dt.datetime


class Summary(msgspec.Struct, frozen=True, kw_only=True):
    """A member's code, how many came by it, how many of them have qualified, and what the member
    was given for referrals in the program's currency, on both sides."""

    member: str
    code: str | None
    invited: int
    qualified: int
    earned_minor: int
    currency: str
    is_referred: bool


_claim = msgspec.json.Decoder(NewClaim)


async def claim(call: Call) -> web.Response:
    """Note by whose code a member came."""
    body = await read(call)
    wanted = problem.decode(_claim, body)
    member_id = named_member(call, wanted.member)
    program_id, referral_id = call.principal.program_id, call.app.new_id("referral")

    async def work(db: Db) -> ShownReferral:
        return shown(call, await claimed(call, db, program_id, member_id, wanted.code, referral_id))

    return await answers.once(call, body, work)


async def claimed(
    call: Call, db: Db, program_id: str, member_id: str, code: str, referral_id: str
) -> Referral:
    """The referral of a claim that is made in the caller's transaction, with its audit entry."""
    made = await stored.claim(
        db,
        call.app.ring,
        program_id,
        member_id,
        code,
        referral_id=referral_id,
        now=moment(call.app.now_ms()),
    )
    said = {"member": made.member_id, "referrer": made.referrer_id}
    await auditing.record(call, db, "referral.claim", made.id, after=said, program_id=program_id)
    return made


async def list_all(call: Call) -> web.Response:
    """Referrals, the newest first: those of the member who asks, or the program's."""
    search, asking = problem.decode_query(Search, call.query), own(call)
    # A member could guess by them who is on the other side.
    wanted = Wanted(
        member_id=search.member_id if asking is None else None,
        referrer_id=search.referrer_id if asking is None else None,
        of_member=asking,
        state=search.state,
    )
    async with call.app.connection() as db:
        found = await stored.page(
            db,
            call.principal.program_id,
            before=search.after("referral"),
            limit=search.limit + 1,
            wanted=wanted,
        )
    return problem.reply(lists.page([shown(call, one) for one in found], search.limit))


async def summary(call: Call) -> web.Response:
    """What a member has to do with referrals."""
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        if not await members.exists(db, program_id, member_id):
            raise errors.MemberNotFound
        currency = (await programs.get(db, program_id)).currency
        code = await referral_codes.find(db, program_id, member_id)
        counts = await stored.count(db, program_id, member_id, currency)
    return problem.reply(
        Summary(
            member=member_id,
            code=None if code is None else code.code,
            currency=currency,
            **msgspec.structs.asdict(counts),
        )
    )


def shown(call: Call, one: Referral) -> ShownReferral:
    """A referral as the caller may see it."""
    asking = own(call)
    is_referee, is_referrer = asking == one.member_id, asking == one.referrer_id
    sees_all = asking is None
    return ShownReferral(
        id=one.id,
        side=None if sees_all else "referee" if is_referee else "referrer",
        state=one.state,
        reason=one.reason if sees_all else None,
        member=one.member_id if sees_all or is_referee else None,
        referrer=one.referrer_id if sees_all or is_referrer else None,
        conversion=one.conversion_id if sees_all or is_referee else None,
        currency=one.currency,
        referrer_minor=one.referrer_minor if sees_all or is_referrer else None,
        referee_minor=one.referee_minor if sees_all or is_referee else None,
        qualifies_until=one.qualifies_until,
        claimed_at=one.claimed_at,
        qualified_at=one.qualified_at,
        updated_at=one.updated_at,
    )


#: Why a claim is refused.
CLAIMING: Final = (
    *(errors.ReferralCodeNotFound, errors.ReferralsClosed, errors.SelfReferral),
    *(errors.AlreadyReferred, errors.ReferralLoop, errors.ReferralTooLate),
)

ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/referrals/claim",
        handler=claim,
        name="claim_referral",
        summary="Note by whose code a new member came",
        scope=WRITE,
        body=NewClaim,
        reply=ShownReferral,
        status=201,
        errors=(*CLAIMING, errors.MemberNotFound, errors.Forbidden),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/referrals",
        handler=list_all,
        name="list_referrals",
        summary="List referrals, the newest first: those of the member who asks, or the program's",
        scope=READ,
        query=Search,
        reply=lists.Page[ShownReferral],
    ),
    Route(
        method="GET",
        path="/v1/me/referrals",
        handler=summary,
        name="get_my_referrals",
        summary="How many came by the member's code, and what the member got for it",
        scope=OWN,
        reply=Summary,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/members/{member_id}/referrals",
        handler=summary,
        name="get_member_referrals",
        summary="How many came by a member's code, and what the member got for it",
        scope="members:read",
        reply=Summary,
        errors=(errors.MemberNotFound,),
    ),
)
