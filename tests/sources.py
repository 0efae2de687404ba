"""Our own source files, for the tests that read them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
FLOORS = ("core", "db", "web", "gateway", "redirector", "workers", "deploy", "loadtests")
PACKAGES = (*FLOORS, "tests")
SKIPPED = {"__pycache__", "node_modules"}


def files(*suffixes: str, under: tuple[str, ...] = PACKAGES) -> list[Path]:
    """All files of ours with one of the suffixes."""
    return sorted(
        path
        for package in under
        for path in (ROOT / package).rglob("*")
        if path.suffix in suffixes and not SKIPPED & set(path.parts)
    )


@cache
def tree(path: Path) -> ast.Module:
    """The file's syntax tree."""
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def functions(node: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """All functions in it, nested ones too."""
    for child in ast.walk(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield child


def named(path: Path) -> str:
    """The path as one reads it in the project folder."""
    return str(path.relative_to(ROOT))


def module(path: Path) -> str:
    """The name to import a file by."""
    return ".".join(path.relative_to(ROOT).with_suffix("").parts)
