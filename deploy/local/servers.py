"""PostgreSQL, Redis for state and Redis for the queue, together and throw-away: for tests."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Self

from deploy.local import folders
from deploy.local.postgres import Postgres
from deploy.local.processes import Identity
from deploy.local.redis_server import Redis, Sync


class Servers:
    """The three servers of one folder, stopped on leaving the context."""

    def __init__(
        self,
        folder: Path,
        *,
        fsync: bool = True,
        durability: Sync = "always",
        identity: Identity | None = None,
    ) -> None:
        sockets = folders.socket_folder(folder)
        self.postgres = Postgres(folder, sockets, fsync=fsync, identity=identity)
        self.redis = Redis("redis-state", folder, sockets, sync=durability)
        self.queue = Redis("redis-queue", folder, sockets, sync="everysec")
        self.sockets = sockets

    @property
    def database_url(self) -> str:
        return self.postgres.urls().app

    @property
    def migrate_url(self) -> str:
        return self.postgres.urls().migrate

    @property
    def flush_url(self) -> str:
        return self.postgres.urls().flush

    @property
    def redis_url(self) -> str:
        return self.redis.url

    @property
    def queue_url(self) -> str:
        return self.queue.url

    def __enter__(self) -> Self:
        try:
            for server in (self.postgres, self.redis, self.queue):
                server.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Stop what runs."""
        for server in (self.queue, self.redis, self.postgres):
            server.stop()


@contextmanager
def throwaway(
    *, fsync: bool = False, durability: Sync = "no", identity: Identity | None = None
) -> Iterator[Servers]:
    """Three new servers in a temporary folder that goes with them.

    The defaults are for ordinary tests; kill -9 of a server loses nothing with them either, since
    what was written is in the kernel's hands.
    """
    folder = Path(tempfile.mkdtemp(prefix="stampgate-data-"))
    servers = None
    try:
        servers = Servers(folder, fsync=fsync, durability=durability, identity=identity)
        with servers:
            yield servers
    finally:
        if servers is not None:
            servers.postgres.erase()
            shutil.rmtree(servers.sockets, ignore_errors=True)
        shutil.rmtree(folder, ignore_errors=True)
