"""`stampgate audit`: is the audit log whole, and the heads to keep elsewhere."""

from __future__ import annotations

import argparse
from pathlib import Path

import asyncpg

from core import errors, keyring
from core.chain import Kept
from core.settings import Settings
from db import audit_chain, redis
from deploy.commands.arguments import Commands, Progress

# A part of a chain is checked at a time, so that there is something to show.
ENTRIES_A_TURN = 20_000


def add_audit(commands: Commands) -> None:
    """Declare `audit verify|head`."""
    audit = commands.add_parser("audit", help="the log of who changed what")
    actions = audit.add_subparsers(dest="audit", required=True, metavar="ACTION")
    check = actions.add_parser(
        "verify", help="check that nothing was changed or removed; all chains, or one"
    )
    chosen = check.add_mutually_exclusive_group()
    chosen.add_argument("--program", metavar="PRG", help="only this program's chain")
    chosen.add_argument("--installation", action="store_true", help="only the installation's own")
    check.add_argument("--kept", metavar="HEAD", help="a head of that chain, as `head` printed it")
    check.set_defaults(run=verify)
    actions.add_parser(
        "head", help="print a line for each chain; keep them where the database is not"
    ).set_defaults(run=show_heads)


async def verify(settings: Settings, arguments: argparse.Namespace) -> int:
    """Check chain by chain; 1 when something is wrong."""
    ring = keyring.parse(Path(settings.keyring_file).read_bytes())
    given = _given(arguments)
    db = await asyncpg.connect(settings.database_url)
    connection = await redis.Connection.open(settings.redis_url)
    try:
        chosen = "" if arguments.installation else arguments.program
        names = await audit_chain.names(db) if chosen is None else [chosen]
        known = await _kept_by_redis(connection)
        # A chain that is gone as a whole is known to Redis alone.
        if chosen is None:
            names = sorted({*names, *known})
        broken = 0
        for name in names:
            kept = [*given, *([known[name]] if name in known else [])]
            broken += not await _check(db, ring, name, kept)
    finally:
        await db.close()
        await connection.close()
    print("all chains are whole" if not broken else f"{broken} chains are not whole")
    return 1 if broken else 0


async def show_heads(settings: Settings, _arguments: argparse.Namespace) -> int:
    """One line a chain: the program, and its head."""
    db = await asyncpg.connect(settings.database_url)
    try:
        chains = await audit_chain.heads(db, await audit_chain.names(db))
    finally:
        await db.close()
    for name, chain in chains.items():
        print(f"{name or 'installation':30}  {chain.head.position}:{chain.head.digest.hex()}")
    return 0


def _given(arguments: argparse.Namespace) -> list[Kept]:
    if arguments.kept is None:
        return []
    if arguments.program is None and not arguments.installation:
        raise errors.InvalidRequest("name the chain of the head: --program or --installation")
    try:
        return [audit_chain.parse_head(arguments.kept)]
    except ValueError:
        raise errors.InvalidRequest(
            "a head is POSITION:DIGEST, as `audit head` prints it"
        ) from None


async def _kept_by_redis(connection: redis.Connection) -> dict[str, Kept]:
    try:
        return await audit_chain.all_kept_heads(connection)
    except errors.StampgateError:
        print("Redis is away: the heads that it keeps are not compared")
        return {}


async def _check(
    db: asyncpg.Connection[asyncpg.Record], ring: keyring.KeyRing, name: str, kept: list[Kept]
) -> bool:
    shown, after, checked, is_whole = name or "installation", 0, 0, True
    total = await audit_chain.length(db, name)
    progress = Progress(shown)
    while True:
        async with db.transaction(isolation="repeatable_read", readonly=True):
            report = await audit_chain.verify(
                db, ring, name, after=after, limit=ENTRIES_A_TURN, kept=kept
            )
        checked += report.checked
        is_whole = is_whole and report.is_whole
        for one in report.problems:
            print(f"{shown}: {one.kind} at {one.position or '-'} {one.entry_id or ''} {one.detail}")
        progress(checked, max(total, checked if report.next_after is None else total))
        if report.next_after is None:
            break
        after = report.next_after
    waiting = f", {report.unsealed} wait for their place" if report.unsealed else ""
    print(f"{shown}: {checked:,} entries up to {report.position:,}{waiting}")
    return is_whole
