"""`make up` with real servers and stand-ins for our apps: starting, watching, stopping."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import msgspec
import pytest

from core import keyring
from deploy.local import environment, files, folders, processes
from deploy.local.postgres import Postgres
from deploy.local.servers import Servers
from tests.ports import free_port

# Says that it is ready, whatever it is asked, on the port of the package that it lies in.
STAND_IN = """
import http.server, os, pathlib, signal
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'{"status": "ready"}')
name = pathlib.Path(__file__).parent.name.upper()
port = os.environ.get(f"STAMPGATE_{name}_PORT") or os.environ["STAMPGATE_WORKERS_METRICS_PORT"]
http.server.HTTPServer(("127.0.0.1", int(port)), Ready).serve_forever()
"""
DEMO = """
from pathlib import Path
from deploy.local import files
names = ("TOKEN", "PROGRAM", "SLUG", "MEMBER")
values = {f"STAMPGATE_DEMO_{name}": name.lower() for name in names}
files.write_env(Path(".stampgate/demo.env"), values)
"""
UP = f"""
import os, sys
from pathlib import Path
from deploy.local.up import up
sys.exit(up(Path.cwd() / ".stampgate", os.environ, steps=[("seed", ["-c", {DEMO!r}])]))
"""


PORTS = ("GATEWAY", "REDIRECTOR", "GATEWAY_METRICS", "REDIRECTOR_METRICS", "WORKERS_METRICS")


class Project:
    """A project folder with stand-ins in place of the apps."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / ".stampgate"
        for name in ("gateway", "redirector", "workers"):
            (folder / name).mkdir(parents=True)
            (folder / name / "__init__.py").touch()
            (folder / name / "__main__.py").write_text(STAND_IN)
        self.env = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
            **{f"STAMPGATE_{name}_PORT": str(free_port()) for name in PORTS},
        }

    def up(self, **env: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-c", UP],
            cwd=self.folder,
            env=self.env | env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def records(self) -> dict[str, processes.Record]:
        content = (self.data / processes.RECORDS).read_bytes()
        rows = msgspec.json.decode(content, type=processes.Records).processes
        return {row.name: row for row in rows}

    def remaining(self) -> list[str]:
        rows = self.records().values()
        return [row.name for row in rows if processes.start_time(row.pid) == row.started]


@pytest.fixture
def project(tmp_path: Path) -> Iterator[Project]:
    made = Project(tmp_path / "a project")
    yield made
    if made.data.exists():
        processes.stop_leftovers(made.data / processes.RECORDS)
        sockets = folders.socket_folder(made.data)
        Postgres(made.data, sockets).erase()


def output_until_ready(running: subprocess.Popen[str]) -> str:
    assert running.stdout is not None
    seen = ""
    for line in running.stdout:
        seen += line
        if line.startswith("curl"):
            return seen
    raise AssertionError(seen)


def test_up_gets_ready_and_a_signal_stops_everything(project: Project) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        with project.up() as running:
            text = output_until_ready(running)
            port = project.env["STAMPGATE_REDIRECTOR_PORT"]
            assert f"\nready  http://127.0.0.1:{port}/r/slug\n" in text
            assert "Idempotency-Key: demo-" in text
            assert len(project.remaining()) == 6
            running.send_signal(number)
            assert running.wait() == 0, number
            assert project.remaining() == [], number


def test_a_death_is_named_and_ends_the_run(project: Project) -> None:
    for name in ("postgres", "redis-state", "gateway"):
        with project.up() as running:
            output_until_ready(running)
            os.kill(project.records()[name].pid, signal.SIGKILL)
            rest, _ = running.communicate()
            assert running.returncode == 1, name
            assert f"make up: {name} was killed by SIGKILL" in rest
            assert project.remaining() == [], name


def test_an_app_that_does_not_listen_is_killed(project: Project) -> None:
    deaf = STAND_IN.replace("lambda *_: os._exit(0)", "signal.SIG_IGN")
    (project.folder / "workers" / "__main__.py").write_text(deaf)
    with project.up() as running:
        output_until_ready(running)
        running.terminate()
        assert running.wait() == 0
        assert project.remaining() == []


def test_it_starts_again_on_its_data_after_kill_minus_nine_of_everything(project: Project) -> None:
    with project.up() as running:
        output_until_ready(running)
        ring = (project.data / "keyring.json").read_bytes()
        pids = [row.pid for row in project.records().values()]
        for pid in [running.pid, *pids]:
            os.kill(pid, signal.SIGKILL)
    with project.up() as running:
        output_until_ready(running)
        assert (project.data / "keyring.json").read_bytes() == ring
        running.terminate()


def test_kill_minus_nine_of_the_run_takes_everything_with_it(project: Project) -> None:
    with project.up() as running:
        output_until_ready(running)
        running.kill()
    while project.remaining():
        time.sleep(0.02)


def test_a_second_run_in_the_same_folder_is_refused(project: Project) -> None:
    with project.up() as running:
        output_until_ready(running)
        with project.up() as second:
            said, _ = second.communicate()
        assert second.returncode == 1
        assert f"(pid {running.pid})" in said
        assert running.poll() is None
        running.terminate()


def test_a_port_in_use_is_named_with_its_variable(project: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with project.up(STAMPGATE_GATEWAY_METRICS_PORT=str(port)) as running:
            said, _ = running.communicate()
    assert running.returncode == 1
    assert f"port {port} is in use: choose another with STAMPGATE_GATEWAY_METRICS_PORT" in said


def test_a_bad_setting_is_named_and_nothing_starts(project: Project) -> None:
    with project.up(STAMPGATE_REDIRECTOR_PROCESSES="many") as running:
        said, _ = running.communicate()
    assert running.returncode == 1
    assert "STAMPGATE_REDIRECTOR_PROCESSES" in said
    assert "starting" not in said


def test_a_failed_step_shows_what_it_printed(project: Project) -> None:
    script = UP.replace(repr(DEMO), repr("raise SystemExit('no such schema')"))
    done = subprocess.run(
        [sys.executable, "-c", script],
        cwd=project.folder,
        env=project.env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert "no such schema" in done.stderr
    assert project.remaining() == []


def test_servers_that_are_given_are_used_and_not_started(
    project: Project, servers: Servers, tmp_path: Path
) -> None:
    secret = tmp_path / "database_url"
    secret.write_text(servers.database_url)
    given = {
        "STAMPGATE_DATABASE_URL_FILE": str(secret),
        "STAMPGATE_REDIS_URL": servers.redis_url,
        "STAMPGATE_QUEUE_URL": servers.queue_url,
    }
    with project.up(**given) as running:
        output_until_ready(running)
        assert sorted(project.records()) == ["gateway", "redirector", "workers"]
        assert files.read_env(project.data / "stack.env") == given
        running.terminate()


@pytest.mark.parametrize(
    ("variable", "name"),
    [
        ("STAMPGATE_DATABASE_URL", "postgres"),
        ("STAMPGATE_REDIS_URL", "redis-state"),
        ("STAMPGATE_QUEUE_URL", "redis-queue"),
    ],
)
def test_each_server_is_started_only_when_it_is_not_given(
    tmp_path: Path, variable: str, name: str
) -> None:
    given = {
        "STAMPGATE_DATABASE_URL": "postgresql://db/stampgate",
        "STAMPGATE_REDIS_URL": "redis://state",
        "STAMPGATE_QUEUE_URL": "redis://queue",
    }
    started = environment.prepare(tmp_path, {**given, variable: ""})
    assert [server.name for server in started.servers] == [name]
    kept: Mapping[str, str] = {k: v for k, v in given.items() if k != variable}
    assert kept.items() <= started.variables.items()
    folders.socket_folder(tmp_path).rmdir()


def test_addresses_and_keys_are_for_our_eyes_only(tmp_path: Path) -> None:
    odd = {"STAMPGATE_DATABASE_URL": "postgresql://u:it's@h/db?a=1&b=$2 3", "STAMPGATE_X": "1"}
    environment.write_addresses(tmp_path / "stack.env", odd)
    kept = {"STAMPGATE_DATABASE_URL": odd["STAMPGATE_DATABASE_URL"]}
    assert files.read_env(tmp_path / "stack.env") == kept
    sourced = subprocess.run(
        ["sh", "-c", '. "$0"; printf %s "$STAMPGATE_DATABASE_URL"', tmp_path / "stack.env"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert sourced.stdout == odd["STAMPGATE_DATABASE_URL"]
    assert environment.make_keyring(tmp_path / "keyring.json")
    assert not environment.make_keyring(tmp_path / "keyring.json")
    keyring.parse((tmp_path / "keyring.json").read_bytes())
    for name in ("stack.env", "keyring.json"):
        assert (tmp_path / name).stat().st_mode & 0o777 == 0o600
