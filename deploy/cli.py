"""`stampgate`: the operator's commands.

Settings come from `STAMPGATE_*` variables, and where one is not set from the local run's
`.stampgate/stack.env`.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Final

import asyncpg

from core import errors, settings
from deploy.commands import awards, jobs, keys, programs, schema
from deploy.commands.doctor import add_doctor
from deploy.local import files

STACK: Final = Path(".stampgate/stack.env")


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="stampgate", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    schema.add_migrate(commands)
    add_doctor(commands)
    keys.add_token(commands)
    keys.add_keys(commands)
    programs.add_program(commands)
    programs.add_import(commands)
    awards.add_replay(commands)
    awards.add_rebuild(commands)
    jobs.add_dead_letters(commands)
    return top


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 with the reason on stderr."""
    chosen = parser().parse_args(arguments)
    given = files.read_env(STACK) if STACK.exists() else {}
    try:
        code: int = asyncio.run(chosen.run(settings.load({**given, **os.environ}), chosen))
        return code
    except (errors.StampgateError, errors.Malformed) as error:
        print(f"stampgate: {error}", file=sys.stderr)
        for one in getattr(error, "errors", None) or []:
            print("  " + ", ".join(f"{key} {value}" for key, value in one.items()), file=sys.stderr)
    except (OSError, asyncpg.PostgresError) as error:
        print(f"stampgate: {type(error).__name__}: {error}", file=sys.stderr)
    except KeyboardInterrupt:
        print("stampgate: interrupted", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
