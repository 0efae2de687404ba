"""Messages to members and operators: what is to be sent, and what became of it.

    queued → sending → sent · refused · unknown · failed
       ↑________|  when it certainly was not sent

`sending` is written down before the first byte that can make a message arrive. Whatever is found in
that state was under way when its worker died: it may have arrived, and is not sent again blindly.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from core import fields, ids, templates
from core.keyring import KeyRing
from db.pg import Db

RecipientKind = Literal["member", "operator", "test"]

# A key that was used before adds nothing: no row, and no second message.
ADD: Final = """
WITH added AS (
    INSERT INTO notification
           (id, program_id, recipient_kind, recipient_id, channel, address, template, language,
            variables, dedupe_key, expires_at)
    VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, to_timestamp($11::bigint / 1000.0))
        ON CONFLICT (program_id, dedupe_key) DO NOTHING
    RETURNING id
)
INSERT INTO outbox (task, payload)
SELECT 'send_notification', jsonb_build_object('notification_id', id) FROM added
RETURNING payload->>'notification_id'
"""


class New(msgspec.Struct, frozen=True, kw_only=True):
    """A message that is wanted. `program_id` is None for platform staff; `address` is a mail
    address or an E.164 number; one message is sent for a `dedupe_key` of a program, however often
    it is added; after `expires_at_ms` it is not sent any more.
    """

    program_id: str | None
    recipient_kind: RecipientKind
    recipient_id: str
    channel: templates.Channel
    address: str
    template: str
    language: str
    variables: Mapping[str, templates.Value]
    dedupe_key: str
    expires_at_ms: int | None = None


async def add(db: Db, ring: KeyRing, new: New) -> str | None:
    """Have a message sent if the caller's transaction commits; its id, or None when one was added
    under this dedupe key before. BadTemplate when the variables are not those of the template.
    """
    templates.check_values(new.template, new.variables)
    notification_id = ids.new(
        "notification", time.time_ns() // 1_000_000, os.urandom(ids.ENTROPY_BYTES)
    )
    added = await db.fetchval(
        ADD,
        notification_id,
        new.program_id,
        new.recipient_kind,
        new.recipient_id,
        new.channel,
        _seal(ring, "address", notification_id, new.address),
        new.template,
        new.language,
        _seal(ring, "variables", notification_id, msgspec.json.encode(new.variables).decode()),
        new.dedupe_key,
        new.expires_at_ms,
    )
    return None if added is None else str(added)


def _seal(ring: KeyRing, column: str, notification_id: str, text: str) -> bytes:
    nonce = os.urandom(fields.NONCE_BYTES)
    return fields.seal(ring, text, f"notification.{column}:{notification_id}", nonce)
