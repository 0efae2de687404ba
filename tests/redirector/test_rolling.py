"""SIGHUP under load: no connection is refused or reset, no answer is anything but a redirect."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Final

import aiohttp
import msgspec
import pytest

from db import keys
from db.redis import Connection
from tests.ports import free_port
from tests.redirector.conftest import Publish, eventually
from tests.web.steady import Outcome, Steady

PROCESSES: Final = 2
REDIRECTS: Final = re.compile(
    r'^stampgate_http_requests_total\{.*route="redirect".*\} (\S+)$', re.MULTILINE
)

KINDS: Final = pytest.mark.parametrize(
    "keeps", [True, False], ids=["kept connections", "short connections"]
)


class Parent:
    """`python -m redirector` with its workers."""

    def __init__(self, process: asyncio.subprocess.Process, port: int, metrics_port: int) -> None:
        self.process = process
        self.port = port
        self._metrics = f"http://127.0.0.1:{metrics_port}/metrics"

    def workers(self) -> set[int]:
        """The pids of the workers."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return {int(child) for child in children.split()}

    async def redirects(self) -> int:
        """How many redirects its metrics count."""
        async with aiohttp.request("GET", self._metrics) as answer:
            return sum(int(float(count)) for count in REDIRECTS.findall(await answer.text()))

    async def is_ready(self) -> bool:
        """Whether every worker serves; connections are spread over them by chance."""
        url = f"http://127.0.0.1:{self.port}/health/ready"
        try:
            for _ in range(8 * PROCESSES):
                async with aiohttp.request("GET", url) as answer:
                    if answer.status != 200:
                        return False
        except aiohttp.ClientError:
            return False
        return len(self.workers()) == PROCESSES

    async def roll(self) -> None:
        """Have all workers replaced, and wait until the old ones have gone."""
        before = self.workers()
        self.process.send_signal(signal.SIGHUP)
        await eventually(
            lambda: len(self.workers()) == PROCESSES and not self.workers() & before, 60
        )


@asynccontextmanager
async def parent(environ: dict[str, str], tmp_path: Path) -> AsyncIterator[Parent]:
    """A parent whose workers are ready."""
    port, metrics_port = free_port(), free_port()
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "redirector"),
        env={
            **os.environ,
            **environ,
            "TMPDIR": os.fspath(tmp_path),
            "STAMPGATE_REDIRECTOR_PORT": str(port),
            "STAMPGATE_REDIRECTOR_METRICS_PORT": str(metrics_port),
            "STAMPGATE_REDIRECTOR_PROCESSES": str(PROCESSES),
            "STAMPGATE_SHUTDOWN_TIMEOUT_S": "4",
            "STAMPGATE_LOG_LEVEL": "error",
        },
    )
    try:
        started = Parent(process, port, metrics_port)
        await eventually(started.is_ready)
        yield started
    finally:
        process.terminate()
        await process.wait()


async def clicks(connection: Connection) -> int:
    """How many clicks are on the streams."""
    counts = [
        await connection.call("HGETALL", keys.click_counts(partition))
        for partition in range(keys.CLICK_PARTITIONS)
    ]
    return sum(int(count) for flat in counts for count in flat[1::2])


@KINDS
async def test_every_visitor_is_redirected_and_every_click_kept_while_workers_are_replaced(
    *,
    keeps: bool,
    environ: dict[str, str],
    tmp_path: Path,
    publish: Publish,
    connection: Connection,
) -> None:
    await publish("shop")
    async with parent(environ, tmp_path) as redirector:
        load = Steady(redirector.port, "/r/shop", keeps=keeps)
        loading = asyncio.create_task(asyncio.to_thread(load.run, 300, 6, 16))
        await redirector.roll()
        await redirector.roll()
        outcome = await loading
        assert not outcome.errors
        assert outcome.statuses == {302: outcome.sent}

        async def are_counted() -> bool:
            return await redirector.redirects() == outcome.sent

        await eventually(are_counted)
    assert await clicks(connection) == outcome.sent


@pytest.mark.chaos
@KINDS
async def test_a_minute_at_5000_a_second_with_workers_replaced_all_the_time(
    *,
    keeps: bool,
    environ: dict[str, str],
    tmp_path: Path,
    publish: Publish,
    connection: Connection,
) -> None:
    await publish("shop")
    async with parent(environ, tmp_path) as redirector:
        loading = asyncio.create_task(generate(redirector.port, keeps=keeps))
        rounds = 0
        while not loading.done():
            await asyncio.wait({loading}, timeout=3)
            await redirector.roll()
            rounds += 1
        outcome = loading.result()
        rows = {"connections": "kept" if keeps else "short", "rounds": rounds} | asdict(outcome)
        sys.stdout.write("\n" + "".join(f"{name:12} {value}\n" for name, value in rows.items()))
        assert not outcome.errors
        assert outcome.statuses == {302: outcome.sent}

        async def are_counted() -> bool:
            return await redirector.redirects() == outcome.sent

        await eventually(are_counted)
    assert await clicks(connection) == outcome.sent


async def generate(port: int, *, keeps: bool) -> Outcome:
    """A minute of load from a process of its own, which nothing else delays."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.web.steady"),
        *(str(port), "/r/shop", "keep" if keeps else "close", "5000", "60", "256"),
        stdout=asyncio.subprocess.PIPE,
    )
    stdout, _ = await process.communicate()
    return msgspec.json.decode(stdout, type=Outcome)
