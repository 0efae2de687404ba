"""SIGHUP: all processes of an app are replaced, and nobody notices."""

from __future__ import annotations

import asyncio
import os
import signal
from pathlib import Path

import pytest

from tests.web.running import is_alive, running, serves_another, until
from tests.web.steady import Steady

CLICKS = 'stampgate_clicks_total{class="human"}'
# A worker gives a silent connection a fourth of it; the parent kills after 5 s all the same.
PATIENT = "40"
GET = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.mark.parametrize("keeps", [True, False], ids=["kept connections", "short connections"])
async def test_no_request_fails_while_all_processes_are_replaced_again_and_again(
    *, keeps: bool, tmp_path: Path
) -> None:
    async with running(tmp_path, 2) as app:
        await until(app.pid)
        pids = app.workers()
        before = await app.metric(CLICKS)
        load = Steady(app.port, "/", keeps=keeps)
        loading = asyncio.create_task(asyncio.to_thread(load.run, 300, 8, 16))
        for _ in range(3):
            app.process.send_signal(signal.SIGHUP)
            pids = await app.all_replaced(pids)
        outcome = await loading
        assert not outcome.errors
        assert outcome.statuses == {200: outcome.sent}
        # The totals of processes that went are kept, and none is counted twice.
        assert await app.metric(CLICKS) == before + outcome.sent

        async def gauges_of_the_old_are_gone() -> bool:
            return await app.metric("stampgate_redis_pending") == 2

        await until(gauges_of_the_old_are_gone)
        # Four generations, and files for two.
        (folder,) = tmp_path.iterdir()
        assert {file.stem for file in folder.glob("counter_*")} == {
            f"counter_test-{seat}{letter}" for seat in (0, 1) for letter in "ab"
        }


async def test_an_idle_connection_is_answered_once_more_and_told_to_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAMPGATE_SHUTDOWN_TIMEOUT_S", PATIENT)
    async with running(tmp_path) as app:
        pids = [await until(app.pid)]
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        writer.write(GET)
        head = await reader.readuntil(b"\r\n\r\n")
        assert b"Connection: close" not in head
        await reader.readuntil(b"}")
        app.process.send_signal(signal.SIGHUP)
        await until(lambda: serves_another(app, pids[0]))
        writer.write(GET)
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 OK")
        assert b"Connection: close" in answer
        assert str(pids[0]).encode() in answer
        writer.close()


async def test_a_connection_that_stays_silent_is_closed_in_the_end(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        pids = [await until(app.pid)]
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
        app.process.send_signal(signal.SIGHUP)
        assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        await app.all_replaced(pids)


async def test_a_successor_that_crashes_leaves_the_old_process_until_one_comes_up(
    tmp_path: Path,
) -> None:
    spoiler = tmp_path / "spoiler"
    async with running(tmp_path, 1, "--spoiled-by", str(spoiler)) as app:
        await until(app.pid)
        before = app.workers()
        spoiler.write_text("crash")
        app.process.send_signal(signal.SIGHUP)
        await app.said("test-0 does not come up anew, the old one goes on")
        assert app.workers() == before
        assert await app.pid() in before
        spoiler.unlink()
        app.process.send_signal(signal.SIGHUP)
        await app.all_replaced(before)


async def test_a_successor_that_hangs_is_given_up_and_the_old_process_goes_on(
    tmp_path: Path,
) -> None:
    spoiler = tmp_path / "spoiler"
    async with running(tmp_path, 1, "--hasty", "--spoiled-by", str(spoiler)) as app:
        before = await until(app.pid)
        spoiler.write_text("hang")
        app.process.send_signal(signal.SIGHUP)
        await app.said("test-0 does not come up anew, the old one goes on")
        assert app.workers() == [before]
        assert await app.pid() == before


async def test_a_successor_that_dies_is_replaced_before_its_predecessor_has_gone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAMPGATE_SHUTDOWN_TIMEOUT_S", PATIENT)
    async with running(tmp_path) as app:
        first = await until(app.pid)
        # Keeps the first one until it has been silent for a while.
        _, writer = await asyncio.open_connection("127.0.0.1", app.port)
        app.process.send_signal(signal.SIGHUP)
        second = await until(lambda: serves_another(app, first))
        os.kill(second, signal.SIGKILL)
        await app.said("test-0 ended (SIGKILL)")
        assert is_alive(first)
        assert await until(app.pid) not in (first, second)
        writer.close()


async def test_a_parent_killed_while_it_replaces_leaves_no_process(tmp_path: Path) -> None:
    async with running(tmp_path, 2) as app:
        await until(app.pid)
        app.process.send_signal(signal.SIGHUP)

        async def three() -> list[int]:
            workers = app.workers()
            return workers if len(workers) == 3 else []

        workers = await until(three)
        app.process.kill()
        await app.process.wait()

        async def all_gone() -> bool:
            return not any(map(is_alive, workers))

        assert await until(all_gone)


def is_pending(pid: int, signal_number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    pending = next(line.split()[1] for line in status.splitlines() if line.startswith("ShdPnd"))
    return bool(int(pending, 16) >> (signal_number - 1) & 1)


async def test_a_hangup_while_stopping_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STAMPGATE_SHUTDOWN_TIMEOUT_S", PATIENT)
    async with running(tmp_path) as app:
        await until(app.pid)
        workers = app.workers()
        # The worker waits for its next request.
        _, writer = await asyncio.open_connection("127.0.0.1", app.port)
        app.process.terminate()
        # Of two signals that are pending the lower number would come first.
        while is_pending(app.process.pid, signal.SIGTERM):  # noqa: ASYNC110  # the kernel tells nobody
            await asyncio.sleep(0.001)
        for _ in range(20):
            app.process.send_signal(signal.SIGHUP)
            assert app.workers() == workers
            await asyncio.sleep(0.01)
        assert await app.process.wait() == 0
        writer.close()


async def test_a_hangup_that_reaches_a_worker_is_none_of_its_business(tmp_path: Path) -> None:
    async with running(tmp_path) as app:
        pid = await until(app.pid)
        os.kill(pid, signal.SIGHUP)
        assert await app.pid() == pid
