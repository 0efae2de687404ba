"""`/v1/kyc` and `/v1/members/{id}/kyc`: who a member is to the tax office, and whether that is so.

A number is shown with its last characters only, to members and operators alike.
"""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Any

import msgspec
from aiohttp import web
from msgspec import Meta

from core import errors, kyc
from core.kyc import Document, State
from core.links import Line
from db import kyc as stored
from db import members
from db.kyc import Kyc
from gateway import auditing
from gateway.app import Call, read_as
from gateway.lookups import moment
from gateway.privacy import OWN, member_of
from web import problem
from web.routing import Route

Reason = Annotated[Line, Meta(min_length=1)]
Version = Annotated[int, Meta(ge=1, le=2**31 - 1)]


class ShownKyc(msgspec.Struct, frozen=True, kw_only=True):
    """What was handed in, without most of its number; all is null while nothing was."""

    state: State
    kind: kyc.Kind | None = None
    number: str | None = None
    country: str | None = None
    name: str | None = None
    version: int | None = None
    reason: str | None = None
    submitted_at: dt.datetime | None = None
    reviewed_at: dt.datetime | None = None


class ReviewedKyc(ShownKyc, frozen=True, kw_only=True):
    """As operators see it: who reviewed it, and other members who handed in the same document."""

    reviewed_by: str | None = None
    same_document: list[str] = []


class KycVerification(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The version that was looked at; it is refused when there is a newer one."""

    version: Version


class KycRejection(KycVerification, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The same, and why; the member is shown the reason."""

    reason: Reason


_document = msgspec.json.Decoder(Document)
_verification = msgspec.json.Decoder(KycVerification)
_rejection = msgspec.json.Decoder(KycRejection)


async def put(call: Call) -> web.Response:
    """Hand a document in, in place of the present one."""
    document = kyc.checked(await read_as(call, _document))
    program_id, member_id = member_of(call)
    now = moment(call.app.now_ms())
    async with call.app.transaction() as db:
        found = await stored.put(db, call.app.ring, program_id, member_id, document, now)
        seen = {"kind": document.kind, "version": found.version}
        await auditing.record(call, db, "kyc.submit", member_id, after=seen)
    return problem.reply(ShownKyc(**_shown(found)))


async def get(call: Call) -> web.Response:
    """What the member handed in."""
    program_id, member_id = member_of(call)
    async with call.app.connection() as db:
        await members.get(db, call.app.ring, program_id, member_id)
        found = await stored.find(db, call.app.ring, program_id, member_id)
    return problem.reply(ShownKyc(**_shown(found)))


async def get_of_member(call: Call) -> web.Response:
    """What a member handed in, and who else did."""
    program_id, member_id = member_of(call)
    ring = call.app.ring
    async with call.app.connection() as db:
        await members.get(db, ring, program_id, member_id)
        found = await stored.find(db, ring, program_id, member_id)
        same = []
        if found is not None:
            same = await stored.others(db, ring, program_id, member_id, found.document)
    return problem.reply(_reviewed(found, same))


async def verify(call: Call) -> web.Response:
    """Say that the document is the member's."""
    wanted = await read_as(call, _verification)
    return await _review(call, "kyc.verify", wanted.version, None)


async def reject(call: Call) -> web.Response:
    """Say that it is not, and why; the member can hand in another one."""
    wanted = await read_as(call, _rejection)
    return await _review(call, "kyc.reject", wanted.version, wanted.reason)


async def _review(call: Call, action: str, version: int, reason: str | None) -> web.Response:
    program_id, member_id = member_of(call)
    ring, by, now = call.app.ring, call.principal.subject, moment(call.app.now_ms())
    async with call.app.transaction() as db:
        before = await stored.lock(db, ring, program_id, member_id)
        _check_version(before, version)
        after = await stored.review(db, ring, program_id, before, reason=reason, by=by, now=now)
        same = await stored.others(db, ring, program_id, member_id, after.document)
        await auditing.record(
            call, db, action, member_id, {"state": before.state},
            {"state": after.state, "reason": reason, "same_document": same},
        )  # fmt: skip
    return problem.reply(_reviewed(after, same))


def _check_version(before: Kyc, version: int) -> None:
    """Conflict when another version is meant than there is."""
    if before.version == version:
        return
    # A review is a version of its own.
    if before.reviewed_at is not None and before.version == version + 1:
        raise errors.Conflict(
            f"This version was reviewed, and is {before.state}; to decide otherwise, name version "
            f"{before.version}."
        )
    raise errors.Conflict(f"The present version is {before.version}: look at it first.")


def _reviewed(found: Kyc | None, same: list[str]) -> ReviewedKyc:
    by = None if found is None else found.reviewed_by
    return ReviewedKyc(**_shown(found), reviewed_by=by, same_document=same)


def _shown(found: Kyc | None) -> dict[str, Any]:
    if found is None:
        return {"state": "missing"}
    document = found.document
    return {
        "state": found.state,
        "kind": document.kind,
        "number": kyc.masked(document.number),
        "country": document.country,
        "name": document.name,
        "version": found.version,
        "reason": found.reason,
        "submitted_at": found.submitted_at,
        "reviewed_at": found.reviewed_at,
    }


PATH = "/v1/members/{member_id}/kyc"

ROUTES: tuple[Route, ...] = (
    Route(
        method="PUT",
        path="/v1/kyc",
        handler=put,
        name="put_my_kyc",
        summary="Hand in a document that says who the member is",
        scope=OWN,
        body=Document,
        reply=ShownKyc,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/kyc",
        handler=get,
        name="get_my_kyc",
        summary="What the member handed in, and what was decided",
        scope=OWN,
        reply=ShownKyc,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="GET",
        path=PATH,
        handler=get_of_member,
        name="get_member_kyc",
        summary="What a member handed in, and who handed in the same",
        scope="wallet:read",
        reply=ReviewedKyc,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="POST",
        path=f"{PATH}/verify",
        handler=verify,
        name="verify_member_kyc",
        summary="Say that the document is the member's",
        scope="withdrawals:write",
        body=KycVerification,
        reply=ReviewedKyc,
        repeats="A version is reviewed once; a repeat is refused, and changes nothing.",
        errors=(errors.KycNotFound, errors.Conflict),
    ),
    Route(
        method="POST",
        path=f"{PATH}/reject",
        handler=reject,
        name="reject_member_kyc",
        summary="Say that the document is not good, and why",
        scope="withdrawals:write",
        body=KycRejection,
        reply=ReviewedKyc,
        repeats="A version is reviewed once; a repeat is refused, and changes nothing.",
        errors=(errors.KycNotFound, errors.Conflict),
    ),
)
