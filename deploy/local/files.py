"""The small files of the local run: private, replaced in one step, one run at a time."""

from __future__ import annotations

import fcntl
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# What a shell reads as itself in an assignment, so that simple readers need not unquote it.
PLAIN = re.compile(r"[\w@%+=:,./?-]*", re.ASCII)


class AlreadyRuns(Exception):
    """Another run holds this folder."""


@contextmanager
def exclusive(folder: Path) -> Iterator[None]:
    """Hold `folder` for this run, made if missing; raises AlreadyRuns."""
    folder.mkdir(mode=0o700, exist_ok=True)
    with (folder / "lock").open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            lock.seek(0)
            message = f"another run uses {folder} (pid {lock.read().strip()}); stop it first"
            raise AlreadyRuns(message) from None
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        yield


def write_private(path: Path, content: bytes) -> None:
    """Write a file that only we can read, in one step."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.unlink(missing_ok=True)
    with open(fresh, "xb", opener=_private_opener) as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    fresh.replace(path)


def _private_opener(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)


def write_env(path: Path, values: Mapping[str, str]) -> None:
    """Write `NAME=value` lines that a shell can source."""
    lines = [f"{name}={quoted(value)}\n" for name, value in values.items()]
    write_private(path, "".join(lines).encode())


def read_env(path: Path) -> dict[str, str]:
    """What `write_env` wrote."""
    pairs = (word.partition("=") for word in shlex.split(path.read_text()))
    return {name: value for name, _, value in pairs}


def quoted(value: str) -> str:
    return value if PLAIN.fullmatch(value) else shlex.quote(value)
