"""What `make` needs before there is a .venv: a Python, and lock files that can be trusted."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
LOCKS = ("requirements.lock", "requirements-test.lock", "requirements-load.lock")


def bootstrap(folder: Path, python: Path) -> subprocess.CompletedProcess[str]:
    for name in ("pyproject.toml", "requirements.lock"):
        (folder / name).write_bytes((ROOT / name).read_bytes())
    return subprocess.run(
        ["sh", ROOT / "deploy" / "local" / "bootstrap.sh", "requirements.lock"],
        cwd=folder,
        env={"PATH": os.environ["PATH"], "PYTHON": str(python)},
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_python_without_ensurepip_is_named_with_what_to_install(tmp_path: Path) -> None:
    bare = tmp_path / "bare python"
    bare.write_text(
        f'#!/bin/sh\ncase $2 in *ensurepip*) exit 1;; esac\nexec "{sys.executable}" "$@"\n'
    )
    bare.chmod(0o755)
    done = bootstrap(tmp_path, bare)
    assert done.returncode != 0
    version = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert f"apt install python{version}-venv" in done.stderr


def test_without_a_python_that_fits_the_message_says_which_ones_do(tmp_path: Path) -> None:
    done = bootstrap(tmp_path, tmp_path / "none")
    assert done.returncode != 0
    assert "Python 3.11, 3.12 or 3.13 is needed" in done.stderr
    assert not (tmp_path / ".venv").exists()


PIN = re.compile(r"^([a-z0-9-]+)==([^\s;]+)", re.MULTILINE)


def pinned(name: str) -> dict[str, str]:
    return dict(PIN.findall((ROOT / name).read_text()))


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_file_has_versions_and_hashes_and_no_addresses(name: str) -> None:
    text = (ROOT / name).read_text()
    assert re.search(r"://|@ |--index-url|--find-links|^#", text, re.MULTILINE) is None
    entries = re.split(r"^(?=\S)", text, flags=re.MULTILINE)[1:]
    # One package may have a version for each Python.
    assert len(entries) == len(PIN.findall(text))
    assert all("--hash=sha256:" in entry for entry in entries)


def test_the_lock_files_agree_since_they_share_one_venv() -> None:
    run, test, load = (pinned(name) for name in LOCKS)
    assert run.items() <= test.items()
    assert run.items() <= load.items()
    assert all(load[name] == version for name, version in test.items() if name in load)


def test_the_lock_files_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    extras = project["optional-dependencies"]
    wanted = zip(LOCKS, ([], extras["test"], extras["load"]), strict=True)
    for name, more in wanted:
        names = {re.split(r"[><=; \[]", line)[0] for line in [*project["dependencies"], *more]}
        assert names <= pinned(name).keys()


def test_every_target_explains_itself() -> None:
    makefile = (ROOT / "Makefile").read_text()
    phony = re.search(r"^\.PHONY: (.*)$", makefile, re.MULTILINE)
    assert phony is not None
    explained = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert sorted(phony[1].split()) == sorted(explained)
