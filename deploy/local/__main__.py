"""`python -m deploy.local up | reset | seed` in the project folder; `make up` and `make reset`."""

from __future__ import annotations

import argparse
import os
import shutil
import sys
from pathlib import Path

from deploy.local import files, folders, processes
from deploy.local.postgres import Postgres
from deploy.local.up import up


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m deploy.local", description=__doc__)
    parser.add_argument("command", choices=["up", "reset", "seed"])
    folder = Path.cwd() / ".stampgate"
    match parser.parse_args().command:
        case "up":
            return up(folder, os.environ)
        case "reset":
            return reset(folder)
        case _:
            return seed(folder)


def reset(folder: Path) -> int:
    """Remove all data of the local run."""
    try:
        with files.exclusive(folder):
            processes.stop_leftovers(folder / processes.RECORDS)
            Postgres(folder, folders.socket_folder(folder)).erase()
            shutil.rmtree(folder)
    except files.AlreadyRuns as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def seed(folder: Path) -> int:
    """Make the demo and write how to reach it, with a token made anew."""
    # Only here, so that the watching process does not carry the database drivers.
    import asyncio

    from core import settings
    from deploy.local import demo

    made = asyncio.run(demo.seed(settings.load(os.environ)))
    values = {
        "STAMPGATE_DEMO_TOKEN": made.token,
        "STAMPGATE_DEMO_PROGRAM": made.program,
        "STAMPGATE_DEMO_SLUG": made.slug,
        "STAMPGATE_DEMO_MEMBER": made.member,
    }
    files.write_env(folder / "demo.env", values)
    return 0


if __name__ == "__main__":
    sys.exit(main())
