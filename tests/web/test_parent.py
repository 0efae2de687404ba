from __future__ import annotations

import asyncio
import ctypes
import json
import os
import signal
import sys
from pathlib import Path

import pytest

from tests.ports import free_port
from tests.web.running import ROOT, cmdline, is_alive, running, state, until
from web import child, parent


async def test_a_killed_worker_is_replaced_on_the_same_socket_and_its_queue_is_kept(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as app:
        first = await until(app.pid)
        os.kill(first, signal.SIGSTOP)
        # Accepted by nobody yet: it waits in the queue of the stopped worker's socket.
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        os.kill(first, signal.SIGKILL)
        answer = await asyncio.wait_for(reader.read(), 20)
        writer.close()
        second = json.loads(answer.partition(b"\r\n\r\n")[2])["pid"]
        assert second != first


async def test_totals_of_a_dead_worker_are_kept_and_its_live_gauge_goes(tmp_path: Path) -> None:
    clicks = 'stampgate_clicks_total{class="human"}'
    async with running(tmp_path) as app:
        first = await until(app.pid)
        before = await app.metric(clicks)
        assert before >= 1
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(b"GET /die HTTP/1.1\r\nHost: x\r\n\r\n")
        assert await reader.read() == b""
        writer.close()
        assert await until(app.pid) != first
        assert await app.metric(clicks) == before + 2
        assert await app.metric("stampgate_redis_pending") == 1
        assert await app.metric('stampgate_child_restarts_total{child="test-0"}') == 1


async def test_metrics_are_summed_over_the_workers(tmp_path: Path) -> None:
    async with running(tmp_path, 3) as app:
        await until(app.pid)

        async def all_up() -> bool:
            return await app.metric("stampgate_redis_pending") == 3

        assert await until(all_up)


async def test_a_killed_parent_takes_its_children_along(tmp_path: Path) -> None:
    async with running(tmp_path, 2) as app:
        await until(app.pid)
        workers = app.workers()
        app.process.kill()
        await app.process.wait()
        assert len(workers) == 2

        async def all_gone() -> bool:
            return not any(map(is_alive, workers))

        assert await until(all_gone)


async def test_the_next_start_removes_what_a_killed_parent_left(tmp_path: Path) -> None:
    async with running(tmp_path) as killed:
        await until(killed.pid)
        (left,) = tmp_path.iterdir()
        killed.process.kill()
        await killed.process.wait()
    async with running(tmp_path) as first, running(tmp_path) as second:
        await until(first.pid)
        await until(second.pid)
        folders = set(tmp_path.iterdir())
        assert len(folders) == 2
        assert left not in folders


async def test_sigterm_finishes_accepted_requests_and_leaves_nothing_behind(tmp_path: Path) -> None:
    async with running(tmp_path, 1) as app:
        await until(app.pid)
        workers = app.workers()
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n")
        clicks = 'stampgate_clicks_total{class="human"}'
        seen = await app.metric(clicks)

        async def is_being_handled() -> bool:
            return await app.metric(clicks) > seen or seen >= 2

        await until(is_being_handled)
        app.process.terminate()
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in answer
        writer.close()
        assert await app.process.wait() == 0
        assert "goodbye" in await app.stderr()
        assert not any(map(is_alive, workers))
        assert not list(tmp_path.iterdir())


async def test_a_child_that_does_not_stop_is_killed(tmp_path: Path) -> None:
    async with running(tmp_path, 1, "--deaf") as app:

        async def is_deaf() -> bool:
            return any(b"--deaf" in cmdline(pid) and state(pid) == "S" for pid in app.workers())

        await until(is_deaf)
        workers = app.workers()
        app.process.terminate()
        assert await app.process.wait() == 0
        assert not any(map(is_alive, workers))


async def test_a_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        await until(app.pid)
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.web.parent_app"),
            *(str(app.port), str(free_port()), "1"),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await second.communicate()
        assert second.returncode == 1
        assert stderr.decode() == f"test: port {app.port} is already in use (TEST_PORT)\n"


async def test_a_metrics_port_in_use_is_named_with_its_setting(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        await until(app.pid)
        second = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.web.parent_app"),
            *(str(free_port()), str(app.metrics_port), "1"),
            cwd=ROOT,
            stderr=asyncio.subprocess.PIPE,
        )
        _, stderr = await second.communicate()
        assert second.returncode == 1
        expected = f"test: port {app.metrics_port} is already in use (TEST_METRICS_PORT)\n"
        assert stderr.decode() == expected


def test_a_child_whose_parent_died_before_it_asked_ends_at_once() -> None:
    with pytest.raises(SystemExit):
        child.die_with_parent(os.getppid() + 1)
    # This very process asked to be told; take it back.
    ctypes.CDLL(None).prctl(1, 0, 0, 0, 0)


def test_a_process_run_alone_is_not_bound_to_a_parent() -> None:
    child.enter({})


def test_bound_sockets_share_their_port() -> None:
    address = parent.Address("127.0.0.1", free_port(), "TEST_PORT")
    sockets = parent.bind([address, address])
    assert {sock.getsockname() for sock in sockets} == {("127.0.0.1", address.port)}
    for sock in sockets:
        sock.close()


def test_an_address_that_is_not_ours_is_named() -> None:
    with pytest.raises(parent.CannotListen, match=r"port 1 on 192\.0\.2\.1: .* \(TEST_PORT\)"):
        parent.bind([parent.Address("192.0.2.1", 1, "TEST_PORT")])
