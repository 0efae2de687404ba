from __future__ import annotations

import asyncio
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest

from core.settings import Settings
from tests.workers.conftest import ROOT, Start, environment, until
from workers.__main__ import ROLES


def children(pid: int) -> dict[str, int]:
    """Role → pid of the processes of a parent."""
    roles = {}
    for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
        roles[Path(f"/proc/{child}/cmdline").read_text().rstrip("\0").split("\0")[-1]] = int(child)
    return roles


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        return int(sock.getsockname()[1])


@pytest.fixture
async def parent(settings: Settings, port: int) -> AsyncIterator[asyncio.subprocess.Process]:
    variables = {**environment(settings), "STAMPGATE_WORKERS_METRICS_PORT": str(port)}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "workers"), cwd=ROOT, env={**os.environ, **variables}
    )
    yield process
    if process.returncode is None:
        process.kill()
        await process.wait()


async def test_a_killed_role_is_replaced_and_all_stop_together(
    parent: asyncio.subprocess.Process, port: int
) -> None:
    async def metrics() -> str:
        try:
            async with aiohttp.request("GET", f"http://127.0.0.1:{port}/metrics") as answer:
                return await answer.text()
        except aiohttp.ClientError:
            return ""

    async def is_measured() -> bool:
        return 'stampgate_outbox_depth{queue="default"} 0.0' in await metrics()

    async def is_replaced() -> bool:
        return 'stampgate_child_restarts_total{child="jobs"} 1.0' in await metrics()

    await until(is_measured)
    before = children(parent.pid)
    assert set(before) == set(ROLES)
    os.kill(before["jobs"], signal.SIGKILL)
    await until(is_replaced)
    parent.terminate()
    assert await parent.wait() == 0
    assert not any(Path(f"/proc/{pid}").exists() for pid in before.values())


async def test_a_hangup_replaces_every_role(parent: asyncio.subprocess.Process) -> None:
    async def is_up() -> bool:
        return set(children(parent.pid)) == set(ROLES)

    await until(is_up)
    before = children(parent.pid)
    parent.send_signal(signal.SIGHUP)
    for pid in before.values():

        async def is_gone(pid: int = pid) -> bool:
            return pid not in children(parent.pid).values()

        await until(is_gone)
    assert set(children(parent.pid)) == set(ROLES)
    parent.terminate()
    assert await parent.wait() == 0


@pytest.mark.parametrize(
    ("role", "said"),
    [("brew", "usage: python -m workers"), ("relay", "STAMPGATE_DATABASE_URL")],
)
async def test_a_start_that_makes_no_sense_says_why(
    role: str, said: str, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    if role == "relay":
        from tests.workers import conftest

        monkeypatch.setattr(conftest, "environment", lambda _: {})
    process = await start(role)
    assert process.stderr is not None
    assert said in (await process.stderr.read()).decode()
    assert await process.wait() == 2
