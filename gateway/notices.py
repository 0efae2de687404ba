"""Tells people what was changed about their account, in the transaction of the change."""

from __future__ import annotations

from typing import Final

from core import ids, templates
from core.clicks import preferred_language
from core.contacts import Contact
from db import contacts, notifications, operators, push_subscriptions
from db.pg import Db
from gateway.app import Call

CHANNELS: Final[dict[str, templates.Channel]] = {"email": "email", "phone": "sms"}


def language(call: Call) -> str:
    """The language that the caller likes best."""
    wanted = preferred_language(call.request.headers.get("Accept-Language", ""))
    return wanted or templates.DEFAULT_LANGUAGE


async def send(call: Call, db: Db, subject_id: str, program_id: str | None, template: str) -> None:
    """Send a message without variables to a member or an operator, by the first way there is, and
    to all devices that pushes go to.
    """
    channels = templates.KINDS[template].channels
    found = await contacts_of(call, db, subject_id, program_id)
    ways = [(CHANNELS[one.channel], one.address) for one in found]
    wanted = [way for way in ways if way[0] in channels][:1]
    if "push" in channels and program_id is not None and ids.is_id(subject_id, "member"):
        ring = call.app.ring
        devices = await push_subscriptions.addresses(db, ring, program_id, subject_id)
        wanted += [("push", address) for address in devices]
    for channel, address in wanted:
        await _add(call, db, subject_id, program_id, template, channel, address)


async def tell_replaced(call: Call, db: Db, contact: Contact) -> None:
    """Tell the mailbox or the phone that was the calling member's until now that it is no more."""
    caller, channel = call.principal, CHANNELS[contact.channel]
    program_id, template = caller.program_id, "contact_changed"
    await _add(call, db, caller.subject, program_id, template, channel, contact.address)


async def _add(
    call: Call,
    db: Db,
    subject_id: str,
    program_id: str | None,
    template: str,
    channel: templates.Channel,
    address: str,
) -> None:
    new = notifications.New(
        program_id=program_id,
        recipient_kind="member" if ids.is_id(subject_id, "member") else "operator",
        recipient_id=subject_id,
        channel=channel,
        address=address,
        template=template,
        language=language(call),
        variables={},
        dedupe_key=call.app.new_id("notification"),
    )
    await notifications.add(db, call.app.ring, new)


async def contacts_of(call: Call, db: Db, subject_id: str, program_id: str | None) -> list[Contact]:
    """The contacts that were proved to be theirs, mail first: nobody else is to be told."""
    ring = call.app.ring
    if program_id is None or not ids.is_id(subject_id, "member"):
        operator = await operators.get(db, ring, program_id, subject_id)
        return [Contact("email", operator.email)]
    found = await contacts.of_member(db, ring, program_id, subject_id)
    return [Contact(one.channel, one.address) for one in found if one.verified_at is not None]
