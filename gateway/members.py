"""`/v1/members`: who collects points and stamps."""

from __future__ import annotations

import logging

import msgspec
from aiohttp import web

from core import contacts as contacts_
from core import errors
from core.contacts import Channel, Email, Phone
from core.links import Ref
from db import contacts, credentials, identities, members, sessions
from db.members import Member, NewMember
from db.pg import Db
from gateway import answers, auditing, bulk, enrollments, lists, patches, signin
from gateway.app import Call, read, read_as
from gateway.enrollments import Draft, Enrollment
from web import problem
from web.routing import Route

log = logging.getLogger(__name__)


class UpsertMember(NewMember, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A member by the caller's own id; name and attributes replace what was known."""

    external_id: Ref


class Search(lists.Window, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Which members are asked for."""

    external_id: Ref | None = None


class Lookup(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """By which contact a member is looked for."""

    email: Email | None = None
    phone: Phone | None = None


class FoundMember(msgspec.Struct, frozen=True):
    """The member who has the contact; `is_verified` once it was proved to be theirs."""

    member: Member
    channel: Channel
    is_verified: bool


MemberPatch = patches.patch_of(NewMember)
_new = msgspec.json.Decoder(Enrollment)
_upsert = msgspec.json.Decoder(UpsertMember)
_patch = msgspec.json.Decoder(MemberPatch)


async def create(call: Call) -> web.Response:
    """Store a member and open the account: both, or neither."""
    body = await read(call)
    draft = enrollments.draft(call, problem.decode(_new, body))
    program_id = call.principal.program_id

    async def work(db: Db) -> Member:
        member = await members.add(db, call.app.ring, program_id, draft.id, draft.new)
        await enrollments.add(db, call.app, program_id, [draft])
        await auditing.record(call, db, "member.create", member.id)
        await call.app.points.open_accounts(program_id, [member.id])
        return member

    return await answers.once(call, body, work)


async def upsert(call: Call) -> web.Response:
    """Store a member, or replace the name and attributes of the one with this external id."""
    new = await read_as(call, _upsert)
    program_id = call.principal.program_id
    async with call.app.transaction() as db:
        member = await members.upsert(db, call.app.ring, program_id, call.app.new_id("member"), new)
        await auditing.record(call, db, "member.upsert", member.id)
        await call.app.points.open_accounts(program_id, [member.id])
    return problem.reply(member)


async def create_many(call: Call) -> web.Response:
    """Store up to 1,000 members; the answers stand in the order of the items."""
    body = await read(call)
    program_id = call.principal.program_id
    decoded = bulk.drafts(body, _new, lambda new: enrollments.draft(call, new))

    async def work(db: Db) -> bulk.Answers[Member]:
        drafts = await enrollments.refuse_taken(db, call.app, program_id, decoded)
        good = [draft for draft in drafts if isinstance(draft, Draft)]
        items = [(draft.id, draft.new) for draft in good]
        added = await members.add_many(db, call.app.ring, program_id, items)
        await enrollments.add(db, call.app, program_id, [one for one in good if one.id in added])
        await auditing.record(call, db, "member.create_many", "", after={"ids": list(added)})
        await call.app.points.open_accounts(program_id, added)
        taken = errors.ExternalIdTaken()
        return bulk.Answers(
            [
                bulk.answer(added.get(draft.id, taken) if isinstance(draft, Draft) else draft)
                for draft in drafts
            ]
        )

    return await answers.once(call, body, work)


async def list_all(call: Call) -> web.Response:
    """The program's members, oldest first."""
    search = problem.decode_query(Search, call.query)
    program_id, after = call.principal.program_id, search.after("member")
    async with call.app.connection() as db:
        found = await members.page(
            db,
            call.app.ring,
            program_id,
            after=after,
            limit=search.limit + 1,
            external_id=search.external_id,
        )
    return problem.reply(lists.page(found, search.limit))


async def get(call: Call) -> web.Response:
    """One member."""
    async with call.app.connection() as db:
        return problem.reply(
            await members.get(
                db, call.app.ring, call.principal.program_id, call.params["member_id"]
            )
        )


async def lookup(call: Call) -> web.Response:
    """The member with a mail address or a phone number, which is found by its keyed hash."""
    wanted, program_id = problem.decode_query(Lookup, call.query), call.principal.program_id
    # A plus that nobody has escaped is a blank in a query.
    phone = wanted.phone and f"+{wanted.phone.strip().removeprefix('+')}"
    contact = contacts_.one_of(wanted.email, phone)
    async with call.app.connection() as db:
        found = await contacts.find(db, call.app.ring, program_id, contact)
        if found is None:
            raise errors.MemberNotFound
        member = await members.get(db, call.app.ring, program_id, found.member_id)
    return problem.reply(FoundMember(member, contact.channel, found.is_verified))


async def change(call: Call) -> web.Response:
    """Change the given fields; `attributes` are replaced as a whole."""
    wanted = patches.changes(await read_as(call, _patch))
    program_id, member_id = call.principal.program_id, call.params["member_id"]
    async with call.app.transaction() as db:
        changed = await members.change(db, call.app.ring, program_id, member_id, wanted)
        await auditing.record(call, db, "member.change", member_id, after=auditing.named(wanted))
    return problem.reply(changed)


async def delete(call: Call) -> web.Response:
    """Delete a member; the ledger keeps the account, awards find it no more."""
    program_id, member_id = call.principal.program_id, call.params["member_id"]
    points, lifetimes = call.app.points, call.app.lifetimes
    async with call.app.transaction() as db:
        await members.delete(db, program_id, member_id)
        await contacts.delete(db, program_id, member_id)
        await credentials.delete(db, member_id)
        await identities.forget(db, program_id, member_id)
        ended = await sessions.revoke_all(db, member_id, lifetimes)
        await auditing.record(call, db, "member.delete", member_id)
        # While Redis is away the account could not be closed, so nothing is deleted.
        await points.balances(program_id, member_id)
    await signin.end(call.app, ended)
    # Not before the commit: an account that a living member lost would begin again at zero.
    try:
        await points.close_accounts(program_id, member_id)
    except errors.StampgateError as error:
        log.warning("the account of a deleted member stays open: %s", error.code)
    return web.Response(status=204)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/members",
        handler=create,
        name="create_member",
        summary="Store a member and open the account",
        scope="members:write",
        body=Enrollment,
        reply=Member,
        status=201,
        errors=(
            errors.ExternalIdTaken,
            errors.ContactTaken,
            errors.ProgramNotFound,
            errors.NotOpen,
        ),
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="PUT",
        path="/v1/members/upsert",
        handler=upsert,
        name="upsert_member",
        summary="Store or replace a member by external id",
        scope="members:write",
        body=UpsertMember,
        reply=Member,
        errors=(errors.ProgramNotFound, errors.NotOpen),
    ),
    Route(
        method="POST",
        path="/v1/members/bulk",
        handler=create_many,
        name="create_members",
        summary="Store up to 1,000 members, with an answer for each",
        scope="members:write",
        body=bulk.Items[Enrollment],
        reply=bulk.Answers[Member],
        errors=(errors.ContactTaken, errors.ProgramNotFound, errors.NotOpen),
        body_limit=bulk.BODY_LIMIT,
        is_idempotent=True,
        is_key_optional=True,
    ),
    Route(
        method="GET",
        path="/v1/members",
        handler=list_all,
        name="list_members",
        summary="List members, oldest first",
        scope="members:read",
        query=Search,
        reply=lists.Page[Member],
    ),
    Route(
        method="GET",
        path="/v1/members/lookup",
        handler=lookup,
        name="lookup_member",
        summary="Find the member with a mail address or a phone number",
        scope="members:read",
        query=Lookup,
        reply=FoundMember,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="GET",
        path="/v1/members/{member_id}",
        handler=get,
        name="get_member",
        summary="Read a member",
        scope="members:read",
        reply=Member,
        errors=(errors.MemberNotFound,),
    ),
    Route(
        method="PATCH",
        path="/v1/members/{member_id}",
        handler=change,
        name="change_member",
        summary="Change the given fields of a member",
        scope="members:write",
        body=MemberPatch,
        reply=Member,
        errors=(errors.MemberNotFound, errors.ExternalIdTaken),
    ),
    Route(
        method="DELETE",
        path="/v1/members/{member_id}",
        handler=delete,
        name="delete_member",
        summary="Delete a member; the account stays in the ledger",
        scope="members:write",
        status=204,
        errors=(errors.MemberNotFound, errors.NotOpen),
    ),
)
