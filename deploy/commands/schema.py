"""`stampgate migrate`."""

from __future__ import annotations

import argparse
from pathlib import Path

import asyncpg

from core.settings import Settings
from db import migrate
from deploy.commands import recording
from deploy.commands.arguments import Commands


def add_migrate(commands: Commands) -> None:
    """Declare the command."""
    command = commands.add_parser("migrate", help="bring the database's schema up to date")
    command.add_argument(
        "--phase",
        choices=["pre", "post"],
        help="only what must run before (pre) or after (post) the new code is deployed",
    )
    command.set_defaults(run=run)


async def run(settings: Settings, arguments: argparse.Namespace) -> int:
    """Apply the missing migrations, naming each."""
    done = await migrate.migrate(
        settings.migration_url,
        phase=arguments.phase,
        progress=lambda name: print(f"applying {name}", flush=True),
    )
    if done and Path(settings.keyring_file).exists():
        await _record(settings, done)
    print(f"{len(done)} migrations applied" if done else "the schema is up to date")
    return 0


async def _record(settings: Settings, done: list[str]) -> None:
    """Afterwards: the log may be among what was made. Before there are keys, nothing is written."""
    ring = recording.read_ring(settings)
    db = await asyncpg.connect(settings.migration_url)
    try:
        async with db.transaction():
            after = {"migrations": done}
            await recording.record(db, ring, "schema.migrate", done[-1], after=after)
    finally:
        await db.close()
