"""A parent with workers, as processes of their own (`parent_app.py`)."""

from __future__ import annotations

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple, TypeVar

import aiohttp

from tests.ports import free_port

T = TypeVar("T")
ROOT = Path(__file__).parents[2]


class Running(NamedTuple):
    process: asyncio.subprocess.Process
    port: int
    metrics_port: int

    async def pid(self) -> int:
        """The pid of a worker, over a connection of its own."""
        return int((await get(self.port, "/"))["pid"])

    async def metric(self, sample: str) -> float:
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"http://127.0.0.1:{self.metrics_port}/metrics") as answer,
        ):
            text = await answer.text()
        found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
        return float(found[1]) if found else 0.0

    def workers(self) -> list[int]:
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    async def stderr(self) -> str:
        assert self.process.stderr is not None
        return (await self.process.stderr.read()).decode()

    async def said(self, words: str) -> None:
        """Wait until the parent or a worker says so."""
        assert self.process.stderr is not None
        async with asyncio.timeout(40):
            while words not in (line := (await self.process.stderr.readline()).decode()):
                assert line, f"it ended without saying {words!r}"

    async def all_replaced(self, before: list[int]) -> list[int]:
        """Wait until as many others run in place of these; their pids."""

        async def others() -> list[int]:
            now = self.workers()
            is_done = len(now) == len(before) and not set(now) & set(before)
            return now if is_done else []

        return await until(others)


async def get(port: int, path: str) -> dict[str, int]:
    async with (
        aiohttp.ClientSession() as session,
        session.get(f"http://127.0.0.1:{port}{path}") as answer,
    ):
        found: dict[str, int] = await answer.json()
        return found


def is_alive(pid: int) -> bool:
    return Path(f"/proc/{pid}").exists() and state(pid) != "Z"


def cmdline(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def state(pid: int) -> str:
    """R(unning), S(leeping), T (stopped), Z(ombie)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def until(check: Callable[[], Awaitable[T]]) -> T:
    """The first truthy result of `check`, asked again and again for a while."""
    async with asyncio.timeout(40):
        while True:
            try:
                if result := await check():
                    return result
            except aiohttp.ClientError:
                pass
            await asyncio.sleep(0.02)


@asynccontextmanager
async def running(tmp_path: Path, workers: int = 1, *arguments: str) -> AsyncIterator[Running]:
    port, metrics_port = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.web.parent_app"),
        *(str(port), str(metrics_port), str(workers), *arguments),
        cwd=ROOT,
        env={**os.environ, "TMPDIR": str(tmp_path)},
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        yield Running(process, port, metrics_port)
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()


async def serves_another(app: Running, than: int) -> int:
    """The pid that answers, 0 while it is still this one."""
    pid = await app.pid()
    return 0 if pid == than else pid
