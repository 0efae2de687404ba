"""The audit log: who changed what, written in the transaction of the change.

An entry is never changed and never deleted; its proof is in `core.chain`. Its place in the chain of
its program is given a moment later (`db.audit_chain`), so that writers do not wait for each other.
"""

from __future__ import annotations

import datetime as dt
import secrets
from collections.abc import Mapping
from typing import Final

import msgspec

from core import chain, ids
from core.keyring import KeyRing
from db.pg import Db

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_US: Final = dt.timedelta(microseconds=1)

INSERT: Final = """
INSERT INTO audit_entry
       (id, at, program_id, actor, actor_role, action, object_id, before, after, address,
        request_id, key, proof)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)
"""


class Entry(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody did. `program_id` is None for what concerns the whole installation.

    `actor` is an id, or a word for who has none ('anonymous', 'system'); `action` is `noun.verb`;
    `before` and `after` never hold secrets or what names a person; `address` is cut to its network.
    """

    program_id: str | None
    actor: str
    actor_role: str
    action: str
    object_id: str
    before: Mapping[str, object] | None = None
    after: Mapping[str, object] | None = None
    address: str = ""
    request_id: str = ""
    at_ms: int


async def add(db: Db, ring: KeyRing, entry: Entry) -> str:
    """Write the entry, if the caller's transaction commits; returns its id."""
    content = chain.Content(
        id=ids.new("audit", entry.at_ms, secrets.token_bytes(ids.ENTROPY_BYTES)),
        at_us=entry.at_ms * 1000,
        program_id=entry.program_id or "",
        actor=entry.actor,
        actor_role=entry.actor_role,
        action=entry.action,
        object_id=entry.object_id,
        before=_json(entry.before),
        after=_json(entry.after),
        address=entry.address,
        request_id=entry.request_id,
    )
    entry_id, at_us, *rest = content
    await db.execute(INSERT, entry_id, EPOCH + at_us * _US, *rest, *chain.prove(ring, content))
    return entry_id


def _json(values: Mapping[str, object] | None) -> str | None:
    return None if values is None else msgspec.json.encode(values, order="sorted").decode()
