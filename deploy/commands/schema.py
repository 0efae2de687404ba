"""`stampgate migrate`."""

from __future__ import annotations

import argparse

from core.settings import Settings
from db import migrate
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
    print(f"{len(done)} migrations applied" if done else "the schema is up to date")
    return 0
