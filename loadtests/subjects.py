"""What can be measured: a server on a port, and the process that answers there."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, NamedTuple

from deploy.local.processes import Process
from deploy.local.stack import App
from loadtests import cores, stack
from loadtests.results import OURS

LIMIT: Final = "nginx, records nothing"
START_TIMEOUT_S: Final = 10.0

_NGINX: Final = """\
daemon off; master_process off; worker_processes 1; pid {folder}/nginx.pid;
error_log {folder}/error.log crit;
events {{ worker_connections 2048; }}
http {{
    access_log off; keepalive_requests 1000000000;
    client_body_temp_path {folder}/body; proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi; uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    server {{
        listen {host}:{port};
        location / {{ return 302 https://shop.example.com/deal?subid=none; }}
    }}
}}
"""


class Subject(NamedTuple):
    """One of the compared. `pids` is asked each time, for processes may be replaced."""

    name: str
    port: int
    pids: Callable[[], list[int]]

    def cpu_s(self) -> float:
        """CPU seconds that its processes have used."""
        return sum(map(cores.cpu_s, self.pids()))


def ours(running: stack.BenchStack, app: App) -> Subject:
    """One of our apps."""
    return Subject(OURS, app.port, lambda: running.workers(app))


@contextmanager
def nginx() -> Iterator[Subject | None]:
    """A server that answers 302 to everything: what this machine can do at most. None if absent."""
    binary = shutil.which("nginx", path=f"{os.environ.get('PATH', os.defpath)}:/usr/sbin")
    if binary is None:
        yield None
        return
    folder = Path(tempfile.mkdtemp(prefix="stampgate-nginx-"))
    port = stack.free_port()
    config = folder / "nginx.conf"
    config.write_text(_NGINX.format(folder=folder, host=stack.HOST, port=port))
    with cores.pinned(cores.SERVER):
        process = Process(
            "nginx", [binary, "-c", str(config)], log=folder / "nginx.log", env=os.environ
        )
    try:
        _wait_until_open(process, port)
        yield Subject(LIMIT, port, lambda: [process.pid])
    finally:
        process.stop(START_TIMEOUT_S)
        shutil.rmtree(folder)


def _wait_until_open(process: Process, port: int) -> None:
    deadline = time.monotonic() + START_TIMEOUT_S
    while True:
        try:
            socket.create_connection((stack.HOST, port)).close()
        except OSError:
            if time.monotonic() > deadline or not process.is_alive:
                raise
            time.sleep(0.02)
        else:
            return
