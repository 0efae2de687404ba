"""What the documents say of settings, metrics and commands is what the code has."""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import msgspec
import pytest
from prometheus_client.metrics import MetricWrapperBase

from core import settings
from core.settings import Settings
from deploy import cli
from tests import sources
from web import metrics

OPERATIONS = sources.ROOT / "docs" / "operations.md"
EXAMPLE = sources.ROOT / "deploy" / "env.example"
FIELDS = [field.encode_name for field in msgspec.structs.fields(Settings)]
PARENTS_OWN = {"stampgate_child_restarts_total"}
LINK = re.compile(r"\]\((?!https?://|#)([^)#\s]+)(?:#[^)]*)?\)")
MAKE = re.compile(r"\bmake ([a-z]+)\b")
COMMAND = re.compile(r"(?:\bstampgate|deploy\.cli) ([a-z-]+)\b")
CODE = re.compile(r"^```sh\n(.*?)^```|`([^`\n]+)`", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    top = [path for path in sources.ROOT.iterdir() if path.suffix == ".md"]
    return [*top, *sources.files(".md", under=("docs", "loadtests"))]


def code(path: Path) -> str:
    """All that a document shows as code."""
    found = CODE.findall(path.read_text(encoding="utf-8"))
    return "\n".join(part for parts in found for part in parts if part)


def rows(path: Path, pattern: str) -> list[str]:
    """The first cells of the tables' rows that match."""
    return re.findall(rf"^\| `({pattern})` \|", path.read_text(encoding="utf-8"), re.MULTILINE)


def catalogue() -> set[str]:
    """All metrics, by the names that Prometheus sees."""
    found = set(PARENTS_OWN)
    for value in vars(metrics).values():
        if isinstance(value, MetricWrapperBase):
            family = next(iter(value.describe()))
            found.add(family.name + ("_total" if family.type == "counter" else ""))
    return found


def test_the_example_has_every_setting_and_its_values_are_good() -> None:
    lines = [line for line in EXAMPLE.read_text(encoding="utf-8").splitlines() if "=" in line]
    example = dict(line.split("=", 1) for line in lines if not line.startswith("#"))
    assert list(example) == FIELDS
    chosen = settings.load(example)
    changed = {
        field.name
        for field in msgspec.structs.fields(Settings)
        if field.default is not msgspec.NODEFAULT and getattr(chosen, field.name) != field.default
    }
    assert changed == {
        "migrate_url",
        "flush_url",
        "gateway_url",
        "redirector_url",
        "mail_url",
    }


def test_the_table_of_settings_is_whole() -> None:
    assert rows(OPERATIONS, "STAMPGATE_[A-Z_]+") == FIELDS


def test_the_table_of_metrics_is_the_catalogue() -> None:
    table = rows(OPERATIONS, "stampgate_[a-z_]+")
    assert len(table) == len(set(table))
    assert set(table) == catalogue()


@pytest.mark.parametrize("path", documents(), ids=sources.named)
def test_a_document_links_to_what_is_there(path: Path) -> None:
    targets = LINK.findall(path.read_text(encoding="utf-8"))
    assert [target for target in targets if not (path.parent / target).exists()] == []


@pytest.mark.parametrize("path", documents(), ids=sources.named)
def test_a_document_names_commands_that_exist(path: Path) -> None:
    makefile = (sources.ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    (commands,) = (
        action.choices
        for action in cli.parser()._actions
        if isinstance(action, argparse._SubParsersAction)
    )
    shown = code(path)
    assert set(MAKE.findall(shown)) <= targets
    assert set(COMMAND.findall(shown)) <= set(commands)
