"""The peers' packages, from npm when they are first needed, and what runs them."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Final, Literal

import msgspec

FOLDER: Final = Path(__file__).parent
INSTALL_TIMEOUT_S: Final = 300.0
PROBE_TIMEOUT_S: Final = 20.0
# The packages and crypto.hash of node:crypto need it.
NODE_OLDEST: Final = (20, 15)

Runtime = Literal["node", "bun"]


class PeerMissing(Exception):
    """A peer cannot run here; the message says why."""


class _Package(msgspec.Struct):
    version: str = ""
    dependencies: dict[str, str] = {}


def runtime(name: Runtime) -> str:
    """The path of Node or Bun; raises PeerMissing."""
    for candidate in _candidates(name):
        version = _version(candidate)
        if version is not None and (name == "bun" or version >= NODE_OLDEST):
            return candidate
    wanted = "" if name == "bun" else f" {'.'.join(map(str, NODE_OLDEST))} or newer"
    raise PeerMissing(f"{name}{wanted} is not installed or does not run here")


def install() -> None:
    """Get the packages unless they are there; raises PeerMissing."""
    if is_installed():
        return
    npm = shutil.which("npm")
    if npm is None:
        raise PeerMissing("npm is not installed")
    print("installing the peers' packages from npm", flush=True)
    try:
        done = subprocess.run(
            [npm, "install", "--no-package-lock", "--loglevel=error"],
            cwd=FOLDER,
            capture_output=True,
            text=True,
            timeout=INSTALL_TIMEOUT_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise PeerMissing("npm install takes too long") from None
    if done.returncode or not is_installed():
        reasons = [line for line in done.stderr.splitlines() if line.startswith("npm error")]
        raise PeerMissing(f"npm install failed: {reasons[0] if reasons else 'no reason given'}")


def is_installed() -> bool:
    """Whether the packages are there in the versions that package.json names."""
    try:
        wanted = _read(FOLDER / "package.json").dependencies
        modules = FOLDER / "node_modules"
        return all(
            _read(modules / name / "package.json").version == version
            for name, version in wanted.items()
        )
    except FileNotFoundError:
        return False


def _read(path: Path) -> _Package:
    return msgspec.json.decode(path.read_bytes(), type=_Package)


def _candidates(name: Runtime) -> Iterator[str]:
    if name == "node":
        found = shutil.which("node")
        if found is not None:
            yield found
        return
    # The package `bun` is a pointer to one of these, set by a script that we do not run.
    yield from map(str, sorted((FOLDER / "node_modules" / "@oven").glob("*/bin/bun")))


def _version(binary: str) -> tuple[int, ...] | None:
    try:
        done = subprocess.run(
            [binary, "--version"],
            env={"PATH": os.defpath},
            capture_output=True,
            text=True,
            timeout=PROBE_TIMEOUT_S,
            check=True,
        )
        return tuple(map(int, done.stdout.strip().removeprefix("v").split(".")[:2]))
    except (OSError, subprocess.SubprocessError, ValueError):
        return None
