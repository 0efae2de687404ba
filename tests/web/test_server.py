"""The server in a process of its own (`worker.py`), spoken to in bytes."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

ROOT = Path(__file__).parents[2]


class Worker(NamedTuple):
    process: asyncio.subprocess.Process
    port: int

    async def ask(self, request: bytes) -> bytes:
        """Everything that comes back on one connection, until the server closes it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        try:
            return await reader.read()
        finally:
            writer.close()


@pytest.fixture
async def worker() -> AsyncIterator[Worker]:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "tests.web.worker"),
            cwd=ROOT,
            env={**os.environ, "STAMPGATE_LISTEN_FD": str(sock.fileno())},
            pass_fds=(sock.fileno(),),
            stderr=asyncio.subprocess.PIPE,
        )
        yield Worker(process, sock.getsockname()[1])
    if process.returncode is None:
        process.kill()
    await process.communicate()


def parsed(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)


GET = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"

BAD_HEADS = {
    "not HTTP": (b"\x16\x03\x01\x02\x00\r\n\r\n", 400, "bad_request"),
    "no host": (b"GET / HTTP/1.1\r\n\r\n", 400, "bad_request"),
    "a long path": (b"GET /%s HTTP/1.1\r\nHost: x\r\n\r\n" % (b"a" * 9000), 431, "head_too_large"),
    "a long header": (
        b"GET / HTTP/1.1\r\nHost: x\r\nX: %s\r\n\r\n" % (b"a" * 9000),
        431,
        "head_too_large",
    ),
    "many headers": (
        b"GET / HTTP/1.1\r\nHost: x\r\n"
        + b"".join(b"X-%d: 1\r\n" % i for i in range(200))
        + b"\r\n",
        400,
        "bad_request",
    ),
    "a NUL in a header": (b"GET / HTTP/1.1\r\nHost: x\r\nX: a\x00b\r\n\r\n", 400, "bad_request"),
    "two lengths": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        400,
        "bad_request",
    ),
    "a length and chunks": (
        b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n",
        400,
        "bad_request",
    ),
    "a declared body too large": (
        b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100001\r\n\r\n",
        413,
        "body_too_large",
    ),
    "a chunked body too large": (
        b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
        + b"ffff\r\n%s\r\n" % (b"a" * 65535) * 2,
        413,
        "body_too_large",
    ),
    "a bad chunk": (
        b"POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        400,
        "bad_request",
    ),
    "a fault of ours": (b"GET /fault HTTP/1.1\r\nHost: x\r\n\r\n", 500, "internal_error"),
}


async def test_a_bad_request_is_answered_with_a_problem(worker: Worker) -> None:
    for name, (request, status, code) in BAD_HEADS.items():
        answer = await worker.ask(request)
        found, document = parsed(answer)
        assert (found, document["status"], document["code"]) == (status, status, code), name
        assert b"application/problem+json" in answer, name
        assert b"+33" not in answer, name
        assert parsed(await worker.ask(GET))[0] == 200, name


async def test_a_body_within_the_limit_is_read_whole(worker: Worker) -> None:
    head = b"POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    for size in (0, 10, 99_999, 100_000):
        assert parsed(await worker.ask(head % size + b"a" * size)) == (200, size)


async def test_a_client_that_waits_for_100_continue_is_asked_to_go_on(worker: Worker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    writer.write(
        b"POST /body HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
        b"Content-Length: 2\r\nExpect: 100-continue\r\n\r\n"
    )
    assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
    writer.write(b"{}")
    assert parsed(await reader.read()) == (200, 2)
    writer.close()


async def test_a_client_that_leaves_in_the_middle_of_its_body_is_no_fault(worker: Worker) -> None:
    _, writer = await asyncio.open_connection("127.0.0.1", worker.port)
    writer.write(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 50000\r\n\r\nabc")
    await writer.drain()
    assert parsed(await worker.ask(GET))[0] == 200
    writer.close()
    await writer.wait_closed()
    assert parsed(await worker.ask(GET))[0] == 200
    worker.process.send_signal(signal.SIGTERM)
    _, stderr = await worker.process.communicate()
    assert stderr == b"goodbye\n"


async def test_requests_on_one_connection_are_answered_in_order(worker: Worker) -> None:
    slow = b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"
    post = b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nConnection: close\r\n\r\nabc"
    answers = (await worker.ask(slow + post)).split(b"HTTP/1.1 ")[1:]
    assert [answer.rpartition(b"\r\n\r\n")[2] for answer in answers] == [
        b'{"pid":%d}' % worker.process.pid,
        b"3",
    ]


async def test_a_stop_finishes_what_was_accepted_and_closes_what_is_idle(worker: Worker) -> None:
    idle_reader, idle_writer = await asyncio.open_connection("127.0.0.1", worker.port)
    idle_writer.write(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
    first = await idle_reader.readuntil(b"}")
    assert b"Connection: close" not in first
    slow = asyncio.create_task(worker.ask(b"GET /slow HTTP/1.1\r\nHost: x\r\n\r\n"))
    # A later answer on another connection shows that the slow request is in its handler.
    await asyncio.sleep(0)
    await worker.ask(GET)
    worker.process.send_signal(signal.SIGTERM)
    answer = await slow
    assert answer.startswith(b"HTTP/1.1 200 OK")
    assert b"Connection: close" in answer
    assert await idle_reader.read() == b""
    idle_writer.close()
    _, stderr = await worker.process.communicate()
    assert stderr == b"goodbye\n"
    assert worker.process.returncode == 0
