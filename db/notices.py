"""Telling a member something, in the transaction that it is about: by the first way that was proved
to be the member's and that the template is written for. Nobody is told who has none.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from core import contacts as contacts_
from core import templates
from core.keyring import KeyRing
from db import contacts, notifications
from db.pg import Db

CHANNELS: Final[Mapping[contacts_.Channel, templates.Channel]] = {"email": "email", "phone": "sms"}


class Notice(msgspec.Struct, frozen=True, kw_only=True):
    """What a member is to be told; once for a `dedupe_key`, however often it is wanted."""

    program_id: str
    member_id: str
    template: str
    variables: Mapping[str, templates.Value]
    dedupe_key: str
    language: str = templates.DEFAULT_LANGUAGE


async def tell(db: Db, ring: KeyRing, notice: Notice) -> None:
    """Have it sent, if the caller's transaction commits."""
    kind = templates.KINDS[notice.template]
    for contact in await contacts.of_member(db, ring, notice.program_id, notice.member_id):
        channel = CHANNELS[contact.channel]
        if contact.verified_at is None or channel not in kind.channels:
            continue
        new = notifications.New(
            program_id=notice.program_id,
            recipient_kind="member",
            recipient_id=notice.member_id,
            channel=channel,
            address=contact.address,
            template=notice.template,
            language=notice.language,
            variables=notice.variables,
            dedupe_key=notice.dedupe_key,
        )
        await notifications.add(db, ring, new)
        return
