"""`/v1/me/contacts`: a member's mail address and phone number, proved by a code.

A member gets a contact only by the code that was sent there, so nobody holds an address that is
somebody else's, and an address that is taken says so only to the one who reads its mail.
"""

from __future__ import annotations

import datetime as dt
from typing import get_args

import msgspec
from aiohttp import web

from core import contacts, errors
from core.codes import Code
from core.contacts import Channel, Contact
from db import contacts as stored_contacts
from db.codes import Aim
from db.contacts import MemberContact
from db.pg import Db
from gateway import auditing, codes, notices
from gateway.app import Call, read_as
from gateway.codes import CodeSent
from web import problem
from web.routing import Route


class Verify(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The contact to be verified; the present one of this channel if none is given."""

    address: contacts.Email | None = None

    def __repr__(self) -> str:
        return "Verify(…)"


class Confirm(Verify, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The code that was sent to it."""

    code: Code


_verify = msgspec.json.Decoder(Verify)
_confirm = msgspec.json.Decoder(Confirm)


async def verify(call: Call) -> web.Response:
    """Send a code to a contact that the member has, or wants to have."""
    wanted = await read_as(call, _verify)
    async with call.app.connection() as db:
        contact = await _contact(call, db, wanted.address)
    aim = Aim(call.principal.program_id, "verify", contact)
    return await codes.ask(call, aim, call.principal.subject)


async def confirm(call: Call) -> web.Response:
    """Take the contact, now that it is proved, in place of the present one of its channel."""
    wanted, app = await read_as(call, _confirm), call.app
    program_id, member_id = call.principal.program_id, call.principal.subject
    async with app.transaction() as db:
        contact = await _contact(call, db, wanted.address)
        aim = Aim(program_id, "verify", contact)
        present = await _present(call, db)
        found = await codes.redeem(call, db, aim, wanted.code)
        if found == member_id:
            # Whoever has got hold of a session shall not take the account over unheard. Told is who
            # was known before.
            if present is None or present.verified_at is None:
                await notices.send(call, db, member_id, program_id, "sign_in_added")
            elif present.address != contact.address:
                await notices.tell_replaced(call, db, Contact(present.channel, present.address))
            await stored_contacts.put(
                db, app.ring, program_id, member_id, contact, is_verified=True
            )
            changed = auditing.named([contact.channel])
            await auditing.record(call, db, "contact.verify", member_id, after=changed)
    if found != member_id:
        raise errors.CodeInvalid
    verified_at = dt.datetime.fromtimestamp(app.now_ms() // 1000, dt.UTC)
    return problem.reply(MemberContact(contact.channel, contact.address, verified_at))


async def _contact(call: Call, db: Db, address: str | None) -> Contact:
    """The one that was given, or the member's own; InvalidRequest, ContactNotFound."""
    channel = _channel(call)
    if address is not None:
        return contacts.email(address) if channel == "email" else contacts.phone(address)
    present = await _present(call, db)
    if present is None:
        raise errors.ContactNotFound
    return Contact(present.channel, present.address)


async def _present(call: Call, db: Db) -> MemberContact | None:
    """The member's contact of the path's channel, as it is now."""
    caller, channel = call.principal, _channel(call)
    own = await stored_contacts.of_member(db, call.app.ring, caller.program_id, caller.subject)
    return next((one for one in own if one.channel == channel), None)


def _channel(call: Call) -> Channel:
    for channel in get_args(Channel):
        if call.params["channel"] == channel:
            return channel  # type: ignore[no-any-return]  # one of the literals
    raise errors.NotFound


ROUTES: tuple[Route, ...] = (
    Route(
        method="POST",
        path="/v1/me/contacts/{channel}/verify",
        handler=verify,
        name="verify_contact",
        summary="Send a code to a mail address or phone number that one has or wants to have",
        scope="me",
        body=Verify,
        reply=CodeSent,
        status=202,
        repeats="Another code is sent in place of this one, at most so often.",
        errors=(errors.ContactNotFound, errors.NotFound, errors.RateLimited),
    ),
    Route(
        method="POST",
        path="/v1/me/contacts/{channel}/verify/confirm",
        handler=confirm,
        name="confirm_contact",
        summary="Take the contact that the code was sent to, in place of the present one",
        scope="me",
        body=Confirm,
        reply=MemberContact,
        repeats="The code is good once; whoever lost the answer asks for another.",
        errors=(
            errors.CodeInvalid,
            errors.ContactNotFound,
            errors.ContactTaken,
            errors.NotFound,
            errors.RateLimited,
        ),
    ),
)
