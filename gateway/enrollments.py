"""Members that an app or an operator brings along: with contacts, and passwords from elsewhere.

A contact that is brought along is not verified; signing in with a code that was sent to it does so.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec

from core import contacts, errors
from core.contacts import Contact, Email, Phone
from core.passwords import BcryptHash
from db import contacts as stored
from db import credentials
from db.members import NewMember
from db.pg import Db
from gateway.app import App, Call

T = TypeVar("T")

#: The scope of how others sign in.
SECURITY: Final = "security:write"


class Enrollment(NewMember, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A new member. `password_hash` is a bcrypt hash of another system; it is replaced when the
    member signs in."""

    email: Email | None = None
    phone: Phone | None = None
    password_hash: BcryptHash | None = None


class Draft(msgspec.Struct, frozen=True):
    """A member to be, with the contacts in their one spelling."""

    id: str
    new: Enrollment
    contacts: list[Contact]


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
