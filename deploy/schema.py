"""`python -m deploy.schema` (`make schema`): write db/schema.sql, which the migrations make.

It is for reading and for reviewing a migration; nothing is ever installed from it.
"""

from __future__ import annotations

import asyncio
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from db import migrate
from deploy.local import folders, postgres
from deploy.local.postgres import Postgres

SCHEMA: Final = migrate.FOLDER.parent / "schema.sql"
HEADER: Final = "-- Written by `make schema` from db/migrations; not to be edited.\n\n"
# Lines that hang on the version of pg_dump or on chance, not on the schema.
NOISE: Final = re.compile(
    r"^(--.*|SET .*|SELECT pg_catalog\..*|\\(un)?restrict .*)\n", re.MULTILINE
)
BLANKS: Final = re.compile(r"\n{3,}")


@contextmanager
def server() -> Iterator[Postgres]:
    """A new PostgreSQL in a temporary folder that goes with it."""
    folder = Path(tempfile.mkdtemp(prefix="stampgate-schema-"))
    sockets = folders.socket_folder(folder)
    running = Postgres(folder, sockets, fsync=False)
    try:
        running.start()
        yield running
    finally:
        running.stop()
        running.erase()
        shutil.rmtree(sockets, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)


def dump(url: str) -> str:
    """The schema of a migrated database, without the partitions whose names are dates."""
    done = subprocess.run(
        [
            os.fspath(postgres.installed() / "pg_dump"),
            *("--schema-only", "--no-owner", "--no-privileges", "--exclude-table=click_2*"),
            "--exclude-table=audit_entry_2*",
            url,
        ],
        env=postgres.ENV,
        capture_output=True,
        text=True,
        check=True,
    )
    return HEADER + BLANKS.sub("\n\n", NOISE.sub("", done.stdout)).strip() + "\n"


def main() -> int:
    """Write the file."""
    with server() as running:
        url = running.urls().migrate
        asyncio.run(migrate.migrate(url))
        SCHEMA.write_text(dump(url), encoding="utf-8")
    print(f"{SCHEMA.name} written")
    return 0


if __name__ == "__main__":
    sys.exit(main())
