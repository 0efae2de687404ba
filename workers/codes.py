"""Makes the one-time codes that were asked for, and has them sent.

Whose contact it is is found out here and not where the code is asked for, so that neither the
answer nor the time that it takes tells whether somebody has it.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from core import codes
from core.codes import Purpose
from core.keyring import KeyRing
from core.tasks import SendCode
from core.templates import Channel
from db import codes as wishes
from db import contacts, notifications, operators, outbox
from db.codes import Wish
from db.pg import Db
from web import metrics
from workers import loop
from workers.broker import Tools

TEMPLATES: Final[dict[Purpose, str]] = {
    "sign_in": "sign_in_code",
    "verify": "verify_contact",
    "reset": "reset_password",
    "register": "verify_contact",
}
CHANNELS: Final[dict[str, Channel]] = {"email": "email", "phone": "sms"}


class Recipient(NamedTuple):
    """For whom the code is."""

    id: str
    program_id: str | None


async def send(tools: Tools, row_id: int, task: SendCode) -> None:
    """Make the code and its message in one transaction, if somebody has the contact."""
    async with tools.pool.acquire() as db, db.transaction():
        wish = await wishes.to_send(db, tools.ring, task.code_id)
        if wish is not None:
            recipient = await _recipient(db, tools.ring, wish)
            if wish.aim.purpose == "register" and await _is_taken(db, tools.ring, wish):
                recipient = None
            if recipient is None or loop.now_ms() >= wish.expires_at_ms:
                await wishes.drop(db, wish.id)
                outcome = "unclaimed"
            else:
                await _send(db, tools.ring, wish, recipient)
                outcome = "sent"
            metrics.codes.labels(wish.aim.purpose, outcome).inc()
        await outbox.done(db, row_id)


async def _is_taken(db: Db, ring: KeyRing, wish: Wish) -> bool:
    """Whether somebody has the contact already, who is told so."""
    program_id, _, contact = wish.aim
    found = program_id and await contacts.find(db, ring, program_id, contact)
    if not found:
        return False
    if contact.channel == "email":
        new = notifications.New(
            program_id=program_id,
            recipient_kind="member",
            recipient_id=found.member_id,
            channel="email",
            address=contact.address,
            template="already_registered",
            language=wish.language,
            variables={},
            dedupe_key=wish.id,
            expires_at_ms=wish.expires_at_ms,
        )
        await notifications.add(db, ring, new)
    return True


async def _recipient(db: Db, ring: KeyRing, wish: Wish) -> Recipient | None:
    program_id, _, contact = wish.aim
    if wish.subject_id is not None:
        return Recipient(wish.subject_id, program_id)
    if program_id is None:
        operator = await operators.find(db, ring, contact)
        return None if operator is None else Recipient(*operator)
    member = await contacts.find(db, ring, program_id, contact)
    return None if member is None else Recipient(member.member_id, program_id)


async def _send(db: Db, ring: KeyRing, wish: Wish, recipient: Recipient) -> None:
    program_id, purpose, contact = wish.aim
    code = await wishes.fill(db, ring, wish.id, recipient.id)
    new = notifications.New(
        program_id=recipient.program_id,
        recipient_kind="operator" if program_id is None else "member",
        recipient_id=recipient.id,
        channel=CHANNELS[contact.channel],
        address=contact.address,
        template=TEMPLATES[purpose],
        language=wish.language,
        variables={"code": code, "minutes": codes.TTL_S // 60},
        dedupe_key=wish.id,
        expires_at_ms=wish.expires_at_ms,
    )
    await notifications.add(db, ring, new)
