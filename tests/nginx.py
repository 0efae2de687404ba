"""An nginx in front of one of our servers, with one kept connection that all clients share."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import tempfile
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

BINARY: Final = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin:/usr/bin:/usr/local/bin")
NEEDS_NGINX: Final = pytest.mark.skipif(BINARY is None, reason="nginx is not installed")
WAIT_S_MAX: Final = 20.0
ANSWER_S_MAX: Final = 0.05
# It hands on all that it may: odd names, doubled slashes, bodies as they come.
CONFIGURATION: Final = """
daemon off; master_process off; pid {folder}/pid; error_log {folder}/log;
events {{ worker_connections 256; }}
http {{
  access_log off;
  client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi; scgi_temp_path {folder}/scgi;
  ignore_invalid_headers off; underscores_in_headers on; merge_slashes off;
  upstream app {{ server 127.0.0.1:{port}; keepalive 1; }}
  server {{
    listen unix:{folder}/socket;
    location / {{
      proxy_pass http://app; proxy_http_version 1.1; proxy_set_header Connection "";
      proxy_request_buffering {buffering}; proxy_next_upstream off;
    }}
  }}
}}
"""


class Proxy:
    """Where it listens."""

    def __init__(self, path: Path) -> None:
        self._path = path

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A client's connection."""
        return await asyncio.open_unix_connection(self._path)

    async def is_up(self) -> bool:
        """Whether it listens."""
        try:
            _, writer = await self.connect()
        except OSError:
            return False
        writer.close()
        return True

    async def attack(self, data: bytes) -> asyncio.StreamWriter:
        """Send it and wait for an answer, for a moment: some are never whole requests."""
        reader, writer = await self.connect()
        writer.write(data)
        answer = asyncio.create_task(reader.read(65_536))
        await asyncio.wait({answer}, timeout=ANSWER_S_MAX)
        answer.cancel()
        return writer

    async def ask(self, request: bytes) -> bytes:
        """The answer to a request that closes its connection."""
        reader, writer = await self.connect()
        try:
            writer.write(request)
            return await asyncio.wait_for(reader.read(), WAIT_S_MAX)
        finally:
            writer.close()


@contextlib.asynccontextmanager
async def proxying(port: int, *, buffering: bool) -> AsyncIterator[Proxy]:
    """An nginx before this port; `buffering` makes it read a body before it hands it on."""
    assert BINARY is not None
    folder = Path(tempfile.mkdtemp(prefix="sg-"))
    file = folder / "nginx.conf"
    file.write_text(
        CONFIGURATION.format(folder=folder, port=port, buffering="on" if buffering else "off")
    )
    process = await asyncio.create_subprocess_exec(BINARY, "-e", folder / "log", "-c", file)
    try:
        proxy = Proxy(folder / "socket")
        ends = time.monotonic() + WAIT_S_MAX
        while not await proxy.is_up():
            assert process.returncode is None, (folder / "log").read_text()
            assert time.monotonic() < ends
            await asyncio.sleep(0.01)
        yield proxy
    finally:
        process.kill()
        await process.wait()
        shutil.rmtree(folder)


def attacks(path: bytes, evil: bytes, *headers: bytes) -> list[bytes]:
    """The classic ways to hide the request `evil` in another one, sent to `path`."""
    fixed = b"".join(line + b"\r\n" for line in (b"Host: x", *headers))
    ended = b"0\r\n\r\n" + evil
    whole = b"%x\r\n%b\r\n0\r\n\r\n" % (len(evil), evil)

    def request(method: bytes, body: bytes, *lines: bytes, version: bytes = b"HTTP/1.1") -> bytes:
        more = b"".join(line + b"\r\n" for line in lines)
        return method + b" " + path + b" " + version + b"\r\n" + fixed + more + b"\r\n" + body

    chunked = b"Transfer-Encoding: chunked"
    length = b"Content-Length: %d"
    return [
        # CL.TE and TE.CL.
        request(b"POST", ended, length % len(ended), chunked),
        request(b"POST", ended, chunked, length % len(ended)),
        request(b"POST", whole, length % 4, chunked),
        request(b"POST", whole, chunked, length % 4),
        request(b"POST", ended, length % len(ended), chunked, version=b"HTTP/1.0"),
        # TE.TE: one that only one side takes for a transfer coding.
        *(request(b"POST", ended, length % len(ended), odd) for odd in (
            b"Transfer-Encoding: xchunked", b"Transfer-Encoding : chunked",
            b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding:\x0bchunked", b"Transfer-Encoding: \x00chunked",
            b"Transfer-Encoding:\r\n chunked", b"X: y\rTransfer-Encoding: chunked",
            b"X: y\nTransfer-Encoding: chunked", b"Transfer_Encoding: chunked",
            b" Transfer-Encoding: chunked", b"Transfer-Encoding: 'chunked'", b"TE: chunked",
            b"Transfer-Encoding: x\r\nTransfer-Encoding: chunked", b"transfer-encoding: CHUNKED",
            b"Transfer-Encoding\x00: chunked", b"Connection: Transfer-Encoding, Content-Length",
        )),
        # CL.CL, and bodies where none is looked for.
        *(request(b"POST", evil, *lines) for lines in (
            (length % 0, length % len(evil)), (length % len(evil), length % 0),
            (b"Content-Length: 0, %d" % len(evil),), (b"Content-Length: +%d" % len(evil),),
            (b"Content-Length: -1",), (b"Content-Length: 0x%x" % len(evil),),
            (b"Content-Length: %d " % len(evil),), (b"Content_Length: %d" % len(evil),),
            (b"Content-Length : %d" % len(evil),), (b"Content-Length:\r\n %d" % len(evil),),
            (b"Expect: 100-continue", length % len(evil)), (length % len(evil),), (length % 0,),
        )),
        *(request(method, evil, length % len(evil)) for method in (b"GET", b"HEAD", b"DELETE")),
        request(b"GET", whole, chunked),
        request(b"GET", b"0\r\nX: y\r\n\r\n" + evil, chunked, b"Trailer: X"),
        request(b"GET", b"1;a=\n\r\nx\r\n0\r\n\r\n" + evil, chunked),
        # An upgrade that is declined.
        request(b"GET", evil, b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c",
                b"HTTP2-Settings: AAMAAABkAAQAAP__"),
        request(b"GET", evil, b"Connection: Upgrade", b"Upgrade: websocket",
                b"Sec-WebSocket-Version: 13", b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA=="),
        # Request lines and names of headers.
        request(b"GET", evil),
        request(b"GET", evil, version=b"HTTP/1.1\r\nX: y HTTP/1.1"),
        request(b"GET", evil, version=b"HTTP/1.1 HTTP/1.1"),
        request(b"GET", evil, version=b"HTTP/1.2"),
        request(b"get", evil),
        request(b"GET " + path + b"%20HTTP/1.1%0d%0aHost:%20x%0d%0a%0d%0aGET", evil),
        request(b"GET http://x" + path + b" HTTP/1.1\nGET", evil),
        request(b"CONNECT", evil),
        request(b"GET", evil, b"X\x00Y: z"),
        request(b"GET", evil, b"X Y: z"),
        request(b"GET", evil, b"X: \r\r\n\r\n" + evil),
        request(b"GET", evil, b": x"),
        b"\r\n\n\r\n" + request(b"GET", evil),
        evil[:-2],
    ]  # fmt: skip
