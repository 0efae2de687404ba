"""Copies of the source in which a guard is missing or a process can be killed at a named point.

The product itself has no switches for that: a patch replaces an exact piece of text, and no longer
applies when that text is no longer there.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.sources import FLOORS, ROOT


class Patch(NamedTuple):
    """`old`, which `path` has exactly once, becomes `new`."""

    path: str
    old: str
    new: str


def copy(folder: Path, patches: Iterable[Patch]) -> Path:
    """The packages with these patches applied, in `folder`."""
    for package in FLOORS:
        if (ROOT / package).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / package, folder / package, ignore=ignored)
    for patch in patches:
        path = folder / patch.path
        text = path.read_text()
        assert text.count(patch.old) == 1, f"{patch.path} has changed: {patch.old!r}"
        path.write_text(text.replace(patch.old, patch.new))
    return folder
