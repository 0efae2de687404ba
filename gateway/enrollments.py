"""Members that an app or an operator brings along: with contacts, and passwords from elsewhere; and
`/v1/enrollments`, which makes a member of whoever has a phone.

A contact that is brought along is not verified; signing in with a code that was sent to it does so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
from aiohttp import web

from core import contacts, errors
from core.contacts import Contact, Email, Phone
from core.passwords import BcryptHash
from db import contacts as stored
from db import credentials, members
from db.members import Member, NewMember
from db.pg import Db
from gateway import auditing
from gateway.app import App, Call, read_as
from web import problem
from web.routing import Route

#: The scope of how others sign in.
SECURITY: Final = "security:write"
#: The scope of who sees what is known of members.
SEEING: Final = "members:read"


class Enrollment(NewMember, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new member. `password_hash` is a bcrypt hash of another system; it is replaced when the
    member signs in."""

    email: Email | None = None
    phone: Phone | None = None
    password_hash: BcryptHash | None = None


class NewEnrollment(NewMember, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Whose phone it is, as somebody says who wants to take part."""

    phone: Phone


class EnrolledMember(msgspec.Struct, frozen=True, kw_only=True):
    """Who has the phone. `member` is null for one who was there before, unless the caller may read
    members.
    """

    id: str
    is_new: bool
    member: Member | None


class Draft(msgspec.Struct, frozen=True):
    """A member to be, with the contacts in their one spelling."""

    id: str
    new: Enrollment
    contacts: list[Contact]


_new = msgspec.json.Decoder(NewEnrollment)


async def enroll(call: Call) -> web.Response:
    """Make a member of whoever has the phone; one who is there already stays as they are."""
    new = await read_as(call, _new)
    phone = contacts.phone(new.phone)
    try:
        enrolled = await _enrolled(call, new, phone)
    except (errors.ContactTaken, errors.ExternalIdTaken, errors.MemberNotFound):
        # Somebody was quicker, to take it or to leave it: now it is clear whose it is.
        enrolled = await _enrolled(call, new, phone)
    return problem.reply(enrolled, 201 if enrolled.is_new else 200)


async def _enrolled(call: Call, new: NewEnrollment, phone: Contact) -> EnrolledMember:
    app, program_id = call.app, call.principal.program_id
    async with app.transaction() as db:
        found = await stored.find(db, app.ring, program_id, phone)
        if found is not None:
            known = None
            if call.principal.may(SEEING):
                known = await members.get(db, app.ring, program_id, found.member_id)
            return EnrolledMember(id=found.member_id, is_new=False, member=known)
        member_id = app.new_id("member")
        member = await members.add(db, app.ring, program_id, member_id, new)
        await stored.add_many(db, app.ring, program_id, [(member_id, phone)])
        await auditing.record(call, db, "member.enroll", member_id)
        await app.points.open_accounts(program_id, [member_id])
    return EnrolledMember(id=member_id, is_new=True, member=member)


def draft(call: Call, new: Enrollment) -> Draft:
    """A draft with an id; InvalidRequest. InsufficientScope for a password from somebody who does
    not see to how members sign in: who knows it could get in when the contact's owner has come.
    """
    found = contacts.given(new.email, new.phone)
    if new.password_hash is not None and not found:
        raise errors.InvalidRequest("Nobody signs in with a password without a contact.")
    if new.password_hash is not None and not call.principal.may(SECURITY):
        raise errors.InsufficientScope(f"A password takes the scope {SECURITY}.")
    return Draft(call.app.new_id("member"), new, found)


async def refuse_taken(
    db: Db, app: App, program_id: str, drafts: Sequence[Draft | errors.StampgateError]
) -> list[Draft | errors.StampgateError]:
    """The same drafts, those refused whose contact another member has, or one before them."""
    wanted = [one for each in drafts if isinstance(each, Draft) for one in each.contacts]
    seen = await stored.taken(db, app.ring, program_id, wanted) if wanted else set[Contact]()
    checked: list[Draft | errors.StampgateError] = []
    for each in drafts:
        is_taken = isinstance(each, Draft) and not seen.isdisjoint(each.contacts)
        checked.append(errors.ContactTaken() if is_taken else each)
        if isinstance(each, Draft) and not is_taken:
            seen.update(each.contacts)
    return checked


async def add(db: Db, app: App, program_id: str, drafts: Sequence[Draft]) -> None:
    """Store contacts and passwords of members that were stored in this transaction; ContactTaken
    when another one was quicker."""
    people = [(one.id, contact) for one in drafts for contact in one.contacts]
    if people:
        await stored.add_many(db, app.ring, program_id, people)
    imported = [(one.id, one.new.password_hash) for one in drafts if one.new.password_hash]
    if imported:
        await credentials.add_many(db, program_id, imported)


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/enrollments",
        handler=enroll,
        name="enroll_member",
        summary="Make a member of whoever has a phone, or say who has it already",
        scope="members:write",
        body=NewEnrollment,
        reply=EnrolledMember,
        status=201,
        known_status=200,
        errors=(
            errors.ExternalIdTaken,
            errors.ContactTaken,
            errors.ProgramNotFound,
            errors.NotOpen,
        ),
        repeats="A phone has one member in a program.",
    ),
)
