from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

from core.settings import Settings
from deploy.local import files
from loadtests import load

ROOT = Path(__file__).parents[2]


def some_settings(**changes: str) -> Settings:
    addresses = {"redis_url": "redis://nowhere", "queue_url": "redis://nowhere"}
    return Settings(database_url="postgresql://nowhere/", **{**addresses, **changes})  # type: ignore[arg-type]  # all of them are texts


def test_without_a_stack_it_says_how_to_start_one(tmp_path: Path) -> None:
    with pytest.raises(load.NoStack, match="make up"):
        load.prepare(tmp_path, {})


def test_a_stack_that_has_gone_is_said_too(tmp_path: Path) -> None:
    files.write_env(tmp_path / "demo.env", {"STAMPGATE_DEMO_TOKEN": "token"})
    files.write_env(
        tmp_path / "stack.env",
        {
            "STAMPGATE_DATABASE_URL": "postgresql://nowhere/",
            "STAMPGATE_REDIS_URL": "redis://nowhere",
            "STAMPGATE_QUEUE_URL": "redis://nowhere",
        },
    )
    with pytest.raises(load.NoStack, match="make up"):
        load.prepare(tmp_path, {"STAMPGATE_GATEWAY_PORT": "1"})


@pytest.mark.parametrize("host", ["10.0.0.5", "gateway.example.com", "169.254.169.254"])
def test_other_machines_are_refused(host: str) -> None:
    with pytest.raises(load.NoStack, match="not this machine"):
        load.addresses(some_settings(gateway_host=host))
    with pytest.raises(load.NoStack, match="not this machine"):
        load.addresses(some_settings(redirector_host=host))


def test_all_addresses_are_reached_on_loopback() -> None:
    assert load.addresses(some_settings(gateway_host="0.0.0.0", redirector_host="::")) == (
        "http://127.0.0.1:8080",
        "http://[::1]:8081",
    )


def test_the_table_has_percentiles_by_route() -> None:
    stats = load.Stats(
        name="GET /r/{slug}",
        num_requests=100,
        num_failures=1,
        start_time=0.0,
        last_request_timestamp=10.0,
        max_response_time=80.4,
        response_times={"2": 90, "9": 9, "80": 1},
    )
    line = load.table([stats], 10).splitlines()[1].split()
    assert line == ["GET", "/r/{slug}", "100", "1", "10.0", "2", "9", "9", "80"]


def test_no_figures_show_what_locust_said(capsys: pytest.CaptureFixture[str]) -> None:
    assert load.parse("", "Could not find 'locustfile.py'") == []
    assert "Could not find" in capsys.readouterr().err


def test_locust_finds_the_users() -> None:
    """In a process of its own, because importing Locust patches the sockets."""
    if importlib.util.find_spec("locust") is None:
        pytest.skip("Locust is installed by `make load`")
    names = ("SLUGS", "LINKS", "MEMBERS")
    env = {f"STAMPGATE_LOAD_{name}": '["x"]' for name in names} | {
        "STAMPGATE_LOAD_GATEWAY": "http://127.0.0.1:1",
        "STAMPGATE_LOAD_REDIRECTOR": "http://127.0.0.1:1",
        "STAMPGATE_LOAD_TOKEN": "token",
        "STAMPGATE_LOAD_SECONDS": "60",
    }
    done = subprocess.run(
        [sys.executable, "-m", "locust", "-f", "loadtests/locustfile.py", "--list"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={**os.environ, **env},
        check=True,
    )
    assert set(done.stdout.split()) >= set(load.PROFILES["mixed_day"].users)
