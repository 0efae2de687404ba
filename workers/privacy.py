"""Exports members and erases them. Each step may be done again, so a kill costs time only."""

from __future__ import annotations

import logging
from contextlib import aclosing
from pathlib import Path
from typing import Final

from core import keyring, templates
from core.settings import Settings
from core.storage import DOWNLOADS
from core.tasks import EraseMember, ExportMember
from db import (
    contacts,
    erasures,
    exports,
    notifications,
    outbox,
    personal,
    points,
    revocations,
    sessions,
)
from db.pg import Db
from web import storage
from workers import loop
from workers.broker import Tools

log: Final = logging.getLogger("stampgate.privacy")

JSON: Final = "application/json"
OVERDUE_A_TURN: Final = 500
# For how long the link in the mail is good; the file may be there for longer.
URL_TTL_S: Final = 86_400
# How long a click may wait in the spool of a host that is off.
SPOOL_S: Final = 14 * 86_400


async def export(tools: Tools, row_id: int, task: ExportMember) -> None:
    """Write the document to storage, under the name that it has whenever it is written."""
    async with tools.pool.acquire() as db:
        wanted = await exports.start(db, task.export_id)
        if wanted is None:
            await outbox.done(db, row_id)
            return

    async def advance(steps: int) -> None:
        async with tools.pool.acquire() as db:
            await exports.advance(db, task.export_id, steps)

    key = exports.storage_key(wanted.program_id, task.export_id)
    async with (
        tools.pool.acquire() as db,
        aclosing(exports.document(db, tools.ring, wanted, advance)) as document,
    ):
        size = await tools.storage.put(key, document, JSON)
    url = await tools.storage.url(
        key, now_s=loop.now_ms() // 1000, ttl_s=_url_ttl_s(tools.settings)
    )
    async with tools.pool.acquire() as db, db.transaction():
        is_kept = await exports.finish(
            db, task.export_id, wanted, size_bytes=size, ttl_s=tools.settings.export_ttl_s
        )
        # Before the commit: a kill in between finds the export under way, and comes here again.
        if is_kept:
            await _tell(tools, db, wanted, task.export_id, url)
        else:
            await tools.storage.delete(key)
        await outbox.done(db, row_id)


async def _tell(tools: Tools, db: Db, wanted: exports.Wanted, export_id: str, url: str) -> None:
    """Send the member where the file is, if there is an address that is known to be theirs."""
    program_id, member_id, language = wanted
    found = await contacts.of_member(db, tools.ring, program_id, member_id)
    mails = [one.address for one in found if one.channel == "email" and one.verified_at is not None]
    ttl_s = _url_ttl_s(tools.settings)
    url = f"{tools.settings.public_gateway_url}{url}" if url.startswith("/") else url
    if not mails or len(url) > templates.VALUE_LENGTH_MAX:
        log.info("nobody was told of the export %s", export_id)
        return
    new = notifications.New(
        program_id=program_id,
        recipient_kind="member",
        recipient_id=member_id,
        channel="email",
        address=mails[0],
        template="export_ready",
        language=language,
        variables={"url": url, "hours": ttl_s // 3600},
        dedupe_key=export_id,
        expires_at_ms=loop.now_ms() + ttl_s * 1000,
    )
    await notifications.add(db, tools.ring, new)


def _url_ttl_s(settings: Settings) -> int:
    return max(3600, min(settings.export_ttl_s, URL_TTL_S))


async def erase(tools: Tools, row_id: int, task: EraseMember) -> None:
    """Forget the member table by table, then the account in Redis, then the exports."""
    settings = tools.settings
    async with tools.pool.acquire() as db:
        wanted = await erasures.start(db, task.erasure_id)
        if wanted is None:
            await outbox.done(db, row_id)
            return
        lifetimes = sessions.lifetimes(settings)
        until_s = loop.now_ms() // 1000 + lifetimes.void_s
        revoked = revocations.Revoked(wanted.member_id, until_s)
        for number, table in enumerate(personal.ERASED, 1):
            async with db.transaction():
                await personal.erase(db, table, *wanted)
                if number == 1:
                    await revocations.add(db, [revoked.id], revoked.until_s)
                await erasures.advance(db, task.erasure_id, number)
    await revocations.announce(tools.redis, [revoked], loop.now_ms())
    await points.Points(tools.redis, tools.settings).close_accounts(*wanted)
    async with tools.pool.acquire() as db:
        await erasures.advance(db, task.erasure_id, len(personal.ERASED) + 1)
        found = await exports.of_member(db, *wanted)
    for export_id in found:
        await tools.storage.delete(exports.storage_key(wanted.program_id, export_id))
    async with tools.pool.acquire() as db, db.transaction():
        for export_id in found:
            await exports.cancel(db, export_id)
        await erasures.finish(db, task.erasure_id)
        await outbox.done(db, row_id)


async def sweep(settings: Settings, db: Db, _now_ms: int) -> None:
    """Forget what arrived late of erased members, and delete exports whose time is over."""
    await erasures.sweep(db, settings.premint_ttl_s + SPOOL_S)
    found = await exports.overdue(db, OVERDUE_A_TURN)
    if not found:
        return
    ring = keyring.parse(Path(settings.keyring_file).read_bytes())
    files = await storage.open(settings.storage_place, lambda: ring, served_at=DOWNLOADS)
    try:
        for program_id, export_id in found:
            await files.delete(exports.storage_key(program_id, export_id))
            await exports.expire(db, export_id)
    finally:
        await files.close()
