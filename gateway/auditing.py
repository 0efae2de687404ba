"""What handlers write into the audit log, in the transaction of what they do."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

import msgspec

from core import ids
from db import audit
from db.pg import Db
from gateway.app import Call
from web import logs, proxies

HIDDEN: Final = "***"
ANONYMOUS: Final = "anonymous"
# No id is longer.
ASKED_MAX: Final = 64

_telling: Final = re.compile(
    r"password|secret|token|credential|private|signature|phone|mobile|e?mail|address"
    r"|attributes|(?:first|last|full|display)_name",
    re.IGNORECASE,
)

Values = Mapping[str, object] | msgspec.Struct


async def record(
    call: Call,
    db: Db,
    action: str,
    object_id: str,
    before: Values | None = None,
    after: Values | None = None,
    *,
    program_id: str | None = None,
) -> None:
    """Write that the caller did `action` (noun.verb) to the object.

    Of `before` and `after` only what differs is kept; values of telling names are blanked.
    `program_id` is given when it is not the one that the caller named.
    """
    caller = call.principal
    old, new = difference(before, after)
    entry = audit.Entry(
        program_id=program_id or caller.named_program,
        actor=caller.subject or ANONYMOUS,
        actor_role=caller.role,
        action=action,
        object_id=object_id,
        before=old,
        after=new,
        address=network(call),
        request_id=call.request_id,
        at_ms=call.app.now_ms(),
    )
    await audit.add(db, call.app.ring, entry)


async def record_in_both(
    call: Call,
    db: Db,
    program_id: str,
    action: str,
    object_id: str,
    after: Values | None = None,
) -> None:
    """Write what the platform's staff did into the logs of the installation and of the program."""
    for one in (None, program_id):
        principal = call.principal._replace(named_program=one)
        named_call = msgspec.structs.replace(call, principal=principal)
        await record(named_call, db, action, object_id, None, after)


async def oversee(call: Call) -> None:
    """Write down what an admin asks for, before it is answered: behind the glass all of it, in both
    logs; elsewhere what is read, in the installation's, since changes have entries of their own.

    Unavailable, and then nothing is answered.
    """
    caller, route = call.principal, call.route
    if caller.role != "admin" or "self" in (route.scope or "").split():
        return
    asked = {"route": route.name, **{name: text[:ASKED_MAX] for name, text in call.params.items()}}
    if ids.is_id(caller.token_id, "glass"):
        async with call.app.transaction() as db:
            program_id = caller.program_id
            await record_in_both(call, db, program_id, "break_glass.use", caller.token_id, asked)
    elif route.method == "GET":
        principal = caller._replace(named_program=None)
        named_call = msgspec.structs.replace(call, principal=principal)
        async with call.app.transaction() as db:
            await record(named_call, db, "admin.read", caller.named_program or "", None, asked)


def difference(
    before: Values | None, after: Values | None
) -> tuple[dict[str, object] | None, dict[str, object] | None]:
    """Both sides without what they have in common, telling values blanked."""
    old, new = _values(before), _values(after)
    if old is not None and new is not None:
        same = {name for name in old.keys() & new.keys() if old[name] == new[name]}
        old = {name: value for name, value in old.items() if name not in same}
        new = {name: value for name, value in new.items() if name not in same}
    return _shown(old), _shown(new)


def named(fields: Iterable[str]) -> dict[str, object]:
    """For objects that are persons: which fields were changed, not to what."""
    return {"fields": sorted(fields)}


def network(call: Call) -> str:
    """The network that the caller's address belongs to; empty when it has no address."""
    return proxies.cut(call.address) or ""


def _values(given: Values | None) -> dict[str, Any] | None:
    if given is None:
        return None
    values = msgspec.to_builtins(given)
    assert isinstance(values, dict)
    return values


def _shown(values: dict[str, Any] | None) -> dict[str, object] | None:
    if values is None:
        return None
    return {name: _blanked(name, value) for name, value in values.items()}


def _blanked(name: str, value: object) -> object:
    match value:
        case None | bool():
            return value
        case _ if _telling.search(name):
            return HIDDEN
        case dict():
            return _shown(value)
        case list():
            return [_blanked(name, item) for item in value]
        case str():
            return logs.scrub(value)
        case _:
            return value
