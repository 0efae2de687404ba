"""Our own PostgreSQL and Redis: every identity, kill -9, what lies in the way of a start."""

from __future__ import annotations

import asyncio
import os
import pwd
import select
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import msgspec
import pytest
from redis import Redis

from deploy.local import folders, processes
from deploy.local.postgres import Postgres, ServerFailed
from deploy.local.processes import Identity
from deploy.local.redis_server import OLDEST, candidates, find_binary, version
from deploy.local.redis_server import Redis as RedisServer
from deploy.local.servers import Servers, throwaway

AS_ROOT = os.geteuid() == 0
IDENTITIES: list[Identity] = ["namespace", "nobody"] if AS_ROOT else ["same"]


@pytest.fixture(scope="module", params=IDENTITIES)
def own(request: pytest.FixtureRequest) -> Iterator[Servers]:
    with throwaway(identity=request.param, fsync=True, durability="always") as servers:
        yield servers


def ask(url: str, query: str) -> object:
    async def fetch() -> object:
        db = await asyncpg.connect(url)
        try:
            return await db.fetchval(query)
        finally:
            await db.close()

    return asyncio.run(fetch())


def test_our_roles_reach_one_utf8_database_in_the_c_locale(own: Servers) -> None:
    assert ask(own.database_url, "SELECT current_user::text") == "stampgate_app"
    assert ask(own.flush_url, "SELECT current_user::text") == "stampgate_flush"
    owner = "SELECT pg_get_userbyid(datdba) FROM pg_database WHERE datname = current_database()"
    assert ask(own.migrate_url, owner) == "stampgate_owner"
    collation = "SELECT datcollate FROM pg_database WHERE datname = current_database()"
    assert ask(own.database_url, collation) == "C"
    assert ask(own.database_url, "SELECT current_setting('server_encoding')") == "UTF8"
    assert ask(own.database_url, "SELECT current_setting('data_checksums')") == "on"


def test_nothing_of_ours_listens_on_a_network(own: Servers) -> None:
    assert ask(own.database_url, "SELECT current_setting('listen_addresses')") == ""
    with Redis.from_url(own.redis_url) as client:
        assert client.config_get("port") == {"port": "0"}


def test_sockets_lie_in_a_folder_that_is_private(own: Servers) -> None:
    for folder in (own.sockets, own.postgres.home.sockets):
        assert folder.stat().st_mode & 0o777 == 0o700


def test_data_survives_kill_minus_nine(own: Servers) -> None:
    ask(own.migrate_url, "CREATE TABLE kept AS SELECT 7 AS value")
    with Redis.from_url(own.redis_url) as client:
        client.set("kept", "7")
    own.postgres.restart()
    own.redis.restart()
    assert ask(own.migrate_url, "SELECT value FROM kept") == 7
    with Redis.from_url(own.redis_url) as client:
        assert client.get("kept") == b"7"
    ask(own.migrate_url, "DROP TABLE kept")


def test_a_stale_lock_whose_pid_a_stranger_has_now_is_no_obstacle(own: Servers) -> None:
    own.postgres.kill()
    lock = own.postgres.home.data / "postmaster.pid"
    lines = lock.read_text().splitlines()
    # Not this process: PostgreSQL takes its own parent's pid for a coincidence.
    with subprocess.Popen(["sleep", "60"]) as stranger:
        lock.write_text("\n".join([str(stranger.pid), *lines[1:]]) + "\n")
        own.postgres.start()
        stranger.kill()
    assert ask(own.database_url, "SELECT 1") == 1


def test_a_killed_server_that_nobody_collects_is_no_obstacle(own: Servers) -> None:
    killed = own.postgres.process
    assert killed is not None
    os.kill(killed.pid, signal.SIGKILL)
    os.waitid(os.P_PID, killed.pid, os.WEXITED | os.WNOWAIT)
    own.postgres.start()
    assert not killed.is_alive
    assert ask(own.database_url, "SELECT 1") == 1


def test_redis_keeps_what_it_acknowledged_and_evicts_nothing(own: Servers) -> None:
    expected = {"appendonly": "yes", "appendfsync": "always", "maxmemory-policy": "noeviction"}
    with Redis.from_url(own.redis_url) as client:
        # Before 7.0 CONFIG GET takes one name.
        for name, value in expected.items():
            assert client.config_get(name) == {name: value}
    with Redis.from_url(own.queue_url) as client:
        assert client.config_get("appendfsync") == {"appendfsync": "everysec"}


def test_a_failed_start_shows_what_the_server_said(tmp_path: Path) -> None:
    postgres = Postgres(tmp_path / "project", folders.socket_folder(tmp_path))
    postgres.home.data.mkdir(parents=True)
    with pytest.raises(ServerFailed, match=r"postgresql\.conf"):
        postgres.start()
    postgres.erase()


def as_nobody(script: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", script]
    env = {"PATH": os.defpath, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.run(
        processes.launched(command, "nobody", signal.SIGKILL),
        env=env,
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.skipif(not AS_ROOT, reason="only root can become someone else")
def test_an_ordinary_user_runs_postgresql_as_itself() -> None:
    if as_nobody("import asyncpg, deploy.local").returncode != 0:
        pytest.skip("this Python or this folder is closed to other users")
    done = as_nobody(
        "from deploy.local.servers import throwaway\n"
        "with throwaway() as servers: print(servers.postgres.home.identity)"
    )
    assert done.stdout == "same\n", done.stderr


def test_no_user_is_created_and_no_parent_folder_changed() -> None:
    users, mode = pwd.getpwall(), Path("/var/tmp").stat().st_mode
    for identity in IDENTITIES:
        with throwaway(identity=identity):
            assert pwd.getpwall() == users
            assert Path("/var/tmp").stat().st_mode == mode


def test_a_throwaway_leaves_neither_files_nor_processes() -> None:
    for identity in IDENTITIES:
        with throwaway(identity=identity) as servers:
            home = servers.postgres.home
            pids = [s.process.pid for s in (servers.postgres, servers.redis) if s.process]
        assert not home.data.exists()
        assert not home.sockets.exists()
        assert not servers.sockets.exists()
        assert [processes.start_time(pid) for pid in pids] == [0, 0]


def test_a_folder_with_a_space_is_fine(tmp_path: Path) -> None:
    folder = tmp_path / "two words"
    folder.mkdir()
    servers = Servers(folder, identity=IDENTITIES[0])
    with servers:
        assert ask(servers.database_url, "SELECT 1") == 1
        with Redis.from_url(servers.redis_url) as client:
            assert client.ping()
    servers.postgres.erase()


def test_servers_die_with_the_process_that_started_them(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys\n"
        "from pathlib import Path\n"
        "from deploy.local.servers import Servers\n"
        "with Servers(Path(sys.argv[1]), fsync=False) as servers:\n"
        "    print(servers.postgres.process.pid, servers.redis.process.pid, flush=True)\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, tmp_path],
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
        check=False,
    )
    assert done.returncode == -signal.SIGKILL
    for pid in map(int, done.stdout.split()):
        ends(pid)
    Postgres(tmp_path, folders.socket_folder(tmp_path)).erase()


def ends(pid: int) -> None:
    """Wait until a process that is not our child is gone; the test's timeout is the limit."""
    try:
        handle = os.pidfd_open(pid)
    except ProcessLookupError:
        return
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    poll.poll()
    os.close(handle)


def test_a_long_temporary_folder_is_not_used_for_sockets(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("long" * 25)
    long.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(long))
    folder = folders.socket_folder(tmp_path)
    assert len(os.fsencode(folder / folders.SOCKET_NAME)) <= folders.SOCKET_PATH_MAX
    folder.rmdir()


def test_the_runtime_folder_is_preferred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory() as short:
        monkeypatch.setenv("XDG_RUNTIME_DIR", short)
        assert folders.socket_folder(tmp_path).parent == Path(short)


def test_a_socket_folder_that_someone_else_planted_is_refused(tmp_path: Path) -> None:
    (tmp_path / "planted").symlink_to("/")
    with pytest.raises(folders.BadFolder, match="planted"):
        folders.private(tmp_path / "planted")


def test_every_redis_that_is_offered_is_new_enough_or_left_out() -> None:
    assert version(find_binary()) >= OLDEST
    assert all(version(binary) > (0, 0) for binary in candidates())


@pytest.mark.parametrize("binary", list(candidates()))
def test_each_redis_binary_starts(
    binary: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.redis_server.find_binary", lambda: binary)
    sockets = folders.socket_folder(tmp_path)
    server = RedisServer("redis-state", tmp_path, sockets, sync="always")
    server.start()
    with Redis.from_url(server.url) as client:
        major, minor, _ = client.info("server")["redis_version"].split(".")
        assert (int(major), int(minor)) == version(binary)
    server.stop()
    sockets.rmdir()


def test_without_any_redis_the_message_says_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deploy.local.redis_server.candidates", lambda: iter(()))
    with pytest.raises(ServerFailed, match=r"install redis-server .* STAMPGATE_REDIS_URL"):
        find_binary()


def test_a_leftover_is_stopped_and_a_stranger_with_its_pid_is_not(tmp_path: Path) -> None:
    with subprocess.Popen(["sleep", "60"]) as leftover, subprocess.Popen(["sleep", "60"]) as other:
        rows = [
            processes.Record("leftover", leftover.pid, processes.start_time(leftover.pid), 15),
            processes.Record("other", other.pid, processes.start_time(other.pid) - 1, 15),
        ]
        records = tmp_path / processes.RECORDS
        records.write_bytes(msgspec.json.encode(processes.Records(processes.boot_id(), rows)))
        assert processes.stop_leftovers(records) == ["leftover"]
        assert leftover.wait() == -signal.SIGTERM
        assert other.poll() is None
        assert processes.stop_leftovers(records) == []
        other.kill()


@pytest.mark.parametrize("content", [b"", b"{", b'{"boot": "another", "processes": []}'])
def test_records_that_cannot_be_trusted_stop_nothing(tmp_path: Path, content: bytes) -> None:
    records = tmp_path / processes.RECORDS
    assert processes.stop_leftovers(records) == []
    records.write_bytes(content)
    assert processes.stop_leftovers(records) == []
