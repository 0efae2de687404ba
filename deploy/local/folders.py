"""Where the local run keeps sockets, and what must lie outside private folders."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from collections.abc import Iterator
from pathlib import Path

# Unix socket paths hold 107 bytes at most, and Redis cuts a longer one without a word.
SOCKET_PATH_MAX = 100
# The longest name that is put into a socket folder.
SOCKET_NAME = ".s.PGSQL.5432"


class BadFolder(Exception):
    """A folder cannot be used; the message says which and why."""


def socket_folder(project: Path) -> Path:
    """The private folder for the sockets of `project`, made if missing; raises BadFolder."""
    for base in socket_bases():
        folder = base / f"stampgate-{digest(project)}"
        if len(os.fsencode(folder / SOCKET_NAME)) <= SOCKET_PATH_MAX:
            return private(folder)
    message = f"every folder for sockets has a path over {SOCKET_PATH_MAX} bytes; set TMPDIR"
    raise BadFolder(message)


def socket_bases() -> Iterator[Path]:
    """XDG_RUNTIME_DIR when it is ours, the temporary folder, and the shortest one there is."""
    runtime = os.environ.get("XDG_RUNTIME_DIR")
    if runtime and Path(runtime).is_dir() and Path(runtime).stat().st_uid == os.geteuid():
        yield Path(runtime)
    yield Path(tempfile.gettempdir())
    yield Path("/tmp")  # noqa: S108 - the folder inside it is private and checked


def private(folder: Path, mode: int = 0o700) -> Path:
    """Make `folder` unless it is there and only ours; raises BadFolder."""
    folder.mkdir(mode=mode, exist_ok=True)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
        message = f"{folder} belongs to someone else; remove it or set TMPDIR"
        raise BadFolder(message)
    folder.chmod(mode)
    return folder


def digest(path: Path) -> str:
    """A short name for a folder, the same in every run."""
    return hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:12]
