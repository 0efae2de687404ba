"""The promises that the code makes about its own shape."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from prometheus_client.metrics import MetricWrapperBase

from core import tasks
from tests import sources
from web import metrics
from workers import jobs

LINES_A_FUNCTION = 70
LINES_A_FILE = 400
# One entry after another: as long as the API has words for saying no.
CATALOGS = {"core/errors.py"}
# In two halves, so that they are not found here.
OPEN_ENDS = re.compile(r"\b(?:TO" + r"DO|FIX" + r"ME|X" + r"XX)\b")
# Folders of one machine, which mean nothing on another.
MACHINE_PATH = re.compile(r"(?<![\w.}$])/(?:home|root|Users|work|mnt)/\w")
TEXTS = (".py", ".lua", ".sql", ".sh", ".md", ".toml", ".example", ".json", ".yml", ".yaml", ".svg")
GENERATED = {"openapi.json"}
# What the redirector's process shall not carry.
HEAVY = ("asyncpg", "dramatiq", "jwt", "aioboto3", "redis", "gateway", "workers")


def read(path: Path) -> str:
    return path.read_text(encoding="utf-8")


def texts() -> list[Path]:
    """All files that people write and read."""
    top = [
        path for path in sources.ROOT.iterdir() if path.suffix in TEXTS or path.name == "Makefile"
    ]
    below = sources.files(*TEXTS, under=(*sources.PACKAGES, "docs", ".ci"))
    return [path for path in (*top, *below) if path.is_file() and path.name not in GENERATED]


def names(paths: Iterable[Path]) -> list[str]:
    return [sources.named(path) for path in paths]


def test_imports_run_only_downward() -> None:
    # In a process of its own: the linter switches off the loggers that it finds.
    code = (
        "from importlinter.cli import lint_imports; raise SystemExit(lint_imports(no_cache=True))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout


def test_the_redirector_carries_nothing_heavy() -> None:
    code = f"import sys, redirector.app; print([n for n in {HEAVY} if n in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=sources.ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


def test_no_function_is_too_long_to_see_at_once() -> None:
    long = [
        f"{sources.named(path)}: {function.name}"
        for path in sources.files(".py")
        for function in sources.functions(sources.tree(path))
        if (function.end_lineno or 0) - function.lineno >= LINES_A_FUNCTION
    ]
    assert long == []


def test_no_file_is_too_long() -> None:
    written = sources.files(".py", ".lua", ".sh")
    long = names(path for path in written if len(read(path).splitlines()) > LINES_A_FILE)
    assert set(long) - CATALOGS == set()


def test_packages_hide_nothing_in_their_init() -> None:
    inits = [path for path in sources.files(".py") if path.name == "__init__.py"]
    assert names(path for path in inits if path.stat().st_size) == []
    folders = {path.parent for path in sources.files(".py")}
    assert names(sorted(folders - {path.parent for path in inits})) == []


def test_every_module_says_what_it_is() -> None:
    modules = [path for path in sources.files(".py", under=sources.FLOORS) if path.stat().st_size]
    assert names(path for path in modules if not ast.get_docstring(sources.tree(path))) == []


def test_the_public_functions_of_the_shared_floors_say_what_they_do() -> None:
    silent = [
        f"{sources.named(path)}: {node.name}"
        for path in sources.files(".py", under=("core", "db"))
        for node in sources.tree(path).body
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert silent == []


def test_nothing_is_left_for_later() -> None:
    assert names(path for path in texts() if OPEN_ENDS.search(read(path))) == []


def test_no_file_knows_the_folders_of_one_machine() -> None:
    assert names(path for path in texts() if MACHINE_PATH.search(read(path))) == []


def test_every_kind_of_task_has_an_actor_and_every_actor_a_task() -> None:
    assert set(tasks.Task.__subclasses__()) == set(tasks.TASKS)
    assert set(jobs.ACTIONS) == set(tasks.TASKS)


def test_every_metric_is_measured_somewhere() -> None:
    code = "\n".join(read(path) for path in sources.files(".py", under=sources.FLOORS))
    catalogue = [name for name, one in vars(metrics).items() if isinstance(one, MetricWrapperBase)]
    assert catalogue
    used = rf"\b(?:{'|'.join(catalogue)})\b(?=\.(?:labels|inc|set|observe)|[,)])"
    assert set(catalogue) - set(re.findall(used, code)) == set()
