from __future__ import annotations

from pathlib import Path

import pytest

from deploy import cli

STORED = {
    "STAMPGATE_DATABASE_URL": "postgresql:///app",
    "STAMPGATE_MIGRATE_URL": "postgresql:///owner",
    "STAMPGATE_FLUSH_URL": "postgresql:///flush",
    "STAMPGATE_REDIS_URL": "redis://state",
    "STAMPGATE_QUEUE_URL": "redis://queue",
}


@pytest.fixture(autouse=True)
def local_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A project folder with a local run's addresses."""
    monkeypatch.chdir(tmp_path)
    cli.STACK.parent.mkdir()
    cli.STACK.write_text("".join(f"{name}='{value}'\n" for name, value in STORED.items()))


def test_the_local_run_is_the_default() -> None:
    assert cli.environment({}) == STORED


@pytest.mark.parametrize("name", ["STAMPGATE_DATABASE_URL", "STAMPGATE_DATABASE_URL_FILE"])
def test_another_database_is_never_mixed_with_the_local_one(name: str) -> None:
    assert cli.environment({name: "elsewhere"}) == {
        name: "elsewhere",
        "STAMPGATE_REDIS_URL": "redis://state",
        "STAMPGATE_QUEUE_URL": "redis://queue",
    }


def test_an_empty_variable_counts_as_not_set() -> None:
    assert cli.environment({"STAMPGATE_DATABASE_URL": ""}) == STORED


def test_a_secret_in_a_file_takes_the_place_of_the_stored_address() -> None:
    assert "STAMPGATE_REDIS_URL" not in cli.environment({"STAMPGATE_REDIS_URL_FILE": "secret"})
