"""`python -m gateway` as a process: its parent, its workers, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import msgspec
import pytest

from core.settings import Settings
from tests.gateway.conftest import Client, bearer, token
from tests.ports import free_port

DEADLINE_S = 30
SAMPLES = (
    'stampgate_http_requests_total{app="gateway",route="get_program",status="200"}',
    'stampgate_postgres_seconds_count{transaction="read"}',
    'stampgate_postgres_seconds_count{transaction="write"}',
)


def environ_of(settings: Settings, **more: str) -> dict[str, str]:
    """The variables that say the same as the settings."""
    given: dict[str, Any] = msgspec.to_builtins(settings)
    return {
        **{name: text for name, text in os.environ.items() if not name.startswith("STAMPGATE_")},
        **{name: str(value) for name, value in given.items() if value != ""},
        **more,
    }


async def start(environ: dict[str, str]) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "gateway", env=environ, stderr=asyncio.subprocess.PIPE
    )


class Running:
    """A gateway of two workers."""

    def __init__(self, process: asyncio.subprocess.Process, client: Client, metrics: str) -> None:
        self.process = process
        self.client = client
        self.metrics = metrics

    async def until_ready(self) -> None:
        """Wait until a worker answers."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                try:
                    if (await self.client.get("/health/ready")).status == 200:
                        return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    def workers(self) -> list[int]:
        """The pids of the workers."""
        pid = self.process.pid
        return [
            int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        ]

    async def until_replaced(self, killed: int) -> None:
        """Wait until there are two workers again."""
        async with asyncio.timeout(DEADLINE_S):
            while True:
                if len(set(self.workers()) - {killed}) == 2:
                    return
                await asyncio.sleep(0.05)


@pytest.fixture
async def gateway_process(
    settings: Settings, open_partitions: None, session: aiohttp.ClientSession
) -> AsyncIterator[Running]:
    port, metrics_port = free_port(), free_port()
    process = await start(
        environ_of(
            settings,
            STAMPGATE_GATEWAY_PORT=str(port),
            STAMPGATE_GATEWAY_METRICS_PORT=str(metrics_port),
            STAMPGATE_GATEWAY_PROCESSES="2",
        )
    )
    client = Client(session, f"http://127.0.0.1:{port}", bearer(token(None)))
    running = Running(process, client, f"http://127.0.0.1:{metrics_port}/metrics")
    try:
        await running.until_ready()
        yield running
    finally:
        if process.returncode is None:
            process.kill()
        # To the end of what its children say: they hold the pipe until they are gone as well.
        await process.communicate()


async def test_a_killed_worker_is_replaced_and_the_end_is_orderly(
    gateway_process: Running,
) -> None:
    client = gateway_process.client
    made = await client.post("/v1/programs", {"name": "Tea", "currency": "INR"})
    assert made.status == 201
    killed, _ = gateway_process.workers()
    os.kill(killed, signal.SIGKILL)
    await gateway_process.until_replaced(killed)
    await gateway_process.until_ready()
    path = f"/v1/programs/{made.body['id']}"
    async with asyncio.timeout(DEADLINE_S):
        while True:
            assert (await client.get(path)).status == 200
            async with client.session.get(gateway_process.metrics) as answer:
                page = await answer.text()
            if all(sample in page for sample in SAMPLES):
                break
    gateway_process.process.send_signal(signal.SIGTERM)
    assert await gateway_process.process.wait() == 0


async def test_a_bad_setting_stops_the_start_and_is_named(settings: Settings) -> None:
    process = await start(environ_of(settings, STAMPGATE_GATEWAY_PORT="eighty"))
    _, complaint = await process.communicate()
    assert process.returncode == 2
    assert complaint.startswith(b"gateway: STAMPGATE_GATEWAY_PORT")
