"""`stampgate`: the operator's commands.

Settings come from `STAMPGATE_*` variables; a server that none of them names is the local run's, as
`.stampgate/stack.env` knows it.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import asyncpg

from core import errors, settings
from deploy.commands import audit, awards, jobs, keys, operators, programs, schema
from deploy.commands.doctor import add_doctor
from deploy.local import files

STACK: Final = Path(".stampgate/stack.env")
# The variables that together say how to reach one server.
SERVERS: Final = (("DATABASE", "MIGRATE", "FLUSH"), ("REDIS",), ("QUEUE",))


def parser() -> argparse.ArgumentParser:
    """The command line."""
    top = argparse.ArgumentParser(prog="stampgate", description=__doc__)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    schema.add_migrate(commands)
    add_doctor(commands)
    keys.add_token(commands)
    keys.add_keys(commands)
    programs.add_program(commands)
    operators.add_operator(commands)
    programs.add_import(commands)
    awards.add_replay(commands)
    awards.add_rebuild(commands)
    jobs.add_dead_letters(commands)
    audit.add_audit(commands)
    return top


def environment(given: Mapping[str, str]) -> dict[str, str]:
    """What is set, completed from the local run's file server by server: never half of each."""
    chosen = {name: value for name, value in given.items() if value}
    stored = files.read_env(STACK) if STACK.exists() else {}
    for server in SERVERS:
        names = {
            f"{settings.PREFIX}{field}_URL{form}" for field in server for form in ("", "_FILE")
        }
        if names & chosen.keys():
            stored = {name: value for name, value in stored.items() if name not in names}
    return {**stored, **chosen}


def main(arguments: list[str] | None = None) -> int:
    """Run one command; 0 when it did what it says, 1 with the reason on stderr."""
    chosen = parser().parse_args(arguments)
    try:
        code: int = asyncio.run(chosen.run(settings.load(environment(os.environ)), chosen))
        return code
    except (errors.StampgateError, errors.Malformed) as error:
        print(f"stampgate: {error}", file=sys.stderr)
        for one in getattr(error, "errors", None) or []:
            print("  " + ", ".join(f"{key} {value}" for key, value in one.items()), file=sys.stderr)
    except (OSError, asyncpg.PostgresError) as error:
        print(f"stampgate: {type(error).__name__}: {error}", file=sys.stderr)
        print("stampgate: `stampgate doctor` looks at all servers", file=sys.stderr)
    except KeyboardInterrupt:
        print("stampgate: interrupted", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
