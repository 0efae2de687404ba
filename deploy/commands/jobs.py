"""`stampgate dead-letters`: jobs that were given up."""

from __future__ import annotations

import argparse

import asyncpg
import msgspec

from core.settings import Settings
from db import dead_letters
from deploy.commands import recording
from deploy.commands.arguments import Commands

PAGE = 200


def add_dead_letters(commands: Commands) -> None:
    """Declare `dead-letters list|show|replay|discard`."""
    letters = commands.add_parser("dead-letters", help="jobs that were given up")
    actions = letters.add_subparsers(dest="dead_letters", required=True, metavar="ACTION")
    actions.add_parser("list", help="the newest 200").set_defaults(run=list_all)
    for name, run, text in (
        ("show", show, "one, with its payload"),
        ("replay", replay, "send one again, or all"),
        ("discard", discard, "strike one off"),
    ):
        action = actions.add_parser(name, help=text)
        action.add_argument("id", type=int, nargs="?" if name == "replay" else None)
        action.set_defaults(run=run)


async def list_all(settings: Settings, _arguments: argparse.Namespace) -> int:
    """One line a letter."""
    db = await asyncpg.connect(settings.database_url)
    try:
        for letter in await dead_letters.page(db, limit=PAGE):
            when = letter.created_at.isoformat(timespec="seconds")
            print(f"{letter.id:8}  {when}  {letter.task}  {letter.attempts}×  {letter.error}")
    finally:
        await db.close()
    return 0


async def show(settings: Settings, arguments: argparse.Namespace) -> int:
    """The whole letter as JSON."""
    db = await asyncpg.connect(settings.database_url)
    try:
        letter = await dead_letters.show(db, arguments.id)
    finally:
        await db.close()
    print(msgspec.json.format(msgspec.json.encode(letter), indent=2).decode())
    return 0


async def replay(settings: Settings, arguments: argparse.Namespace) -> int:
    """Back into the outbox."""
    ring = recording.read_ring(settings)
    db = await asyncpg.connect(settings.database_url)
    try:
        async with db.transaction():
            if arguments.id is None:
                said = f"{await dead_letters.replay_all(db)} sent again"
            else:
                said = f"{(await dead_letters.replay(db, arguments.id)).id} sent again"
            await recording.record(db, ring, "dead_letter.replay", str(arguments.id or "all"))
        print(said)
    finally:
        await db.close()
    return 0


async def discard(settings: Settings, arguments: argparse.Namespace) -> int:
    """Gone for good."""
    ring = recording.read_ring(settings)
    db = await asyncpg.connect(settings.database_url)
    try:
        async with db.transaction():
            await dead_letters.discard(db, arguments.id)
            await recording.record(db, ring, "dead_letter.discard", str(arguments.id))
    finally:
        await db.close()
    print(f"{arguments.id} struck off")
    return 0
