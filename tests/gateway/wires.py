"""A way to PostgreSQL that tests can cut."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import parse_qs, urlsplit

import msgspec

from core.settings import Settings


class Wire:
    """A way to PostgreSQL that can be cut: at once, or when a commit has gone over it."""

    def __init__(self, database_url: str) -> None:
        self._parts = urlsplit(database_url)
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self.is_cut = False
        self.cuts_at_commit = False

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a new connection with one to the server."""
        if self.is_cut:
            writer.transport.abort()
            return
        far_reader, far_writer = await self._connect()
        self._writers |= {writer, far_writer}
        for source, sink, is_ours in ((reader, far_writer, True), (far_reader, writer, False)):
            task = asyncio.create_task(self._pump(source, sink, is_ours=is_ours))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        folders = parse_qs(self._parts.query).get("host")
        if folders:
            return await asyncio.open_unix_connection(f"{folders[0]}/.s.PGSQL.5432")
        return await asyncio.open_connection(self._parts.hostname, self._parts.port or 5432)

    def url(self, port: int) -> str:
        """The database's address by way of a local port."""
        user = self._parts.netloc.rpartition("@")[0]
        return f"postgresql://{user}@127.0.0.1:{port}{self._parts.path}"

    async def _pump(
        self, source: asyncio.StreamReader, sink: asyncio.StreamWriter, *, is_ours: bool
    ) -> None:
        with contextlib.suppress(ConnectionError):
            while data := await source.read(65_536):
                sink.write(data)
                await sink.drain()
                if is_ours and self.cuts_at_commit and b"COMMIT" in data:
                    self.cuts_at_commit = False
                    self.cut()
        sink.close()

    def cut(self) -> None:
        """Break all connections, and let no new one through."""
        self.is_cut = True
        for writer in self._writers:
            writer.transport.close()
        self._writers.clear()


@contextlib.asynccontextmanager
async def wired(settings: Settings) -> AsyncIterator[tuple[Wire, Settings]]:
    """A wire to the database of the settings, and settings that lead over it."""
    wire = Wire(settings.database_url)
    server = await asyncio.start_server(wire.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    try:
        yield wire, msgspec.structs.replace(settings, database_url=wire.url(port))
    finally:
        wire.cut()
        server.close()
