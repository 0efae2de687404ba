"""A worker for the tests of the parent: counts requests, tells its pid, dies when asked to."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from pathlib import Path

from aiohttp import web

from core import settings
from web import child, metrics, problem, server

ENVIRON = {
    "STAMPGATE_DATABASE_URL": "postgres://nowhere",
    "STAMPGATE_REDIS_URL": "redis://nowhere",
    "STAMPGATE_QUEUE_URL": "redis://nowhere",
    "STAMPGATE_SHUTDOWN_TIMEOUT_S": os.environ.get("STAMPGATE_SHUTDOWN_TIMEOUT_S", "4"),
}


async def main() -> None:
    metrics.redis_pending.set(1)

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        metrics.clicks.labels("human").inc()
        if request.path == "/die":
            os.kill(os.getpid(), signal.SIGKILL)
        if request.path == "/slow":
            await asyncio.sleep(0.5)
        if request.path == "/fault":
            raise RuntimeError("+33 6 12 34 56 78")
        if request.path == "/body":
            return problem.reply(len(await server.read_body(request, 100_000)))
        return problem.reply({"pid": os.getpid()})

    sock = child.inherited_socket(os.environ)
    await server.serve(handle, sock, settings=settings.load(ENVIRON), on_stop=[say_goodbye])


async def say_goodbye() -> None:
    sys.stderr.write("goodbye\n")


def spoil(file: Path) -> None:
    """Do not come up while the file is there: it says how."""
    how = file.read_text() if file.exists() else ""
    if how == "crash":
        sys.exit(3)
    if how == "hang":
        signal.pause()


if __name__ == "__main__":
    child.enter(os.environ)
    if "--spoiled-by" in sys.argv:
        spoil(Path(sys.argv[sys.argv.index("--spoiled-by") + 1]))
    if "--deaf" in sys.argv:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.pause()
    server.run(main())
