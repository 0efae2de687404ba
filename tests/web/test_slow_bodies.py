"""A body that stops arriving does not keep its request open for good."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from tests.web.test_seams import SETTINGS
from web import server


async def test_a_body_that_stops_arriving_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server, "BODY_S_MAX", 0.1)

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(body=await server.read_body(request, 100))

    made = server.build(handler, settings=SETTINGS)
    listening = await asyncio.get_running_loop().create_server(made, "127.0.0.1", 0)
    try:
        reader, writer = await asyncio.open_connection(*listening.sockets[0].getsockname())
        writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhalf")
        async with asyncio.timeout(10):
            head = await reader.readuntil(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
    finally:
        listening.close()
        await made.shutdown(1)
    assert head.startswith(b"HTTP/1.1 408 ")
