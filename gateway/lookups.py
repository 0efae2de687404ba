"""What the routes of awards, spends and holds share: finding decided events, naming failures."""

from __future__ import annotations

import datetime as dt
import functools
from collections.abc import Awaitable
from typing import Final, TypeVar

from core import errors, ids
from db import awards, pg
from gateway.app import Call

T = TypeVar("T")

EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)


@functools.lru_cache(1024)
def moment(ms: int) -> dt.datetime:
    """Unix milliseconds as a moment; many awards share one."""
    return EPOCH + dt.timedelta(milliseconds=ms)


async def settled(deciding: Awaitable[T]) -> T:
    """The result; Unavailable when PostgreSQL was needed and is away."""
    try:
        return await deciding
    except pg.NOT_NOW as error:
        raise errors.Unavailable("PostgreSQL is away; nothing was changed.") from error


async def event(
    call: Call, event_id: str, kind: ids.Kind, missing: type[errors.NotFound]
) -> awards.Event:
    """The program's decided event of this id; `missing`."""
    try:
        ref = ids.parse_event_id(event_id, kind)
    except errors.BadId:
        raise missing from None
    app = call.app
    found = await settled(awards.find(app.points, app.pool, call.principal.program_id, ref))
    if found is None or found.type != kind:
        raise missing
    return found
