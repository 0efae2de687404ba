"""What the commands do, in the audit log: whoever may run them has the server, and is named."""

from __future__ import annotations

import getpass
import os
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Final

import asyncpg

from core import errors, keyring
from core.keyring import KeyRing
from core.settings import Settings
from db import audit, programs
from db.pg import Db

ROLE: Final = "admin"
HAS_LOG: Final = "SELECT to_regclass('audit_entry') IS NOT NULL"


def actor() -> str:
    """Who it is: `command:` and the user of the operating system."""
    try:
        name = getpass.getuser()
    # A user without a name, as in containers.
    except (KeyError, OSError):
        name = str(os.getuid())
    return f"command:{name}"


def read_ring(settings: Settings) -> KeyRing:
    """The key ring; BadKeyRing also when there is none."""
    path = Path(settings.keyring_file)
    if not path.exists():
        raise errors.BadKeyRing(f"there is no {path}: make one with `stampgate keys init`")
    return keyring.parse(path.read_bytes())


async def record(
    db: Db,
    ring: KeyRing,
    action: str,
    object_id: str,
    *,
    program_id: str | None = None,
    after: Mapping[str, object] | None = None,
) -> None:
    """Write what is done, in the caller's transaction; nothing before there is a log."""
    if not await db.fetchval(HAS_LOG):
        return
    entry = audit.Entry(
        program_id=program_id,
        actor=actor(),
        actor_role=ROLE,
        action=action,
        object_id=object_id,
        after=after,
        at_ms=time.time_ns() // 1_000_000,
    )
    await audit.add(db, ring, entry)


@asynccontextmanager
async def recorded(
    settings: Settings,
    action: str,
    object_id: str,
    *,
    program_id: str | None = None,
    after: Mapping[str, object] | None = None,
) -> AsyncIterator[None]:
    """Around what is done elsewhere than in PostgreSQL: it is done only if it can be written down,
    and the entry stands only if it was done. ProgramNotFound.
    """
    ring = read_ring(settings)
    db = await asyncpg.connect(settings.database_url)
    try:
        async with db.transaction():
            if program_id is not None:
                await programs.get(db, program_id)
            await record(db, ring, action, object_id, program_id=program_id, after=after)
            yield
    finally:
        await db.close()
